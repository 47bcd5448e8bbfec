"""Group commit: samples of many requests in as few rows and writes as there can be; a request waits for its own."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from iops import items
from iops.errors import IopsError, QueueFull, TableUnavailable
from iops.observability import Metrics
from iops.table import WRITE_LIMIT, Table
from iops.telemetry import merge_windows
from services.ingest.arrival import Arrival
from services.ingest.settings import IngestSettings

log = structlog.get_logger()

RETRY_AFTER_S: Final = 2
EXPIRY_CHECK_S: Final = 0.25


@dataclass(slots=True)
class _Request:
    """How many of a request's arrivals are not stored yet, and who waits for them."""

    left: int
    done: asyncio.Future[None]


Waiting = tuple[Arrival, _Request]


class GroupCommit:
    """The queue ahead of the table. Bounded in samples: beyond the limit it refuses at once instead of growing slow.

    What waits of one stream when a writer comes by shares a chunk: a row costs the same up to 1 KB.
    """

    def __init__(self, table: Table, settings: IngestSettings, metrics: Metrics) -> None:
        self._table = table
        self._settings = settings
        self._queue: deque[Waiting] = deque()
        self._deadlines: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()
        self._waiting_samples = 0
        self._rows_stored = metrics.counter("iops_rows_stored", "Rows that the table has acknowledged")
        self._samples_stored = metrics.counter("iops_samples_stored", "Samples whose senders were told that they are")
        self._store_failures = metrics.counter("iops_store_failures", "Writes given up", "reason")
        waiting = metrics.gauge("iops_waiting_samples", "Samples waiting for the table")
        waiting.set_function(lambda: self._waiting_samples)

    async def store(self, arrivals: Sequence[Arrival]) -> int:
        """Returns the count of samples when the table has all of them.

        Raises QueueFull or TableUnavailable; some rows may be stored then, and sending them again is harmless.
        """
        samples = sum(len(arrival.window) for arrival in arrivals)
        self.check_room(samples)
        request = _Request(len(arrivals), asyncio.get_running_loop().create_future())
        self._waiting_samples += samples
        self._queue.extend((arrival, request) for arrival in arrivals)
        self._deadlines.append((request.done.get_loop().time() + self._settings.store_wait_s, request.done))
        self._arrived.set()
        try:
            await request.done
        finally:
            self._waiting_samples -= samples
            request.done.cancel()  # what nobody waits for any more is left out
        self._samples_stored.inc(samples)
        return samples

    def check_room(self, samples: int = 1) -> None:
        """Raises QueueFull where so many more do not fit; asked before a body is parsed, a refusal costs little."""
        if self._waiting_samples + samples > self._settings.waiting_samples_limit:
            raise QueueFull("the queue ahead of the table is full", retry_after_s=RETRY_AFTER_S)

    async def run(self) -> None:
        """Writes until it is cancelled."""
        async with asyncio.TaskGroup() as writers:
            writers.create_task(self._expire_forever())
            for _ in range(self._settings.store_writers):
                writers.create_task(self._write_forever())

    async def _expire_forever(self) -> None:
        """Ends the waits that are over; all are equally long, so they end in order. A timer each would cost 7 us."""
        while True:
            await asyncio.sleep(EXPIRY_CHECK_S)
            now_s = asyncio.get_running_loop().time()
            while self._deadlines and (self._deadlines[0][1].done() or self._deadlines[0][0] <= now_s):
                _, done = self._deadlines.popleft()
                if not done.done():
                    done.set_exception(TableUnavailable("the table is too slow", retry_after_s=RETRY_AFTER_S))

    async def _write_forever(self) -> None:
        while True:
            await self._arrived.wait()
            if len(self._queue) < WRITE_LIMIT:
                await asyncio.sleep(self._settings.store_linger_ms / 1000)
            await self._write(self._take())  # no name for it here: it would keep all of it until the next write

    def _take(self) -> dict[str, list[Waiting]]:
        """What waits of the next 25 streams."""
        taken: dict[str, list[Waiting]] = {}
        while self._queue and (len(taken) < WRITE_LIMIT or self._queue[0][0].stream_id in taken):
            waiting = self._queue.popleft()
            if not waiting[1].done.done():
                taken.setdefault(waiting[0].stream_id, []).append(waiting)
        if not self._queue:
            self._arrived.clear()
        return taken

    async def _write(self, streams: dict[str, list[Waiting]]) -> None:
        everybody = [request for waiting in streams.values() for _, request in waiting]
        try:
            rows = items.chunk_items_of([_joined([arrival for arrival, _ in waiting]) for waiting in streams.values()])
            for start in range(0, len(rows), WRITE_LIMIT):
                part = rows[start : start + WRITE_LIMIT]
                await self._table.put_all(part, deadline_s=self._settings.store_deadline_s)
        except TableUnavailable as error:
            error.retry_after_s = RETRY_AFTER_S
            error.forget_frames()
            self._fail(everybody, error)
            log.warning("rows_not_stored", rows=len(rows), reason=error.detail)
        except Exception as error:  # a writer that dies would let every later request wait in vain
            self._fail(everybody, error)
            log.exception("rows_refused", streams=len(streams))
        else:
            self._rows_stored.inc(len(rows))
            for request in everybody:
                request.left -= 1
                if request.left == 0 and not request.done.done():
                    request.done.set_result(None)

    def _fail(self, requests: list[_Request], error: Exception) -> None:
        self._store_failures.labels(error.code if isinstance(error, IopsError) else type(error).__name__).inc()
        for request in requests:
            if not request.done.done():
                request.done.set_exception(error)


def _joined(arrivals: list[Arrival]) -> items.Arrived:
    """What arrived of one stream, as one; of several samples at one instant the last to come stays."""
    if len(arrivals) == 1:
        return items.Arrived(arrivals[0].stream_id, arrivals[0].window, arrivals[0].counters)
    window = merge_windows([arrival.window for arrival in arrivals])
    counted = [arrival for arrival in arrivals if arrival.counters is not None]
    newest = max(counted, key=lambda arrival: arrival.window.at_ms[-1], default=arrivals[0])
    return items.Arrived(newest.stream_id, window, newest.counters)
