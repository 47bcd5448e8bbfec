"""The worker that rolls up the hours that are over: every stream once an hour, at an instant of its own."""

import asyncio
import hashlib
import random
from typing import Final

import structlog

from iops import contract, items
from iops.clock import Clock, to_epoch_ms
from iops.errors import Conflict, DamagedChunk, Unavailable
from iops.items import Item
from iops.observability import Metrics
from iops.rollup import HOUR_MS, Rollup, roll_up
from iops.table import Table
from iops.telemetry import Window, merge_windows
from services.insights.history import chunk_hours, end_of_rollups_ms, rolled_before_ms

log = structlog.get_logger()

PASS_S: Final = 3_600.0
FIRST_PASS_S: Final = 300.0  # after an outage or a deployment: soon, and still no spike
VISITS_AT_ONCE: Final = 4  # a visit is a few short reads and 10 ms of CPU; scoring has the same process
LIST_PAGE: Final = 1_000
LIST_AGAIN_S: Final = 10.0
RIPE_MS: Final = 120_000  # a mark is of a minute, and clocks and reads of replicas lag a little


class Rollups:
    """Every replica visits every stream in an order of its own: who comes second finds it done (docs/adr/0004)."""

    def __init__(self, table: Table, clock: Clock, metrics: Metrics, *, salt: bytes) -> None:
        """`salt`, at most 64 bytes, makes the order."""
        self._table = table
        self._clock = clock
        self._salt = salt
        self._slots = asyncio.Semaphore(VISITS_AT_ONCE)
        self._waited_h = 0.0
        self._made = metrics.counter("iops_rollups", "Hours rolled up, by whether the row is ours", "outcome")
        self._visits = metrics.counter("iops_rollup_visits", "Streams visited to roll up their hours", "outcome")
        self._damaged = metrics.counter("iops_rollup_damaged_chunks", "Chunks that a rollup had to leave out")
        self._lag_h = metrics.gauge(
            "iops_rollup_lag_hours", "Hours that waited to be rolled up, the most of any stream in the last pass"
        )

    async def run(self) -> None:
        """Works until it is cancelled; what it was doing is done again by the next visit."""
        loop = asyncio.get_running_loop()
        span_s = FIRST_PASS_S
        while True:
            ends_at = loop.time() + span_s
            try:
                streams = await self._list_streams()
            except Exception as error:  # a worker that dies ends all rollups; the log has the cause
                log.warning("streams_not_listed", exc_info=not isinstance(error, Unavailable), reason=str(error))
                await asyncio.sleep(random.uniform(1, LIST_AGAIN_S))  # noqa: S311 - jitter
                continue
            await self._visit_all(streams, over_s=span_s)
            await asyncio.sleep(ends_at - loop.time())
            span_s = PASS_S

    async def roll_stream(self, stream_id: str) -> int:
        """Rolls up the hours of one stream that are over and not rolled up, or were marked since; how many.

        Idempotent, in the order of the hours: where it ends early, the newest rollup says where to go on.
        Raises TableUnavailable.
        """
        end_ms = rolled_before_ms(to_epoch_ms(self._clock()))
        marks = self._ripe(await self._table.query(items.late_query(stream_id)), end_ms)
        newest, _ = await self._table.query_page(items.newest_rollup_query(stream_id))
        oldest_ms = end_ms - contract.CHUNK_TTL_S * 1000
        waiting_ms = end_of_rollups_ms(newest, otherwise_ms=oldest_ms)
        from_ms = max(oldest_ms, min([waiting_ms, *(items.item_to_late(mark)[0] for mark in marks)]))
        made = 0
        async for rows in chunk_hours(self._table, stream_id, from_ms=from_ms, to_ms=end_ms - 1):
            hour_ms = items.chunk_hour_ms(rows[0])
            if hour_ms >= waiting_ms:
                self._waited_h = max(self._waited_h, (end_ms - hour_ms) / HOUR_MS)
            made += await self._roll_hour(stream_id, rows)
        for mark in marks:
            await self._table.delete(items.key_of(stream_id, mark[contract.SORT_KEY]["S"]))
        return made

    def _ripe(self, marks: list[Item], end_ms: int) -> list[Item]:
        """The marks whose minute is over: what is set from now on has another key and is not deleted with them."""
        now_ms = to_epoch_ms(self._clock())
        return [
            mark
            for mark in marks
            for hour_ms, minute_ms in [items.item_to_late(mark)]
            if minute_ms <= now_ms - RIPE_MS and hour_ms < end_ms
        ]

    async def _roll_hour(self, stream_id: str, rows: list[Item]) -> int:
        minutes = await asyncio.to_thread(self._roll_up, rows)
        if not len(minutes):
            return 0
        try:
            await self._table.update(items.rollup_update(stream_id, minutes))
        except Conflict:  # the row was made when more of the hour was in the table
            self._made.labels("fuller_kept").inc()
            return 0
        self._made.labels("stored").inc()
        return 1

    def _roll_up(self, rows: list[Item]) -> Rollup:
        windows = [window for window in map(self._decode, rows) if window is not None]
        return roll_up(merge_windows(windows))

    def _decode(self, row: Item) -> Window | None:
        try:
            return items.item_to_window(row)
        except DamagedChunk as error:
            self._damaged.inc()
            log.exception("chunk_left_out", key=error.key)
            return None

    async def _list_streams(self) -> list[str]:
        """Oldest row first: a row that changes meanwhile moves to the end, where it is met again."""
        streams: set[str] = set()
        request = items.list_query("stream", limit=LIST_PAGE, oldest_first=True)
        async for page in self._table.pages(request):
            streams |= {row[contract.PARTITION_KEY]["S"] for row in page}
        return sorted(streams, key=self._place)

    def _place(self, stream_id: str) -> bytes:
        """Where in the order: the same in every pass of this process, so that a stream's turn comes hourly."""
        return hashlib.blake2b(stream_id.encode(), key=self._salt, digest_size=8).digest()

    async def _visit_all(self, streams: list[str], *, over_s: float) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        self._waited_h = 0.0
        async with asyncio.TaskGroup() as visits:
            for number, stream_id in enumerate(streams):
                await asyncio.sleep(began_at + over_s * number / len(streams) - loop.time())
                await self._slots.acquire()
                visits.create_task(self._visit(stream_id))
        self._lag_h.set(self._waited_h)
        log.info("rollups_passed", streams=len(streams), lag_h=self._waited_h, took_s=round(loop.time() - began_at))

    async def _visit(self, stream_id: str) -> None:
        try:
            await self.roll_stream(stream_id)
            self._visits.labels("done").inc()
        except Unavailable as error:
            self._visits.labels("put_off").inc()
            log.warning("rollup_put_off", stream_id=stream_id, reason=error.detail)
        except Exception:  # one stream must not keep the others from their rollups
            self._visits.labels("failed").inc()
            log.exception("rollup_failed", stream_id=stream_id)
        finally:
            self._slots.release()
