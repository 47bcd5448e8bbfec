"""The last hour of the streams that somebody is looking at: a latency for each minute, and the newest numbers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import structlog

from iops import items
from iops.baseline import MINUTE_MS, Summary, summarize
from iops.clock import Clock, from_epoch_ms, to_epoch_ms
from iops.errors import Unavailable
from iops.items import Item
from iops.minutes import AWAIT, minutes_of
from iops.table import Table
from iops.telemetry import Window

log = structlog.get_logger()

MINUTES: Final = 60
HOUR_MS: Final = MINUTES * MINUTE_MS
LATEST_MS: Final = 30_000  # what "now" is the mean of
FRESH_MS: Final = 20_000  # after which somebody who looks has it read again
LONG_BATCH_MS: Final = 5 * MINUTE_MS  # a chunk that began so long before the hour may reach into it
READS_AT_ONCE: Final = 16
WAIT_S: Final = 0.05  # that a page waits for what has to be read; the rest is there at its next look
KEPT: Final = 5_000  # streams; 1 KB each


@dataclass(frozen=True, slots=True)
class Spark:
    """One stream. `await_ms` has the mean of each of the last 60 minutes, the newest last; None where nothing
    completed or nothing was sent."""

    at_ms: int  # of its newest sample
    await_ms: tuple[float | None, ...]
    latest: Summary
    chunk_ms: int = 0  # the first sample of the newest chunk that is known
    looked_ms: int = 0

    @property
    def last_at(self) -> datetime:
        """Of its newest sample."""
        return from_epoch_ms(self.at_ms)


class Sparks:
    """Of a stream that this replica scores they are made of the window in memory; else its chunks are read, once a
    while and only the newer ones."""

    def __init__(self, table: Table, clock: Clock, *, peek: Callable[[str], Window | None]) -> None:
        self._table = table
        self._clock = clock
        self._peek = peek
        self._known: OrderedDict[str, Spark | None] = OrderedDict()  # None: nothing in the last hour
        self._looked_ms: dict[str, int] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(READS_AT_ONCE)
        self._decoding = asyncio.Lock()  # of two threads that decode each waits for the other, and the loop for both

    async def of(self, stream_ids: Sequence[str], *, wait_s: float = WAIT_S) -> dict[str, Spark | None]:
        """What is known within `wait_s`. None: it sent nothing in the last hour; a stream that is missing is not read
        yet."""
        now_ms = to_epoch_ms(self._clock())
        due = [stream_id for stream_id in stream_ids if not self._is_fresh(stream_id, now_ms)]
        reading = {stream_id: self._begin(stream_id, now_ms) for stream_id in due}
        # What was known a minute ago is shown, and is new at the next look.
        missed = [
            task for stream_id, task in reading.items() if now_ms - self._looked_ms.get(stream_id, 0) >= MINUTE_MS
        ]
        if missed:
            await asyncio.wait(missed, timeout=wait_s)
        return {
            stream_id: _as_of(self._known[stream_id], now_ms) for stream_id in stream_ids if stream_id in self._known
        }

    def _is_fresh(self, stream_id: str, now_ms: int) -> bool:
        window = self._peek(stream_id)
        if window is not None and len(window) and now_ms - window.at_ms[-1] < 2 * MINUTE_MS:
            known = self._known.get(stream_id)
            if known is None or known.at_ms < window.at_ms[-1]:
                self._keep(stream_id, make_spark(window, now_ms=now_ms), now_ms)
            return True
        return now_ms - self._looked_ms.get(stream_id, 0) < FRESH_MS

    def _begin(self, stream_id: str, now_ms: int) -> asyncio.Task[None]:
        task = self._reading.get(stream_id)
        if task is None:
            task = asyncio.create_task(self._read(stream_id, now_ms), name=f"spark {stream_id}")
            self._reading[stream_id] = task
            task.add_done_callback(lambda _: self._reading.pop(stream_id, None))
        return task

    async def _read(self, stream_id: str, now_ms: int) -> None:
        known = self._known.get(stream_id)
        try:
            async with self._slots:
                if known is not None and now_ms - known.at_ms >= HOUR_MS:
                    known = None
                from_ms = now_ms - HOUR_MS - LONG_BATCH_MS if known is None else known.chunk_ms
                query = items.newer_chunks_query(stream_id, from_ms=from_ms)
                rows = await self._table.query(query | {"ConsistentRead": False})
                # Within the slot: what is read and waits to be decoded is 0.2 MB a stream, and people turn many pages.
                async with self._decoding:
                    spark = await asyncio.to_thread(_joined, known, rows, now_ms)
            self._keep(stream_id, spark, now_ms)
        except Unavailable as error:
            log.warning("spark_unread", stream_id=stream_id, reason=error.detail)

    def _keep(self, stream_id: str, spark: Spark | None, now_ms: int) -> None:
        self._known[stream_id], self._looked_ms[stream_id] = spark, now_ms
        self._known.move_to_end(stream_id)
        while len(self._known) > KEPT:
            gone, _ = self._known.popitem(last=False)
            self._looked_ms.pop(gone, None)


def make_spark(window: Window, *, now_ms: int, chunk_ms: int = 0) -> Spark | None:
    """Of a window, what lies in the last hour; None where nothing does."""
    end_minute = now_ms // MINUTE_MS + 1
    window = window.since(now_ms - HOUR_MS)
    latest = summarize(window.since(window.at_ms[-1] - LATEST_MS)) if len(window) else None
    if latest is None:
        return None
    known = minutes_of(window, end_minute=end_minute, count=MINUTES)[:, AWAIT]
    minutes = tuple(None if np.isnan(value) else round(float(value), 4) for value in known)
    return Spark(window.at_ms[-1], minutes, latest, chunk_ms=chunk_ms, looked_ms=now_ms)


def _joined(known: Spark | None, rows: Sequence[Item], now_ms: int) -> Spark | None:
    """What was known, moved to now, and what newer chunks say; a minute that they hold a part of stays as it was."""
    merged, _ = items.items_to_window(rows)  # a damaged chunk must not hide the stream; the scorer reports it
    newest = make_spark(merged, now_ms=now_ms, chunk_ms=items.chunk_begins_ms(rows[-1]) if rows else 0)
    if known is None or newest is None:
        return newest or _as_of(known, now_ms)
    before = _as_of(known, now_ms)
    if before is None:
        return newest
    shift = now_ms // MINUTE_MS - (merged.at_ms[0] - 1) // MINUTE_MS
    partial = MINUTES - 1 - shift  # the minute in which the newer chunks begin
    joined = [new if new is not None else old for new, old in zip(newest.await_ms, before.await_ms, strict=True)]
    if 0 <= partial < MINUTES and before.await_ms[partial] is not None:
        joined[partial] = before.await_ms[partial]
    return replace(newest, await_ms=tuple(joined))


def _as_of(spark: Spark | None, now_ms: int) -> Spark | None:
    """The same an instant later: its minutes move to the left; None where it is an hour old."""
    if spark is None or now_ms - spark.at_ms >= HOUR_MS:
        return None
    moved = min(MINUTES, max(0, now_ms // MINUTE_MS - spark.looked_ms // MINUTE_MS))
    if moved == 0:
        return spark
    return replace(spark, await_ms=(*spark.await_ms[moved:], *(None,) * moved), looked_ms=now_ms)
