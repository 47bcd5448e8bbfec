"""What was last read of each stream: joins the counters of one instant, and makes samples of one instant and the next.

State moves on only when the samples made from it are stored, and is stored in the same row. So a request that comes
again, to this process or to the next one, makes no sample twice and loses none.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import structlog

from iops import items
from iops.contract import BATCH_SAMPLES_LIMIT
from iops.errors import DamagedChunk, Unavailable
from iops.observability import Metrics
from iops.table import Table
from iops.telemetry import Window, default_peer_group
from services.ingest.arrival import Arrival
from services.ingest.counters import Counters, SampleRow, decode, encode, rows_to_window, sample_between, windows_after
from services.ingest.readings import Block, Readings, Rows, joined

log = structlog.get_logger()

READS_AT_ONCE: Final = 16  # Query calls; a fleet that appears at once does not starve the writers
VERIFY_S: Final = 300  # then a stream's state is compared with the table's
GAP_RATIO: Final = 1.5  # intervals; after a longer gap another replica may have taken what is missing
STREAM_PENDING_LIMIT: Final = 32  # incomplete instants of one stream; the oldest gives way
PENDING_LIMIT: Final = 50_000  # of all streams; 400 bytes each
RETRY_AFTER_S: Final = 2


@dataclass(slots=True)
class _Track:
    """One stream's state."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last: Counters | None = None  # None: nothing complete was ever seen
    interval_ms: int = 0  # between the last two; 0 before there were two
    verified_s: float = -math.inf  # when the table was last asked
    pending: Rows = field(default_factory=dict)


@dataclass(slots=True)
class _Step:
    """What one request does to one stream, before it is done."""

    stream_id: str
    track: _Track
    last: Counters | None
    interval_ms: int
    at_ms: list[int] = field(default_factory=list)
    samples: list[SampleRow] = field(default_factory=list)
    window: Window | None = None  # of a block; else made from `samples`
    pending: Rows = field(default_factory=dict)

    def arrivals(self) -> Iterator[Arrival]:
        """The samples in parts that fit a chunk, the last with what the next sample is made from."""
        window = rows_to_window(self.at_ms, self.samples) if self.samples else self.window
        if self.last is None or window is None:
            return
        group, counters = default_peer_group(self.stream_id), encode(self.last)
        while len(window) > BATCH_SAMPLES_LIMIT:
            yield Arrival(self.stream_id, group, {}, None, window.cut(0, BATCH_SAMPLES_LIMIT))
            window = window.cut(BATCH_SAMPLES_LIMIT, len(window))
        yield Arrival(self.stream_id, group, {}, None, window, counters=counters)


class Tracker:
    """The state of up to `limit` streams, least recently used out; a stream that is out is read from the table."""

    def __init__(
        self,
        table: Table,
        metrics: Metrics,
        *,
        limit: int,
        wait_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._limit = limit
        self._wait_s = wait_s
        self._monotonic_s = monotonic_s
        self._tracks: OrderedDict[str, _Track] = OrderedDict()
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._pending = 0
        self._lapses = metrics.counter("iops_counter_lapses", "Readings that ended in no sample", "reason")
        metrics.gauge("iops_pending_readings", "Incomplete readings").set_function(lambda: self._pending)

    @asynccontextmanager
    async def taking(self, readings: Readings) -> AsyncIterator[list[Arrival]]:
        """The samples that the readings complete; the state moves on where the block ends without an error.

        Raises TableUnavailable, or Unavailable where the streams' last samples are not stored yet.
        """
        # In one order for all, so that no two requests wait for one another.
        tracks = {stream_id: self._track(stream_id) for stream_id in readings.stream_ids()}
        held: list[_Track] = []
        try:
            try:
                async with asyncio.timeout(self._wait_s):
                    for track in tracks.values():
                        await track.lock.acquire()
                        held.append(track)
                    await self._load(tracks, readings)
            except TimeoutError as error:
                raise Unavailable("the last samples are still being stored", retry_after_s=RETRY_AFTER_S) from error
            steps = self._steps(tracks, readings)
            yield [arrival for step in steps for arrival in step.arrivals()]
            for step in steps:
                self._settle(step)
        finally:
            for track in held:
                track.lock.release()

    def _track(self, stream_id: str) -> _Track:
        track = self._tracks.get(stream_id)
        if track is not None:
            self._tracks.move_to_end(stream_id)
            return track
        track = self._tracks[stream_id] = _Track()
        if len(self._tracks) > self._limit:
            oldest_id, oldest = next(iter(self._tracks.items()))
            if oldest.lock.locked():  # in use; a request is bounded, so this is too
                self._tracks.move_to_end(oldest_id)
            else:
                del self._tracks[oldest_id]
                self._pending -= len(oldest.pending)
        return track

    async def _load(self, tracks: Mapping[str, _Track], readings: Readings) -> None:
        """Reads what the table knows better; raises TableUnavailable."""
        firsts = ((name, track, readings.first_ms(name)) for name, track in tracks.items())
        stale_s = self._monotonic_s() - VERIFY_S
        doubtful = [name for name, track, at_ms in firsts if track.verified_s <= stale_s or _has_gap(track, at_ms)]
        if not doubtful:
            return
        try:
            async with asyncio.TaskGroup() as reads:
                for name in doubtful:
                    reads.create_task(self._verify(name, tracks[name]))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _verify(self, stream_id: str, track: _Track) -> None:
        async with self._reads:
            request = items.newest_chunk_query(stream_id) | {"ConsistentRead": True}
            rows, _ = await self._table.query_page(request)
        stored = items.item_to_counters(rows[0]) if rows else None
        if stored is not None:
            try:
                counters = decode(stored, key=stream_id)
            except DamagedChunk as error:
                log.warning("counters_unreadable", reason=error.detail)
            else:
                if track.last is None or counters.at_ms > track.last.at_ms:
                    track.last, track.interval_ms = counters, 0
        track.verified_s = self._monotonic_s()

    def _steps(self, tracks: Mapping[str, _Track], readings: Readings) -> list[_Step]:
        steps = {name: _Step(name, track, track.last, track.interval_ms) for name, track in tracks.items()}
        taken = _take_blocks(steps, readings)
        for name, step in steps.items():
            if name not in taken:
                self._take_rows(step, readings.rows_of(name))
        return list(steps.values())

    def _take_rows(self, step: _Step, rows: Rows) -> None:
        track = step.track
        if track.pending:
            rows = joined(track.pending, rows)
        for at_ms in sorted(rows):
            row = rows[at_ms]
            if step.last is not None and at_ms <= step.last.at_ms:
                if at_ms not in track.pending:
                    self._lapses.labels("old").inc()
            elif None in row:
                step.pending[at_ms] = row
            else:
                self._advance(step, Counters(at_ms, *row))  # type: ignore[arg-type]

    def _advance(self, step: _Step, counters: Counters) -> None:
        if step.last is not None:
            sample = sample_between(step.last, counters)
            if sample is None:
                self._lapses.labels("reset_or_gap").inc()
            else:
                step.at_ms.append(counters.at_ms)
                step.samples.append(sample)
                step.interval_ms = counters.at_ms - step.last.at_ms
        step.last = counters

    def _settle(self, step: _Step) -> None:
        track = step.track
        track.last, track.interval_ms = step.last, step.interval_ms
        self._pending -= len(track.pending)
        newest = sorted(at_ms for at_ms in step.pending if step.last is None or at_ms > step.last.at_ms)
        room = max(0, min(STREAM_PENDING_LIMIT, PENDING_LIMIT - self._pending))
        kept = newest[-room:] if room else []
        self._lapses.labels("incomplete").inc(len(step.pending) - len(kept))
        track.pending = {at_ms: step.pending[at_ms] for at_ms in kept}
        self._pending += len(kept)


def _has_gap(track: _Track, at_ms: int) -> bool:
    """Whether another replica may have taken what is missing."""
    return track.last is not None and at_ms - track.last.at_ms > GAP_RATIO * track.interval_ms


def _take_blocks(steps: Mapping[str, _Step], readings: Readings) -> set[str]:
    """All samples of the streams that sent whole blocks and nothing else; which ones these were."""
    by_count: dict[int, list[tuple[_Step, Counters, Block]]] = {}
    for name, block in readings.blocks.items():
        step = steps[name]
        if step.last is not None and not step.track.pending and name not in readings.streams:
            by_count.setdefault(len(block.instants), []).append((step, step.last, block))
    for same in by_count.values():
        _, befores, blocks = zip(*same, strict=True)
        at_ms, columns = (np.stack(part) for part in zip(*((b.instants, b.columns) for b in blocks), strict=True))
        for (step, before, block), window in zip(same, windows_after(befores, at_ms, columns), strict=True):
            if window is not None:
                step.window = window
                step.last = Counters(window.at_ms[-1], *block.columns[:, -1].tolist())
                step.interval_ms = window.at_ms[-1] - ([before.at_ms, *window.at_ms[-2:-1]][-1])
    return {name for name in readings.blocks if steps[name].window is not None}
