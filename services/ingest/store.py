"""Group commit: rows of many requests in as few BatchWriteItem calls as there can be; a request waits for its own."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from iops.contract import PARTITION_KEY, SORT_KEY
from iops.errors import IopsError, QueueFull, TableUnavailable
from iops.items import Item
from iops.observability import Metrics
from iops.table import WRITE_LIMIT, Table
from services.ingest.settings import IngestSettings

log = structlog.get_logger()

RETRY_AFTER_S: Final = 2


@dataclass(slots=True)
class _Request:
    """One request's rows: how many are not stored yet, and who waits for them."""

    left: int
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Row:
    item: Item
    request: _Request


class GroupCommit:
    """The queue ahead of the table. Bounded in samples: beyond the limit it refuses at once instead of growing slow."""

    def __init__(self, table: Table, settings: IngestSettings, metrics: Metrics) -> None:
        self._table = table
        self._settings = settings
        self._rows: deque[_Row] = deque()
        self._arrived = asyncio.Event()
        self._waiting_samples = 0
        self._rows_stored = metrics.counter("iops_rows_stored", "Rows that the table has acknowledged")
        self._store_failures = metrics.counter("iops_store_failures", "BatchWriteItem calls given up", "reason")
        waiting = metrics.gauge("iops_waiting_samples", "Samples waiting for the table")
        waiting.set_function(lambda: self._waiting_samples)

    async def store(self, items: Sequence[Item], *, samples: int) -> None:
        """Returns when the table has every row.

        Raises QueueFull or TableUnavailable; some rows may be stored then, and sending them again is harmless.
        """
        if self._waiting_samples + samples > self._settings.waiting_samples_limit:
            raise QueueFull("the queue ahead of the table is full", retry_after_s=RETRY_AFTER_S)
        request = _Request(len(items), asyncio.get_running_loop().create_future())
        self._waiting_samples += samples
        self._rows.extend(_Row(item, request) for item in items)
        self._arrived.set()
        try:
            async with asyncio.timeout(self._settings.store_wait_s):
                await request.done
        except TimeoutError as error:
            raise TableUnavailable("the table is too slow", retry_after_s=RETRY_AFTER_S) from error
        finally:
            self._waiting_samples -= samples
            request.done.cancel()  # rows nobody waits for any more are left out

    async def run(self) -> None:
        """Writes until it is cancelled."""
        async with asyncio.TaskGroup() as writers:
            for _ in range(self._settings.store_writers):
                writers.create_task(self._write_forever())

    async def _write_forever(self) -> None:
        while True:
            rows = await self._take()
            if rows:
                await self._write(rows)

    async def _take(self) -> list[list[_Row]]:
        """Up to 25 rows of different keys, each with everybody who waits for it: BatchWriteItem takes a key once."""
        await self._arrived.wait()
        if len(self._rows) < WRITE_LIMIT:
            await asyncio.sleep(self._settings.store_linger_ms / 1000)
        taken: dict[tuple[str, str], list[_Row]] = {}
        while self._rows and len(taken) < WRITE_LIMIT:
            row = self._rows.popleft()
            if not row.request.done.done():
                key = (row.item[PARTITION_KEY]["S"], row.item[SORT_KEY]["S"])
                taken.setdefault(key, []).append(row)
        if not self._rows:
            self._arrived.clear()
        return list(taken.values())

    async def _write(self, groups: list[list[_Row]]) -> None:
        try:
            await self._table.put_all([rows[0].item for rows in groups], deadline_s=self._settings.store_deadline_s)
        except TableUnavailable as error:
            error.retry_after_s = RETRY_AFTER_S
            self._fail(groups, error)
            log.warning("rows_not_stored", rows=len(groups), reason=error.detail)
        except Exception as error:  # a writer that dies would let every later request wait in vain
            self._fail(groups, error)
            log.exception("rows_refused", rows=len(groups))
        else:
            self._rows_stored.inc(len(groups))
            for row in (row for rows in groups for row in rows):
                row.request.left -= 1
                if row.request.left == 0 and not row.request.done.done():
                    row.request.done.set_result(None)

    def _fail(self, groups: list[list[_Row]], error: Exception) -> None:
        self._store_failures.labels(error.code if isinstance(error, IopsError) else type(error).__name__).inc()
        for row in (row for rows in groups for row in rows):
            if not row.request.done.done():
                row.request.done.set_exception(error)
