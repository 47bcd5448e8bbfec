"""An alert's story as the table has it: its history, its page, and what people were told, word for word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from iops import items
from iops.alert import Alert, Change, Event, EventKind, Page, Telling
from iops.auth import Caller
from iops.clock import from_epoch_ms
from iops.contract import SORT_KEY, TIME_KEY
from iops.errors import NotFound
from iops.items.alerts import DELIVERY_PREFIX
from iops.table import Table, read_row, readable

HISTORY_LIMIT: Final = 100  # changes shown; at 300 bytes each 8 read units
MAILS_LIMIT: Final = 100  # of each page; at 1.5 KB each 38 read units
ON_THEIR_WAY_LIMIT: Final = 20  # events of a page that wait for a target: three days of reminders
LOOK_ROWS: Final = 500  # alerts of one read, about 1 MB: 128 read units
LOOK_READS: Final = 4  # of one look


class PageView(Page):
    """What people were told together."""

    waiting_for: tuple[str, ...] = Field(description="targets that have not taken the last event yet")


class Taken(BaseModel):
    """Who took it, and when."""

    model_config = ConfigDict(frozen=True)

    target: str
    at: datetime


class MailView(BaseModel):
    """One event of a page, as people were told of it."""

    model_config = ConfigDict(frozen=True)

    event_id: str
    kind: EventKind
    at: datetime
    lines: tuple[str, ...] = Field(description="the mail, word for word; empty while it has not gone out")
    taken: tuple[Taken, ...] = Field(description="targets that took it, in their order")
    waiting_for: tuple[str, ...] = Field(description="targets that have not taken it yet")


async def read_alert(table: Table, alert_id: str, caller: Caller) -> Alert:
    """One alert of the caller's. Raises NotFound, DamagedRow."""
    row = await table.get_own(items.key_of(f"alert#{alert_id}", "alert"), caller)
    if row is None:
        raise unknown(alert_id)
    return read_row(row, items.item_to_alert)


def unknown(alert_id: str) -> NotFound:
    """There is no such alert."""
    return NotFound(f"there is no alert {alert_id!r}, or it was resolved more than 90 days ago")


@dataclass(frozen=True, slots=True)
class Look:
    """What one look through the alerts found, those that changed last first."""

    alerts: Sequence[Alert]
    cursor: str | None  # where to look further; None: nothing older is left

    @property
    def searched_to_at(self) -> datetime | None:
        """How far back it looked; None: to the end."""
        start = items.cursor_to_start(self.cursor, "alert")
        return from_epoch_ms(int(start[TIME_KEY]["N"])) if start else None


async def find_alerts(
    table: Table,
    caller: Caller,
    fits: Callable[[Alert], bool],
    *,
    limit: int,
    cursor: str | None,
    reads: int = LOOK_READS,
) -> Look:
    """Up to `limit` of the caller's alerts that fit, among the next 500 of each read. Raises InvalidCursor."""
    found: list[tuple[items.Item, Alert]] = []
    for _ in range(reads):
        rows, cursor = await table.list_page("alert", caller=caller, limit=LOOK_ROWS, cursor=cursor)
        found += [(row, alert) for row, alert in readable(rows, _with_row) if fits(alert)]
        if len(found) > limit:
            found = found[:limit]
            cursor = items.start_to_cursor(found[-1][0])
        if cursor is None or len(found) == limit:
            break
    return Look([alert for _, alert in found], cursor)


def _with_row(row: items.Item) -> tuple[items.Item, Alert]:
    return row, items.item_to_alert(row)


async def read_history(table: Table, alert_id: str) -> list[Change]:
    """Its newest 100 changes, newest first."""
    rows, _ = await table.query_page(items.changes_query(alert_id, limit=HISTORY_LIMIT))
    return readable(rows, items.item_to_change)


async def read_page(table: Table, page_id: str) -> PageView | None:
    """A page; None where it is gone or cannot be read."""
    page = await table.get_readable(items.key_of(f"page#{page_id}", "page"), items.item_to_page)
    if page is None:
        return None
    waiting = await table.query(items.deliveries_query(page.last_event_id)) if page.last_event_id else []
    return PageView(**dict(page), waiting_for=_targets_of(waiting))


async def read_mails(table: Table, alert: Alert) -> list[MailView]:
    """What people were told of the alert's pages, newest first."""
    of_pages = await asyncio.gather(*(_read_mails_of(table, page_id) for page_id in alert.page_ids))
    mails = [mail for each in of_pages for mail in each]
    # At one instant in the order of the alphabet, which is theirs: opened, reminder, resolved.
    return sorted(mails, key=lambda mail: (mail.at, mail.kind), reverse=True)


async def _read_mails_of(table: Table, page_id: str) -> list[MailView]:
    page = await table.get_readable(items.key_of(f"page#{page_id}", "page"), items.item_to_page)
    # Before what was taken: what is taken in between is in both lists, and not in neither.
    waiting = await _read_waiting(table, page.last_event_id if page else None)
    rows, _ = await table.query_page(items.tellings_query(page_id, limit=MAILS_LIMIT))
    tellings = readable(rows, items.item_to_telling)
    known = {telling.event_id: telling for telling in tellings} | {event.event_id: event for event, _ in waiting}
    targets = {event.event_id: names for event, names in waiting}
    return [
        _mail(about, [each for each in tellings if each.event_id == event_id], targets.get(event_id, ()))
        for event_id, about in known.items()
    ]


async def _read_waiting(table: Table, event_id: str | None) -> list[tuple[Event, tuple[str, ...]]]:
    """The page's events that some target has not taken, newest first. A target takes them in their order: where nobody
    waits for one, nobody waits for those before it."""
    found: list[tuple[Event, tuple[str, ...]]] = []
    while event_id is not None and len(found) < ON_THEIR_WAY_LIMIT:
        rows = await table.query(items.deliveries_query(event_id))
        events = readable(rows, items.item_to_event)
        if not events:
            break
        found.append((events[0], _targets_of(rows)))
        event_id = events[0].after
    return found


def _mail(about: Event | Telling, tellings: Sequence[Telling], waiting_for: Sequence[str]) -> MailView:
    taken = sorted((Taken(target=each.target, at=each.taken_at) for each in tellings), key=lambda each: each.at)
    return MailView(
        event_id=about.event_id,
        kind=about.kind,
        at=about.at,
        lines=next((each.lines for each in tellings if each.lines), ()),
        taken=tuple(taken),
        waiting_for=tuple(name for name in waiting_for if name not in {each.target for each in tellings}),
    )


def _targets_of(rows: Iterable[items.Item]) -> tuple[str, ...]:
    return tuple(row[SORT_KEY]["S"].removeprefix(DELIVERY_PREFIX) for row in rows)
