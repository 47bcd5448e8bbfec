"""Asking for a scoring: rarely enough to be cheap, early enough to miss no sample."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iops.bus import parse_scoring_request
from iops.observability import Metrics
from services.ingest import notify
from services.ingest.notify import ScoringNotifier
from tests.unit.fakes import FakeQueue, aws_error
from tests.unit.virtual_time import cancelled, in_virtual_time, now_s


@asynccontextmanager
async def notifying(fake: FakeQueue) -> AsyncIterator[ScoringNotifier]:
    notifier = ScoringNotifier(fake.queue(), Metrics())
    loop = asyncio.create_task(notifier.run())
    await asyncio.sleep(0.1)
    yield notifier
    assert not loop.done(), "the loop has died"
    await cancelled(loop)


def sent(fake: FakeQueue, *, since_s: float = 0) -> list[tuple[float, str, int]]:
    """Each message: when it came after `since_s`, its group, its earliest sample."""
    requests = [(at_s, parse_scoring_request(body)) for at_s, body in fake.sent]
    return [(round(at_s - since_s, 1), request.peer_group, request.since_ms) for at_s, request in requests]


@in_virtual_time
async def test_a_groups_first_samples_are_told_at_once() -> None:
    fake = FakeQueue()
    async with notifying(fake) as notifier:
        begin_s = now_s()
        notifier.note("web-1", 5_000)
        await asyncio.sleep(1)

        assert sent(fake, since_s=begin_s) == [(0.0, "web-1", 5_000)]


@in_virtual_time
async def test_a_group_is_told_of_once_in_10_s_with_the_earliest_sample() -> None:
    fake = FakeQueue()
    async with notifying(fake) as notifier:
        begin_s = now_s()
        for number in range(25):
            notifier.note("web-1", 100_000 - number if number == 7 else 200_000 + number)
            await asyncio.sleep(0.9)
        await asyncio.sleep(20)

        told = sent(fake, since_s=begin_s)
        assert told == [(0, "web-1", 200_000), (10, "web-1", 99_993), (20, "web-1", 200_012), (30, "web-1", 200_023)]


@in_virtual_time
async def test_what_is_urgent_does_not_wait_for_the_10_s() -> None:
    fake = FakeQueue()
    async with notifying(fake) as notifier:
        begin_s = now_s()
        notifier.note("web-1", 1_000)
        await asyncio.sleep(2)
        notifier.note("web-1", 2_000)
        notifier.note("web-1", 3_000, is_urgent=True)
        await asyncio.sleep(20)

        assert sent(fake, since_s=begin_s) == [(0, "web-1", 1_000), (2, "web-1", 2_000)]


@in_virtual_time
async def test_a_group_that_is_always_urgent_costs_twice_as_much_at_most() -> None:
    fake = FakeQueue()
    async with notifying(fake) as notifier:
        for number in range(600):
            notifier.note("web-1", number, is_urgent=True)
            await asyncio.sleep(0.1)

    assert len(fake.sent) <= 2 * 6 + 1


@in_virtual_time
async def test_what_becomes_urgent_while_a_message_is_sent_does_not_wait_behind_it() -> None:
    fake = SlowQueue()
    async with notifying(fake) as notifier:
        begin_s = now_s()
        notifier.note("web-1", 1)
        await asyncio.sleep(1)
        notifier.note("web-1", 2, is_urgent=True)
        await asyncio.sleep(8)

        assert sent(fake, since_s=begin_s) == [(3, "web-1", 1), (6, "web-1", 2)]


@in_virtual_time
async def test_a_quiet_group_costs_nothing() -> None:
    fake = FakeQueue()
    async with notifying(fake) as notifier:
        notifier.note("web-1", 1)
        await asyncio.sleep(7_200)

    assert len(fake.calls) == 1


@in_virtual_time
async def test_many_groups_go_in_messages_of_ten() -> None:
    fake = FakeQueue()
    async with notifying(fake) as notifier:
        for number in range(25):
            notifier.note(f"web-{number}", number)
        await asyncio.sleep(1)

        assert len(fake.sent) == 25
        assert len(fake.calls) == 3


@in_virtual_time
async def test_what_the_queue_refuses_comes_again_after_a_second() -> None:
    fake = FakeQueue()
    fake.refuses.extend([1, 1])
    async with notifying(fake) as notifier:
        begin_s = now_s()
        notifier.note("web-1", 5)
        notifier.note("web-2", 6)
        await asyncio.sleep(0.5)
        notifier.note("web-1", 7)
        await asyncio.sleep(5)

        assert sent(fake, since_s=begin_s) == [(0, "web-2", 6), (2, "web-1", 5)]


@in_virtual_time
async def test_a_queue_that_is_away_is_asked_every_second_and_loses_nothing() -> None:
    fake = FakeQueue()
    fake.is_away = True
    async with notifying(fake) as notifier:
        for number in range(12):
            notifier.note(f"web-{number}", number)
        await asyncio.sleep(60)
        assert 60 <= len(fake.calls) <= 130
        fake.is_away = False
        await asyncio.sleep(2)

    assert sorted(group for _, group, _ in sent(fake)) == sorted(f"web-{number}" for number in range(12))


@pytest.mark.parametrize("error", [aws_error("AWS.SimpleQueueService.NonExistentQueue"), aws_error("ExpiredToken")])
def test_a_failure_nobody_expected_does_not_end_the_loop(error: Exception) -> None:
    @in_virtual_time
    async def scenario() -> None:
        fake = FakeQueue()
        fake.failures["SendMessageBatch"].append(error)
        async with notifying(fake) as notifier:
            notifier.note("web-1", 5)
            await asyncio.sleep(20)

            assert [group for _, group, _ in sent(fake)] == ["web-1"]

    scenario()


@in_virtual_time
async def test_what_waits_is_sent_when_the_program_ends() -> None:
    fake = FakeQueue()
    async with notifying(fake) as notifier:
        notifier.note("web-1", 1)
        await asyncio.sleep(1)
        notifier.note("web-1", 2)
        await asyncio.sleep(1)

    assert [since_ms for _, _, since_ms in sent(fake)] == [1, 2]


class SlowQueue(FakeQueue):
    """Takes 3 s for every call."""

    async def send_message_batch(self, **request: Any) -> Any:
        await asyncio.sleep(3)
        return await super().send_message_batch(**request)


@in_virtual_time
async def test_what_is_being_sent_when_the_program_ends_is_not_lost() -> None:
    fake = SlowQueue()
    async with notifying(fake) as notifier:
        notifier.note("web-1", 1)
        await asyncio.sleep(1)

    assert [since_ms for _, _, since_ms in sent(fake)] == [1]


@in_virtual_time
async def test_a_queue_that_hangs_does_not_keep_the_program_from_ending() -> None:
    fake = SlowQueue()
    async with notifying(fake) as notifier:
        for number in range(1_000):
            notifier.note(f"web-{number}", number)
        await asyncio.sleep(1)
        begin_s = now_s()

    assert now_s() - begin_s <= 10


@in_virtual_time
async def test_groups_beyond_the_limit_wait_for_their_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "GROUPS_LIMIT", 2)
    fake = FakeQueue()
    fake.is_away = True
    async with notifying(fake) as notifier:
        for number in range(5):
            notifier.note(f"web-{number}", number)
        fake.is_away = False
        await asyncio.sleep(2)

    assert [group for _, group, _ in sent(fake)] == ["web-0", "web-1"]
