"""Reads the samples that a query needs from the table, bounded in streams, hours and memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

import numpy as np
import structlog

from iops import contract
from iops.errors import DamagedChunk, QueryRefused
from iops.rollup import HOUR_MS
from iops.table import Table
from services.insights.prometheus.matrix import Array, Instants, Labels, Series
from services.insights.prometheus.samples import Range, read_minutes, read_samples
from services.insights.prometheus.series import Stored

log = structlog.get_logger()

STREAMS_LIMIT: Final = 200
SAMPLES_RANGE_MS: Final = 6 * HOUR_MS + HOUR_MS // 2  # six hours, and what a range or a step reaches beyond
SAMPLES_HOURS_LIMIT: Final = 700  # of all streams together; 5 ms and 5 read units each at a sample in 2 s
MINUTES_HOURS_LIMIT: Final = 10_000  # 0.4 ms and half a read unit each
SAMPLES_LIMIT: Final = 3_000_000  # in memory, 48 MB
READS_AT_ONCE: Final = 16

Result = TypeVar("Result")


def hours_of(wanted: Range) -> int:
    """Hours of the clock that it touches."""
    return max(0, wanted.to_ms // HOUR_MS - wanted.from_ms // HOUR_MS + 1)


def part_kept(wanted: Range, now_ms: int) -> Range:
    """The part of it that there can be samples of."""
    oldest_ms, newest_ms = now_ms - contract.ROLLUP_TTL_S * 1000, now_ms + contract.SAMPLE_AHEAD_LIMIT_S * 1000
    return Range(max(wanted.from_ms, oldest_ms), min(wanted.to_ms, newest_ms))


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
    read_each = await all_of(partial(reading.stream, each) for each in by_stream.values())
    return [series for each in read_each for series in each], reading.left_out


async def all_of(reads: Iterable[Callable[[], Awaitable[Result]]]) -> list[Result]:
    """What they come to, some at once; where one fails the others end, and its error is raised."""
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def one(read: Callable[[], Awaitable[Result]]) -> Result:
        async with slots:
            return await read()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(read)) for read in reads]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


class _Reading:
    """One query's reads."""

    def __init__(self, table: Table, wanted: Range, *, is_samples: bool) -> None:
        self._table, self._wanted = table, wanted
        self._read = read_samples if is_samples else read_minutes
        self._hours_limit = SAMPLES_HOURS_LIMIT if is_samples else MINUTES_HOURS_LIMIT
        self._samples = 0
        self.left_out: list[str] = []

    def check(self, streams: int) -> None:
        """Raises QueryRefused for more than may be read."""
        if streams > STREAMS_LIMIT:
            raise QueryRefused(
                f"query: it reads {streams:,} streams, and {STREAMS_LIMIT} are the limit; select some by stream, "
                "peer_group or a label (iops_stream_risk_score and iops_stream_alert are not read there)"
            )
        limit, hours = self._hours_limit, hours_of(self._wanted)
        if streams * hours > limit:
            raise QueryRefused(
                f"query: it reads {hours:,} hours of {streams} streams, and {limit:,} hours of all are the limit; "
                "select fewer, or ask for less time"
            )

    async def stream(self, found: Sequence[Stored]) -> list[Series]:
        """One stream's series; none of one that is damaged, which hides no other."""
        channels, stream_id = [stored.channel for stored in found], found[0].stream_id
        try:
            samples = await self._read(self._table, stream_id, channels, self._wanted)
        except DamagedChunk as error:
            log.warning("stream_left_out", key=error.key)
            self.left_out.append(f"{stream_id} is left out: {error.detail}")
            return []
        made = [
            _one(stored.labels, samples.at_ms, values) for stored, values in zip(found, samples.values, strict=True)
        ]
        self._samples += sum(len(each.at_ms) for each in made)
        if self._samples > SAMPLES_LIMIT:
            raise QueryRefused(f"query: it reads more than {SAMPLES_LIMIT:,} samples; select fewer, or ask for less")
        return made


def _one(labels: Labels, at_ms: Instants, values: Array) -> Series:
    is_there = ~np.isnan(values)
    return Series(labels, at_ms[is_there], values[is_there])
