"""What one transaction changes: alerts, their history and timers, pages, and the events that tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from ulid import ULID

from iops import items
from iops.alert import PAGES_NAMED, Alert, Change, Event, EventKind, Page, alert_id_of, page_key_of
from iops.insight import PredictionType
from iops.items import Item
from iops.table import Table
from services.alerts import episode, pages
from services.alerts.episode import Step, Wish
from services.alerts.pages import Told

log = structlog.get_logger()

WRITES_LIMIT: Final = 100  # DynamoDB's, of one transaction
COMPANY_WAIT: Final = timedelta(seconds=1)  # so long an opening waits where others of its page are to be expected
LONGEST_COMPANY_WAIT: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _Newest:
    """Which page is the newest of its peer group and type."""

    page_id: str | None  # None: there is none yet
    version: int


class Docket:
    """Reads what is asked for once, takes steps in memory, and stores all of it together or nothing."""

    def __init__(self, table: Table, targets: Sequence[str], *, now: datetime, later: int = 0) -> None:
        """`targets` are told of each event, once each. `later`: transactions of the same peer group still to come."""
        self.now = now
        self._company_wait = min(COMPANY_WAIT * (1 + later), LONGEST_COMPANY_WAIT)
        self._table = table
        self._targets = targets
        self._alerts: dict[str, Alert | None] = {}
        self._pages: dict[str, Page | None] = {}
        self._newest: dict[str, _Newest] = {}
        self.changes: list[Change] = []
        self.unreadable: dict[str, Exception] = {}  # alerts gone on without
        self._events: list[tuple[Event, datetime]] = []
        self._touched: dict[str, None] = {}  # alerts
        self._touched_pages: dict[str, None] = {}
        self._opened: dict[str, str] = {}  # page key -> the page that is the newest from now on

    async def alert(self, alert_id: str) -> Alert | None:
        """As it is, with the steps taken here."""
        if alert_id not in self._alerts:
            row = await self._table.get(items.key_of(f"alert#{alert_id}", "alert"))
            self._alerts[alert_id] = items.item_to_alert(row) if row else None
        return self._alerts[alert_id]

    async def readable_alert(self, alert_id: str) -> Alert | None:
        """The same; None also for one that cannot be read: the stream's others go on without it."""
        try:
            return await self.alert(alert_id)
        except items.UNREADABLE as error:
            self.unreadable[alert_id] = error
            return None

    async def page(self, page_id: str) -> Page | None:
        """As it is, with the steps taken here."""
        if page_id not in self._pages:
            row = await self._table.get(items.key_of(f"page#{page_id}", "page"))
            self._pages[page_id] = items.item_to_page(row) if row else None
        return self._pages[page_id]

    async def take(self, step: Step, *, has_company: bool = False) -> None:
        """A change of one alert, with what people are to hear of it. `has_company`: others of its kind come too."""
        alert = step.alert
        assert alert.alert_id not in self._touched, "one transaction takes an alert one version on"
        self.changes.append(step.change)
        told = await self._tell(alert, step.wish)
        if told is not None:
            if told.page is not None:
                self._put_page(told.page, is_new=told.event is EventKind.OPENED)
            changes: dict[str, object] = {"page_id": told.page_id, "page_ids": _with_page(alert, told.page_id)}
            if step.wish in (Wish.TELL, Wish.REMIND):
                changes["told_at"] = self.now
            alert = alert.model_copy(update=changes)
            if told.event is not None and told.page is not None:
                self._tell_targets(told.event, told.page, has_company=has_company)
        self._alerts[alert.alert_id] = alert
        self._touched[alert.alert_id] = None

    async def take_page(self, told: Told) -> None:
        """A change of a page by time alone."""
        assert told.page is not None, "time changes a page"
        self._put_page(told.page)
        if told.event is not None:
            self._tell_targets(told.event, told.page, has_company=False)

    def tell_insight(self, insight_id: str) -> None:
        """An insight that is no alert, for programs on the bus."""
        event = Event(event_id=self._new_id(), kind=EventKind.INSIGHT, at=self.now, insight_id=insight_id)
        self._events.append((event, self.now))

    @property
    def is_empty(self) -> bool:
        """Nothing would be written."""
        return not (self._touched or self._touched_pages or self._events)

    def writes(self) -> list[Item]:
        """All of it, as one transaction takes it."""
        writes: list[Item] = []
        for alert in (self._alerts[alert_id] for alert_id in self._touched):
            assert alert is not None, "an alert is never deleted"
            writes.append({"Put": items.alert_put(alert)})
            writes.append(_timer(f"alert#{alert.alert_id}", episode.due_at(alert)))
        writes += [{"Put": items.change_put(change)} for change in self.changes]
        for page in map(self._known, self._touched_pages):
            writes.append({"Put": items.page_put(page)})
            writes.append(_timer(f"page#{page.page_id}", pages.due_at(page)))
        writes += [self._newest_write(key, page_id) for key, page_id in self._opened.items()]
        return writes + self._deliveries()

    async def commit(self, *others: Item) -> None:
        """Stores it together with `others`. Raises Conflict where somebody was faster, TableUnavailable."""
        if writes := [*self.writes(), *others]:
            await self._table.transact(writes)

    async def _tell(self, alert: Alert, wish: Wish) -> Told | None:
        """None where nobody was told, and nobody is to be."""
        if wish is Wish.TELL:
            page = await self._page_of_stream(alert) or await self._newest_page(alert)
            return pages.tell(page, alert, now=self.now)
        page = await self._page_or_none(alert.page_id) if alert.page_id else None
        if page is None or wish is Wish.NOTHING:
            return None
        if wish is Wish.END:
            return pages.end(page, alert, now=self.now)
        return pages.handle(page, alert) if wish is Wish.HANDLE else pages.remind(page, alert, now=self.now)

    async def _page_of_stream(self, alert: Alert) -> Page | None:
        """The page of another trouble of this very stream that people heard of a moment ago: one disk, one mail."""
        for kind in PredictionType:
            other = await self.readable_alert(alert_id_of(alert.stream_id, kind))
            page = await self._page_or_none(other.page_id) if other is not None and other.page_id else None
            if page is not None and pages.is_joined_by(page, now=self.now):
                return page
        return None

    async def _newest_page(self, alert: Alert) -> Page | None:
        key = page_key_of(alert.peer_group, alert.prediction_type)
        if key not in self._newest:
            row = await self._table.get(items.newest_page_key(key))
            self._newest[key] = _newest(row) if row else _Newest(None, 0)
        page_id = self._opened.get(key) or self._newest[key].page_id
        return await self._page_or_none(page_id) if page_id else None

    async def _page_or_none(self, page_id: str) -> Page | None:
        """None also for one that cannot be read: its alerts go on without it."""
        try:
            return await self.page(page_id)
        except items.UNREADABLE:
            log.exception("page_unreadable", page_id=page_id)
            return None

    def _known(self, page_id: str) -> Page:
        page = self._pages[page_id]
        assert page is not None, "a page is never deleted"
        return page

    def _put_page(self, page: Page, *, is_new: bool = False) -> None:
        before = self._pages.get(page.page_id)
        if page.page_id in self._touched_pages and before is not None:
            page = page.model_copy(update={"version": before.version})  # several steps, one version
        self._pages[page.page_id] = page
        self._touched_pages[page.page_id] = None
        if is_new:
            self._opened[page_key_of(page.peer_group, page.prediction_type)] = page.page_id

    def _newest_write(self, key: str, page_id: str) -> Item:
        return {"Put": items.newest_page_put(key, self._known(page_id), version=self._newest[key].version + 1)}

    def _tell_targets(self, kind: EventKind, page: Page, *, has_company: bool) -> None:
        event = Event(
            event_id=self._new_id(),
            kind=kind,
            at=self.now,
            alert_id=page.lead_alert_id,
            page_id=page.page_id,
            after=page.last_event_id,
        )
        self._events.append((event, self.now + self._company_wait if has_company else self.now))
        self._pages[page.page_id] = self._known(page.page_id).model_copy(update={"last_event_id": event.event_id})

    def _deliveries(self) -> list[Item]:
        return [
            {"Put": {"Item": items.delivery_item(event, target, not_before=not_before)}}
            for event, not_before in self._events
            for target in (self._targets if event.kind is not EventKind.INSIGHT else self._targets[:1])
        ]

    def _new_id(self) -> str:
        return str(ULID.from_datetime(self.now))


def _with_page(alert: Alert, page_id: str | None) -> tuple[str, ...]:
    """Its pages with the one that tells of it now, or told of it until now."""
    pages = dict.fromkeys((*alert.page_ids, alert.page_id, page_id))
    return tuple(page for page in pages if page is not None)[-PAGES_NAMED:]


def _newest(row: Item) -> _Newest:
    """A row that does not say the page has the next one opened as if there were none."""
    return _Newest(row.get("page_id", {}).get("S"), int(row["version"]["N"]))


def _timer(entity_id: str, at: datetime | None) -> Item:
    if at is None:
        return {"Delete": {"Key": items.due_key(entity_id)}}
    return {"Put": {"Item": items.due_item(entity_id, at)}}
