"""A stream's past in the table: rollups of the hours that have one, chunks from there on."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from iops import items
from iops.items import Item
from iops.rollup import HOUR_MS, Rollup, merge_rollups, roll_up
from iops.table import Table
from iops.telemetry import Window, merge_windows
from services.insights.downsample import worst_of_buckets

GRACE_MS: Final = 300_000  # how long after its hour a batch may come and still be in time for the rollup


def rolled_before_ms(now_ms: int) -> int:
    """Where the hours end that may have been rolled up by now; what comes for them later is late."""
    return (now_ms - GRACE_MS) // HOUR_MS * HOUR_MS


def end_of_rollups_ms(rows: Iterable[Item], *, otherwise_ms: int) -> int:
    """Where chunks have to be read from, after the rollups in `rows`: hours are rolled up in their order."""
    return max((items.rollup_hour_ms(row) + HOUR_MS for row in rows), default=otherwise_ms)


async def chunk_hours(table: Table, stream_id: str, *, from_ms: int, to_ms: int) -> AsyncIterator[list[Item]]:
    """The chunks of one hour after another, oldest first; hours without one are left out.

    Holds an hour and a page of the table in memory, however long the range.
    """
    if from_ms > to_ms:
        return
    hour: list[Item] = []
    async for page in table.pages(items.chunks_query(stream_id, from_ms=from_ms, to_ms=to_ms)):
        for row in page:
            if hour and items.chunk_hour_ms(row) != items.chunk_hour_ms(hour[0]):
                yield hour
                hour = []
            hour.append(row)
    if hour:
        yield hour


async def minute_rows(table: Table, stream_id: str, *, from_ms: int, to_ms: int) -> AsyncIterator[list[Item]]:
    """Pages of rollups, then hour after hour the chunks of what is not rolled up yet; oldest first."""
    rest_ms = from_ms
    async for page in table.pages(items.rollups_query(stream_id, from_ms=from_ms, to_ms=to_ms)):
        yield page
        rest_ms = end_of_rollups_ms(page, otherwise_ms=rest_ms)
    async for hour in chunk_hours(table, stream_id, from_ms=rest_ms, to_ms=to_ms):
        yield hour


class Span(NamedTuple):
    """A range, both ends included, and how many points of it are wanted at most."""

    from_ms: int
    to_ms: int
    points: int


async def read_samples(table: Table, stream_id: str, span: Span) -> tuple[Window, int]:
    """The samples of a span, at most as many as wanted, and how many are stored; raises DamagedChunk."""
    rows = await table.query(items.chunks_query(stream_id, from_ms=span.from_ms, to_ms=span.to_ms))
    window = (await asyncio.to_thread(_decode_chunks, rows)).since(span.from_ms).until(span.to_ms + 1)
    return window.take(_worst(window, span)), len(window)


async def read_minutes(table: Table, stream_id: str, span: Span) -> tuple[Rollup, int]:
    """The minutes of a span, at most as many as wanted, and how many there are; raises DamagedChunk.

    Hours that are not rolled up yet are rolled up from their chunks. Never more than a page of the table and the points
    wanted are in memory.
    """
    kept, stored = merge_rollups([]), 0
    async for rows in minute_rows(table, stream_id, from_ms=span.from_ms, to_ms=span.to_ms):
        kept, added = await asyncio.to_thread(_add, kept, rows, span)
        stored += added
    return kept, stored


def _add(kept: Rollup, rows: list[Item], span: Span) -> tuple[Rollup, int]:
    """What is kept of some minutes and those of rollups, or of an hour's chunks; and how many the rows have."""
    if rows and not items.is_rollup(rows[0]):
        rollups = [roll_up(_decode_chunks(rows))]
    else:
        rollups = [items.item_to_rollup(row) for row in rows]
    added = merge_rollups(rollups).between(span.from_ms, span.to_ms)
    joined = merge_rollups([kept, added])
    return joined.take(_worst(joined.maximum, span)), len(added)


def _worst(window: Window, span: Span) -> list[int]:
    return worst_of_buckets(window, from_ms=span.from_ms, to_ms=span.to_ms, buckets=span.points)


def _decode_chunks(rows: list[Item]) -> Window:
    return merge_windows([items.item_to_window(row) for row in rows])
