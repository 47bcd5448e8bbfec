"""The loop over the scoring queue: every message is scored, put off or buried, and no worker dies."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iops.bus import ScoringRequest, parse_scoring_request
from iops.errors import Conflict, MalformedBody, TableUnavailable
from iops.observability import Metrics
from services.insights.work import ScoringLoop
from tests.unit.fakes import FakeQueue, aws_error
from tests.unit.virtual_time import cancelled, in_virtual_time, until

GOOD = ScoringRequest(peer_group="web-1", since_ms=5).model_dump_json()


class FakeScorer:
    """Scores at once, or fails as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.scored: list[ScoringRequest] = []

    async def score_group(self, request: ScoringRequest) -> None:
        await asyncio.sleep(0.1)
        if self.failures:
            raise self.failures.pop(0)
        self.scored.append(request)


@asynccontextmanager
async def working(queue: FakeQueue, scorer: FakeScorer, *, workers: int = 2) -> AsyncIterator[Metrics]:
    any_scorer: Any = scorer
    metrics = Metrics()
    loop = asyncio.create_task(ScoringLoop(queue.queue(), any_scorer, metrics, workers=workers).run())
    yield metrics
    assert not loop.done(), "the loop has died"
    await cancelled(loop)


@in_virtual_time
async def test_a_message_is_scored_and_then_deleted() -> None:
    queue, scorer = FakeQueue(), FakeScorer()
    queue.offer(GOOD)
    async with working(queue, scorer):
        await until(lambda: queue.deleted == ["r1"])

    assert [(request.peer_group, request.since_ms) for request in scorer.scored] == [("web-1", 5)]
    assert (queue.dead, queue.postponed) == ([], [])


@in_virtual_time
async def test_workers_score_side_by_side() -> None:
    queue, scorer = FakeQueue(), FakeScorer()
    for number in range(8):
        queue.offer(GOOD, receipt=f"r{number}")
    async with working(queue, scorer, workers=4):
        await until(lambda: len(queue.deleted) == 8, within_s=0.3)


def test_whatever_fails_puts_the_message_off_and_it_is_not_deleted() -> None:
    for failure in (TableUnavailable("away"), Conflict("lost"), ZeroDivisionError(), aws_error("AccessDenied")):
        receipt, delay_s = put_off(failure, receive_count=1)
        assert receipt == "r1"
        assert delay_s in (1, 2)


def put_off(failure: Exception, *, receive_count: int) -> tuple[str, int]:
    queue = FakeQueue()

    @in_virtual_time
    async def scenario() -> None:
        queue.offer(GOOD, receive_count=receive_count)
        async with working(queue, FakeScorer(failure)):
            await until(lambda: bool(queue.postponed))

    scenario()
    assert (queue.deleted, queue.dead) == ([], [])
    return queue.postponed[0]


@pytest.mark.parametrize("receive_count", [1, 4, 9, 1_000])
def test_a_message_is_put_off_longer_each_time_but_never_for_hours(receive_count: int) -> None:
    _, delay_s = put_off(TableUnavailable("away"), receive_count=receive_count)

    assert 1 <= delay_s <= min(300, 2**receive_count)


@pytest.mark.parametrize(
    "body",
    ["", "{", "null", "[]", '{"peer_group": "web-1"}', '{"peer_group": "a#b", "since_ms": 5}',
     '{"peer_group": "web-1", "since_ms": -1}', '{"peer_group": "web-1", "since_ms": "5"}',
     '{"peer_group": "web-1", "since_ms": 5, "x": 1}', "\ud800", '{"peer_group": "web-1", "since_ms": 1e400}'],
)  # fmt: skip
def test_a_poison_message_is_buried_at_once(body: str) -> None:
    with pytest.raises(MalformedBody, match="not a scoring request"):
        parse_scoring_request(body)

    @in_virtual_time
    async def scenario() -> None:
        queue, scorer = FakeQueue(), FakeScorer()
        queue.offer(body)
        async with working(queue, scorer):
            await until(lambda: queue.deleted == ["r1"])
        assert (queue.dead, scorer.scored, queue.postponed) == ([body], [], [])

    scenario()


@in_virtual_time
async def test_a_message_that_cannot_be_buried_is_not_deleted_either() -> None:
    queue, scorer = FakeQueue(), FakeScorer()
    queue.failures["SendMessage"].append(aws_error("ThrottlingException"))
    queue.offer("poison")
    async with working(queue, scorer):
        await asyncio.sleep(30)

    assert (queue.dead, queue.deleted) == ([], [])


@in_virtual_time
async def test_a_queue_that_is_away_is_asked_again_and_again_but_not_often() -> None:
    queue, scorer = FakeQueue(), FakeScorer()
    queue.is_away = True
    async with working(queue, scorer, workers=1):
        await asyncio.sleep(100)
        assert 20 <= len(queue.calls) <= 200
        queue.is_away = False
        queue.offer(GOOD)
        await until(lambda: queue.deleted == ["r1"])


@in_virtual_time
async def test_a_failure_nobody_expected_does_not_end_a_worker() -> None:
    queue, scorer = FakeQueue(), FakeScorer()
    queue.failures["ReceiveMessage"].extend([aws_error("QueueDoesNotExist"), ZeroDivisionError()])
    async with working(queue, scorer, workers=1):
        queue.offer(GOOD)
        await until(lambda: queue.deleted == ["r1"])


@in_virtual_time
async def test_what_is_being_scored_when_the_program_ends_comes_again() -> None:
    queue, scorer = FakeQueue(), FakeScorer()
    queue.offer(GOOD)
    async with working(queue, scorer):
        await asyncio.sleep(0.05)

    assert (queue.deleted, scorer.scored) == ([], [])


@in_virtual_time
async def test_how_long_messages_wait_is_seen_when_they_come_for_the_first_time() -> None:
    queue = FakeQueue()
    async with working(queue, FakeScorer(), workers=1) as metrics:

        async def waited_s() -> float:
            await asyncio.sleep(1)
            return metrics.registry.get_sample_value("iops_scoring_wait_seconds") or 0.0

        assert math.isnan(await waited_s())
        queue.offer(GOOD, sent_ms=round(time.time() - 90) * 1000)
        assert 89 <= await waited_s() <= 100
        queue.offer(GOOD, sent_ms=0, receive_count=2)
        assert 89 <= await waited_s() <= 100
        queue.waiting.put_nowait({})
        assert await waited_s() == 0
