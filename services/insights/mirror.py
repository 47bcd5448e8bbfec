"""Rows of one kind of the table in memory, as new as two seconds ago: what a whole fleet is sorted and searched in."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

import structlog

from iops import items
from iops.clock import Clock, to_epoch_ms
from iops.contract import PARTITION_KEY, TIME_KEY
from iops.errors import Unavailable
from iops.items import Item, Where
from iops.table import Table, readable

log = structlog.get_logger()

EVERY_S: Final = 2.0  # half a read unit where nothing changed: 650,000 a month and replica, 8 cents
OVERLAP_MS: Final = 10_000  # what is read again: writers' clocks differ, and an index is a moment late
WHOLE_EVERY: Final = timedelta(minutes=10)  # of 200 streams 12 read units, for a clock that differs more
READ_ROWS: Final = 1_000
CHANGES_KEPT: Final = 5_000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Kind(Generic[Row]):
    """Which rows, and how they are read."""

    entity_type: str
    read: Callable[[Item], Row]
    prefix: str = ""  # of the partition key, before the row's own name
    where: Where | None = None  # those that are kept, asked of the table where all are read ...
    keep: Callable[[Row], bool] = lambda _: True  # ... and the same of a row that changed


class Mirror(Generic[Row]):
    """The rows by name. `version` grows with each change."""

    def __init__(self, table: Table, kind: Kind[Row], clock: Clock) -> None:
        self._table = table
        self._kind = kind
        self._clock = clock
        self._rows: dict[str, Row] = {}
        self._changes: deque[tuple[int, str]] = deque(maxlen=CHANGES_KEPT)
        self._newest_ms = 0
        self._whole_at: datetime | None = None
        self.version = 0
        self.read_at: datetime | None = None  # None: not yet

    @property
    def rows(self) -> Mapping[str, Row]:
        """As they are now; not to be held over an await."""
        return self._rows

    def changed_since(self, version: int) -> list[str] | None:
        """The names of what changed since then; None where that was too much to say."""
        if self._changes and self._changes[0][0] > version + 1 and len(self._changes) == CHANGES_KEPT:
            return None
        names: dict[str, None] = {}
        for each, name in reversed(self._changes):
            if each <= version:
                break
            names[name] = None
        return list(names)

    async def run(self) -> None:
        """Looks until it is cancelled. Where the table is away, what was read stays; `read_at` says how old it is."""
        while True:
            try:
                await self.look_once()
            except Unavailable as error:
                log.warning("mirror_unread", kind=self._kind.entity_type, reason=error.detail)
            except Exception:  # a loop that dies would show an old fleet for good
                log.exception("mirror_unread", kind=self._kind.entity_type)
            await asyncio.sleep(EVERY_S * random.uniform(0.9, 1.1))  # noqa: S311 - replicas drift apart

    async def look_once(self) -> None:
        """Reads what changed, every ten minutes all. Raises Unavailable."""
        now = self._clock()
        is_whole = self._whole_at is None or not timedelta(0) <= now - self._whole_at < WHOLE_EVERY
        await (self._read_all() if is_whole else self._read_newer())
        if is_whole:
            self._whole_at = now
        self.read_at = now

    async def _read_all(self) -> None:
        request = items.list_query(self._kind.entity_type, limit=READ_ROWS)
        if self._kind.where is not None:
            request = items.only_where(request, *self._kind.where)
        # From here on the next look reads: what changes meanwhile may lie before the page that is read.
        newest_ms = to_epoch_ms(self._clock())
        found: dict[str, Row] = {}
        async for page in self._table.pages(request):
            found |= self._named(page)
        gone = self._rows.keys() - found.keys()
        self._take(found)
        self._drop(gone)
        self._newest_ms = newest_ms

    async def _read_newer(self) -> None:
        async for page in self._table.pages(
            items.newer_query(self._kind.entity_type, after_ms=self._newest_ms - OVERLAP_MS)
        ):
            if not page:
                continue
            named = self._named(page)
            kept = {name: row for name, row in named.items() if self._kind.keep(row)}
            self._take(kept)
            self._drop(named.keys() - kept.keys())
            newest_ms = int(page[-1][TIME_KEY]["N"])
            # A clock that is ahead must not hide what all others write.
            self._newest_ms = max(self._newest_ms, min(newest_ms, to_epoch_ms(self._clock())))

    def _named(self, page: list[Item]) -> dict[str, Row]:
        def read(item: Item) -> tuple[str, Row]:
            return item[PARTITION_KEY]["S"].removeprefix(self._kind.prefix), self._kind.read(item)

        return dict(readable(page, read))

    def _take(self, found: Mapping[str, Row]) -> None:
        changed = [name for name, row in found.items() if self._rows.get(name) != row]
        for name in changed:
            self._rows[name] = found[name]
        self._note(changed)

    def _drop(self, names: set[str]) -> None:
        self._note([name for name in names if self._rows.pop(name, None) is not None])

    def _note(self, names: list[str]) -> None:
        if names:
            self.version += 1
            self._changes.extend((self.version, name) for name in names)
