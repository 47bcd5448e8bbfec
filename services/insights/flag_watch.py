"""Writes down that the flags were changed: once for all replicas, also where that was done while none ran."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from iops import items
from iops.audit import Deed, DeedKind
from iops.clock import Clock
from iops.errors import Conflict, Unavailable
from iops.flags import FlagReader, Flags, FlagsUnread, parse_flags
from iops.items import UNREADABLE, Item
from iops.table import Table
from iops.witness import deed_beside

log = structlog.get_logger()

INTERVAL_S: Final = 10.0  # it asks the table only where the reader has other flags than were seen last


class FlagWatch:
    """Compares the flags with those that the table has as seen last.

    They are in force before it writes: whoever changed them did so beside the services, which cannot refuse it.
    """

    def __init__(self, table: Table, reader: FlagReader, clock: Clock) -> None:
        self._table, self._reader, self._clock = table, reader, clock
        self._written: Flags | None = None  # what the table had as seen last, when we looked

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            try:
                await self.look()
            except (Conflict, Unavailable) as error:
                log.warning("flag_watch_waited", reason=error.detail)
            except Exception:  # a watch that died would make the service unready
                log.exception("flag_watch_failed")
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """One turn. Raises TableUnavailable, and Conflict where another replica was faster: then look again."""
        if self._reader.current == self._written:
            return
        # In this order: whatever is stored after the first of these reads has the write of this turn refused.
        row = await self._table.get(items.SEEN_FLAGS_KEY)
        try:
            now = parse_flags(await self._reader.source.read())
        except FlagsUnread:
            return  # the reader tells of it
        before = _seen(row)
        if before != now:
            await self._write(row, before, now)
        self._written = now

    async def _write(self, row: Item | None, before: Flags | None, now: Flags) -> None:
        version = int(row["version"]["N"]) + 1 if row else 1
        writes: list[Item] = [{"Put": items.seen_flags_put(now.model_dump_json(), version=version)}]
        if before is not None:  # else nobody knows what they were
            writes.append({"Put": items.deed_put(await self._deed(before, now))})
        await self._table.transact(writes)

    async def _deed(self, before: Flags, now: Flags) -> Deed:
        source = self._reader.source
        by = await source.changed_by(now) or f"whoever changed {source.name}"
        changes = {flag: (getattr(before, flag), value) for flag, value in now if value != getattr(before, flag)}
        detail = {flag: f"{_word(old)} -> {_word(new)}" for flag, (old, new) in changes.items()}
        return deed_beside(by, DeedKind.FLAGS_CHANGED, about=source.name, now=self._clock(), detail=detail)


def _seen(row: Item | None) -> Flags | None:
    """None also where it is damaged, or of a program with other flags."""
    try:
        return Flags.model_validate_json(row["doc"]["S"]) if row else None
    except UNREADABLE:
        return None


def _word(value: float | bool) -> str:
    """As the document says it.

    >>> _word(True), _word(5.0), _word(0.25)
    ('true', '5', '0.25')
    """
    return str(value).lower() if isinstance(value, bool) else f"{value:.15g}"
