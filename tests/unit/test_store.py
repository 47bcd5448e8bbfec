"""Group commit: a request is answered when the table has its rows, and only then."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from iops import items
from iops.errors import QueueFull, TableUnavailable
from iops.items import Item
from iops.observability import Metrics
from services.ingest.arrival import Arrival
from services.ingest.settings import IngestSettings
from services.ingest.store import GroupCommit
from tests.unit.builders import AT, a_window
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.virtual_time import cancelled, in_virtual_time, now_s


def arrived(number: int = 0, samples: int = 2, *, end: datetime = AT - timedelta(minutes=1)) -> Arrival:
    return Arrival(f"web-1:sd{number}", "web-1", {}, None, a_window(samples, end=end))


@asynccontextmanager
async def committing(fake: FakeTable, **settings: Any) -> AsyncIterator[GroupCommit]:
    commit = GroupCommit(fake.table(), IngestSettings(**settings), Metrics())
    writers = asyncio.create_task(commit.run())
    yield commit
    assert not writers.done(), "a writer has died"
    await cancelled(writers)


async def outcome_of(commit: GroupCommit, arrivals: Sequence[Arrival]) -> Exception | None:
    try:
        await commit.store(arrivals)
    except Exception as error:  # noqa: BLE001 - whatever it was
        return error
    return None


@in_virtual_time
async def test_a_request_is_answered_when_the_table_has_its_rows() -> None:
    fake = FakeTable()
    async with committing(fake) as commit:
        await commit.store([arrived(1), arrived(2)])

        assert len(fake.rows) == 2


@in_virtual_time
async def test_a_request_whose_rows_take_several_writes_waits_for_the_last() -> None:
    fake = FakeTable()
    async with committing(fake, store_writers=1) as commit:
        await commit.store([arrived(number) for number in range(60)])

        assert len(fake.rows) == 60
        assert [len(batch) for batch in fake.batches] == [25, 25, 10]


@in_virtual_time
async def test_many_requests_share_a_write() -> None:
    fake = FakeTable()
    async with committing(fake) as commit:
        await asyncio.gather(*(commit.store([arrived(number)]) for number in range(20)))

        assert len(fake.batches) == 1


@in_virtual_time
async def test_the_same_row_of_two_requests_is_sent_once_and_both_are_answered() -> None:
    fake = FakeTable()
    async with committing(fake) as commit:
        await asyncio.gather(*(commit.store([arrived(), arrived(number)]) for number in (1, 2)))

        assert sorted(len(batch) for batch in fake.batches) == [3]
        assert len(fake.rows) == 3


@in_virtual_time
async def test_the_same_row_twice_in_one_request_is_answered() -> None:
    async with committing(FakeTable()) as commit:
        assert await outcome_of(commit, [arrived(), arrived()]) is None


@in_virtual_time
async def test_what_arrives_of_one_stream_within_the_linger_shares_a_chunk() -> None:
    fake = FakeTable()
    sent = [arrived(end=AT - timedelta(minutes=minutes)) for minutes in (3, 1, 2)]
    async with committing(fake) as commit:
        assert await asyncio.gather(*(commit.store([arrival]) for arrival in sent)) == [2, 2, 2]

    (row,) = fake.rows.values()
    assert list(items.item_to_window(row).at_ms) == sorted(at for arrival in sent for at in arrival.window.at_ms)


@in_virtual_time
async def test_more_than_a_chunk_holds_becomes_several() -> None:
    fake = FakeTable()
    async with committing(fake) as commit:
        await commit.store([arrived(samples=1_000), arrived(samples=1_000, end=AT - timedelta(minutes=20))])

    assert sorted(len(items.item_to_window(row)) for row in fake.rows.values()) == [1_000, 1_000]


@in_virtual_time
async def test_what_the_table_leaves_over_is_sent_again_before_the_answer() -> None:
    fake = FakeTable()
    fake.leaves_over.extend([3, 2, 1])
    async with committing(fake) as commit:
        await commit.store([arrived(number) for number in range(5)])

        assert len(fake.rows) == 5
        assert [len(batch) for batch in fake.batches] == [5, 3, 2, 1]


@in_virtual_time
async def test_a_throttled_table_asks_the_sender_to_come_again() -> None:
    fake = FakeTable()
    fake.failures["BatchWriteItem"].extend([aws_error("ThrottlingException")] * 1_000)
    async with committing(fake) as commit:
        before_s = now_s()
        error = await outcome_of(commit, [arrived()])

        assert isinstance(error, TableUnavailable)
        assert error.retry_after_s == 2
        assert 3.9 < now_s() - before_s <= 5.1


@in_virtual_time
async def test_a_table_that_leaves_everything_over_for_ever_is_unavailable() -> None:
    fake = FakeTable()
    fake.leaves_over.extend([1] * 1_000)
    async with committing(fake) as commit:
        error = await outcome_of(commit, [arrived()])

        assert isinstance(error, TableUnavailable)
        assert error.detail == "the table is throttling writes"


@in_virtual_time
async def test_throttling_that_passes_is_not_seen_by_the_sender() -> None:
    fake = FakeTable()
    fake.failures["BatchWriteItem"].extend([aws_error("InternalServerError", status=500), TimeoutError()])
    async with committing(fake) as commit:
        assert await outcome_of(commit, [arrived()]) is None
        assert len(fake.rows) == 1


@in_virtual_time
async def test_an_unexpected_failure_reaches_its_sender_and_the_writer_lives_on() -> None:
    fake = FakeTable()
    fake.failures["BatchWriteItem"].extend([ZeroDivisionError(), aws_error("ValidationException")])
    async with committing(fake, store_writers=1) as commit:
        assert isinstance(await outcome_of(commit, [arrived()]), ZeroDivisionError)
        assert await outcome_of(commit, [arrived()]) is not None
        assert await outcome_of(commit, [arrived()]) is None


@in_virtual_time
async def test_a_failed_write_fails_a_request_even_where_its_other_rows_were_stored() -> None:
    fake = FakeTable()
    fake.failures["BatchWriteItem"].append(ZeroDivisionError())
    async with committing(fake, store_writers=1) as commit:
        assert isinstance(await outcome_of(commit, [arrived(number) for number in range(30)]), ZeroDivisionError)


class HangingTable(FakeTable):
    """Takes writes and never answers until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()

    async def batch_write_item(self, **request: Any) -> Item:
        await self.released.wait()
        return await super().batch_write_item(**request)


@in_virtual_time
async def test_a_full_queue_refuses_at_once_and_has_room_again_when_it_drains() -> None:
    fake = HangingTable()
    async with committing(fake, waiting_samples_limit=60_000) as commit:
        waiting = asyncio.create_task(outcome_of(commit, [arrived(1, samples=59_999)]))
        await asyncio.sleep(0.1)
        before_s = now_s()
        error = await outcome_of(commit, [arrived(2)])

        assert isinstance(error, QueueFull)
        assert error.retry_after_s == 2
        assert now_s() == before_s
        commit.check_room()
        with pytest.raises(QueueFull):
            commit.check_room(2)
        fake.released.set()
        assert await waiting is None
        assert await outcome_of(commit, [arrived(2, samples=60_000)]) is None


@in_virtual_time
async def test_a_request_that_gave_up_is_not_written_for() -> None:
    fake = HangingTable()
    async with committing(fake, store_writers=1) as commit:
        first = asyncio.create_task(outcome_of(commit, [arrived(1)]))
        await asyncio.sleep(1)
        before_s = now_s()
        second = await outcome_of(commit, [arrived(2)])

        assert isinstance(second, TableUnavailable)
        assert 8 <= now_s() - before_s <= 8.3
        assert isinstance(await first, TableUnavailable)
        fake.released.set()
        await asyncio.sleep(1)
        assert await outcome_of(commit, [arrived(3, samples=200_000)]) is None
        assert "web-1:sd2" not in {stream_id for stream_id, _ in fake.rows}


@in_virtual_time
async def test_a_sender_that_is_cancelled_frees_its_place() -> None:
    fake = HangingTable()
    async with committing(fake, waiting_samples_limit=60_000) as commit:
        leaving = asyncio.create_task(commit.store([arrived(1, samples=60_000)]))
        await asyncio.sleep(0.1)
        await cancelled(leaving)
        fake.released.set()

        assert await outcome_of(commit, [arrived(2, samples=60_000)]) is None


@in_virtual_time
async def test_put_all_gives_up_before_its_deadline_and_waits_longer_each_time() -> None:
    fake = FakeTable()
    fake.is_away = True
    before_s = now_s()

    with pytest.raises(TableUnavailable, match="BatchWriteItem failed: EndpointConnectionError"):
        await fake.table().put_all([items.member_item("web-1", "web-1:sda")], deadline_s=5)

    assert now_s() - before_s < 5
    assert 6 <= len(fake.calls) <= 60


@in_virtual_time
async def test_reads_are_repeated_four_times_at_most() -> None:
    fake = FakeTable()
    fake.failures["GetItem"].extend([aws_error("ThrottlingException")] * 3)
    assert await fake.table().get(items.key_of("a", "stream")) is None

    fake.is_away = True
    with pytest.raises(TableUnavailable):
        await fake.table().get(items.key_of("a", "stream"))
    assert len(fake.calls) == 8


class Labels(dict[str, str]):
    """A part of a request that can be watched."""


@in_virtual_time
async def test_a_refused_request_leaves_nothing_for_the_garbage_collector() -> None:
    """It looks rarely, and while the table is away every refusal would keep a whole body until then."""
    fake = FakeTable()
    fake.is_away = True
    async with committing(fake, store_deadline_s=0.1) as commit:
        gc.collect()
        gc.disable()
        try:
            arrival = replace(arrived(1), labels=Labels())
            body = weakref.ref(arrival.labels)
            with pytest.raises(TableUnavailable) as refused:
                await commit.store([arrival])
            refused.value.forget_frames()
            del arrival, refused
            await asyncio.sleep(1)
            assert body() is None
        finally:
            gc.enable()
