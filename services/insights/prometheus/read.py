"""Reads the samples that a query needs from the table, bounded in streams, hours and memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import structlog

from iops import contract, items
from iops.errors import DamagedChunk, QueryRefused
from iops.items import Item
from iops.rollup import HOUR_MS
from iops.table import Table
from iops.telemetry import Window, merge_windows
from services.insights.history import Span, read_minutes
from services.insights.prometheus.matrix import Instants, Series
from services.insights.prometheus.series import Stored

log = structlog.get_logger()

STREAMS_LIMIT: Final = 200
SAMPLES_RANGE_MS: Final = 6 * HOUR_MS + HOUR_MS // 2  # six hours, and what a range or a step reaches beyond
SAMPLES_HOURS_LIMIT: Final = 700  # of all streams together; 5 ms and 5 read units each at a sample in 2 s
MINUTES_HOURS_LIMIT: Final = 10_000  # 0.4 ms and half a read unit each
SAMPLES_LIMIT: Final = 3_000_000  # in memory, 48 MB
READS_AT_ONCE: Final = 16

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Range:
    """What is looked at, both ends included, in epoch ms."""

    from_ms: int
    to_ms: int

    @property
    def hours(self) -> int:
        """Of the clock, that it touches."""
        return max(0, self.to_ms // HOUR_MS - self.from_ms // HOUR_MS + 1)

    def kept(self, now_ms: int) -> Range:
        """The part of it that there can be samples of."""
        oldest_ms, newest_ms = now_ms - contract.ROLLUP_TTL_S * 1000, now_ms + contract.SAMPLE_AHEAD_LIMIT_S * 1000
        return Range(max(self.from_ms, oldest_ms), min(self.to_ms, newest_ms))


async def read(table: Table, found: Sequence[Stored], wanted: Range, *, now_ms: int) -> tuple[list[Series], list[str]]:
    """The samples of some series, minutes where the range is long or long ago; and what had to be left out.

    Raises QueryRefused for too much, TableUnavailable.
    """
    if wanted.from_ms > wanted.to_ms or not found:
        return [], []
    is_young = wanted.from_ms >= now_ms - contract.SAMPLE_AGE_LIMIT_S * 1000
    reading = _Reading(table, wanted, is_samples=is_young and wanted.to_ms - wanted.from_ms <= SAMPLES_RANGE_MS)
    by_stream: dict[str, list[Stored]] = defaultdict(list)
    for stored in found:
        by_stream[stored.stream_id].append(stored)
    reading.check(len(by_stream))
    read_each = await all_of(reading.stream(each) for each in by_stream.values())
    return [series for each in read_each for series in each], reading.left_out


async def all_of(reads: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """What they come to, some at once; where one fails the others end, and its error is raised."""
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def one(read: Coroutine[Any, Any, Result]) -> Result:
        async with slots:
            return await read

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(read)) for read in reads]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


class _Reading:
    """One query's reads."""

    def __init__(self, table: Table, wanted: Range, *, is_samples: bool) -> None:
        self._table, self._wanted, self._is_samples = table, wanted, is_samples
        self._samples = 0
        self.left_out: list[str] = []

    def check(self, streams: int) -> None:
        """Raises QueryRefused for more than may be read."""
        if streams > STREAMS_LIMIT:
            raise QueryRefused(
                f"query: it reads {streams:,} streams, and {STREAMS_LIMIT} are the limit; select some by stream, "
                "peer_group or a label (iops_stream_risk_score and iops_stream_alert have none: they read nothing)"
            )
        limit, hours = (SAMPLES_HOURS_LIMIT if self._is_samples else MINUTES_HOURS_LIMIT), self._wanted.hours
        if streams * hours > limit:
            raise QueryRefused(
                f"query: it reads {hours:,} hours of {streams} streams, and {limit:,} hours of all are the limit; "
                "select fewer, or ask for less time"
            )

    async def stream(self, found: Sequence[Stored]) -> list[Series]:
        """One stream's series; none of one that is damaged, which hides no other."""
        try:
            window = await self._window(found[0].stream_id)
        except DamagedChunk as error:
            log.warning("stream_left_out", key=error.key)
            self.left_out.append(f"{found[0].stream_id} is left out: {error.detail}")
            return []
        made = await asyncio.to_thread(_series, window, found)
        self._samples += sum(len(each.at_ms) for each in made)
        if self._samples > SAMPLES_LIMIT:
            raise QueryRefused(f"query: it reads more than {SAMPLES_LIMIT:,} samples; select fewer, or ask for less")
        return made

    async def _window(self, stream_id: str) -> Window:
        from_ms, to_ms = self._wanted.from_ms, self._wanted.to_ms
        if not self._is_samples:
            minutes, _ = await read_minutes(self._table, stream_id, Span(from_ms, to_ms, points=SAMPLES_LIMIT))
            return minutes.mean
        rows = await self._table.query(items.chunks_query(stream_id, from_ms=from_ms, to_ms=to_ms))
        return (await asyncio.to_thread(_decode, rows)).since(from_ms).until(to_ms + 1)


def _decode(rows: Iterable[Item]) -> Window:
    return merge_windows([items.item_to_window(row) for row in rows])


def _series(window: Window, found: Sequence[Stored]) -> list[Series]:
    at_ms = np.frombuffer(window.at_ms, dtype=np.int64)
    return [_one(window, at_ms, stored) for stored in found]


def _one(window: Window, at_ms: Instants, stored: Stored) -> Series:
    values = np.frombuffer(window[stored.channel])
    is_there = ~np.isnan(values)
    if stored.channel.endswith("_await_ms"):  # where so few completed that their rate rounds to 0, nothing waited
        is_there &= np.frombuffer(window[stored.channel.replace("await_ms", "iops")]) > 0
    return Series(stored.labels, at_ms[is_there], values[is_there])
