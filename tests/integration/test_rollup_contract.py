"""Rollups and the marks of late samples in both tables."""

from datetime import timedelta

import pytest

from iops import items
from iops.clock import to_epoch_ms
from iops.errors import Conflict
from iops.observability import Metrics
from iops.rollup import HOUR_MS, roll_up
from iops.table import Table
from iops.telemetry import window_from_samples
from services.insights.history import chunk_hours
from services.insights.rollup import Rollups
from tests.integration.examples import AT, a_batch, some_samples

DISK = "web-1:nvme0n1"
AT_MS = to_epoch_ms(AT)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests


async def store_hour(table: Table, *, hours_ago: int, count: int = 120, stream_id: str = DISK) -> None:
    """Samples of the hour that ended so many hours before AT."""
    window = window_from_samples(some_samples(count, begin=AT - (hours_ago + 1) * HOUR))
    await table.put_all(items.chunk_items(stream_id, window), deadline_s=5)


async def hours_ago(table: Table) -> list[int]:
    rows = await table.query(items.rollups_query(DISK, from_ms=0, to_ms=AT_MS))
    return [(AT_MS - items.rollup_hour_ms(row)) // HOUR_MS - 1 for row in rows]


async def test_a_rollup_comes_back_as_it_was_made(table: Table) -> None:
    minutes = roll_up(window_from_samples(some_samples(300, read_await_ms=None)))
    await table.update(items.rollup_update(DISK, minutes))

    (row,) = await table.query(items.rollups_query(DISK, from_ms=AT_MS, to_ms=AT_MS))

    assert repr(items.item_to_rollup(row)) == repr(minutes)
    assert row["ttl"] == {"N": str((AT_MS + HOUR_MS) // 1000 + 90 * 24 * 3600)}


async def test_a_rollup_gives_way_only_to_one_of_as_many_samples(table: Table) -> None:
    of_120, of_60, again = (roll_up(window_from_samples(some_samples(count))) for count in (120, 60, 120))
    await table.update(items.rollup_update(DISK, of_120))

    with pytest.raises(Conflict):
        await table.update(items.rollup_update(DISK, of_60))
    await table.update(items.rollup_update(DISK, again))

    (row,) = await table.query(items.rollups_query(DISK, from_ms=AT_MS, to_ms=AT_MS))
    assert row["samples"] == {"N": "120"}


async def test_a_range_finds_the_hours_it_touches_and_the_newest_is_found_alone(table: Table) -> None:
    for hour in range(5):
        minutes = roll_up(window_from_samples(some_samples(1, begin=AT + hour * HOUR)))
        await table.update(items.rollup_update(DISK, minutes))
    await table.put(items.late_item(DISK, since_ms=AT_MS, now_ms=AT_MS))

    from_ms, to_ms = AT_MS + HOUR_MS + 1, AT_MS + 3 * HOUR_MS
    rows = await table.query(items.rollups_query(DISK, from_ms=from_ms, to_ms=to_ms))
    newest, _ = await table.query_page(items.newest_rollup_query(DISK))

    assert [(items.rollup_hour_ms(row) - AT_MS) // HOUR_MS for row in rows] == [1, 2, 3]
    assert [items.rollup_hour_ms(row) for row in newest] == [AT_MS + 4 * HOUR_MS]


async def test_chunks_come_hour_by_hour(table: Table) -> None:
    for ago in (1, 3, 4):
        await store_hour(table, hours_ago=ago)
    await store_hour(table, hours_ago=3, count=7)

    hours = [rows async for rows in chunk_hours(table, DISK, from_ms=AT_MS - 9 * HOUR_MS, to_ms=AT_MS)]

    assert [len(rows) for rows in hours] == [1, 2, 1]
    assert [rows async for rows in chunk_hours(table, DISK, from_ms=AT_MS, to_ms=AT_MS - 1)] == []


async def test_the_worker_rolls_up_what_is_over_and_again_what_came_late(table: Table) -> None:
    now = AT + timedelta(minutes=10)
    worker = Rollups(table, lambda: now, Metrics(), salt=b"s")
    for ago in (0, 5):
        await store_hour(table, hours_ago=ago)
    assert await worker.roll_stream(DISK) == 2

    await store_hour(table, hours_ago=2)
    await table.put(items.late_item(DISK, since_ms=AT_MS - 3 * HOUR_MS, now_ms=AT_MS))
    assert await worker.roll_stream(DISK) == 2

    assert await hours_ago(table) == [5, 2, 0]
    assert await table.query(items.late_query(DISK)) == []
    assert await worker.roll_stream(DISK) == 0


async def test_the_worker_lists_every_stream(table: Table) -> None:
    for number in range(30):
        await table.update(items.stream_seen_update(a_batch(f"web-{number}:sda"), now_ms=AT_MS + number))

    pages = [page async for page in table.pages(items.list_query("stream", limit=7, oldest_first=True))]

    names = [row["entity_id"]["S"] for page in pages for row in page]
    assert names == [f"web-{number}:sda" for number in range(30)]
    assert max(len(page) for page in pages) == 7
