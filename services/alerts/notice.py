"""What an event says when it is sent: the alert, its page and its newest insight as they are then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from iops import items
from iops.alert import Alert, Event, EventKind, Page
from iops.insight import Insight
from iops.items import Item
from iops.table import Table

log = structlog.get_logger()

Document = TypeVar("Document")


@dataclass(frozen=True, slots=True)
class Notice:
    """An event with all that a text or a payload is made of. An event of an insight has only that one.

    Each is None where its row is gone or cannot be read: then it is told with what is there.
    """

    event: Event  # its `alert_id` is the page's lead, under which pagers know the page
    url: str  # of the page where a person reads on
    insight: Insight | None = None
    alert: Alert | None = None  # the page's lead; where that has ended before the page, one that has not
    page: Page | None = None


async def compose(table: Table, event: Event, *, public_url: str) -> Notice:
    """Reads what the event is about. Raises TableUnavailable."""
    page = await _read(table, "page", event.page_id, items.item_to_page)
    alert_id = _telling(event, page)
    alert = await _read(table, "alert", alert_id, items.item_to_alert)
    insight_id = event.insight_id or (alert.insight_id if alert else None)
    insight = await _read(table, "insight", insight_id, items.item_to_insight)
    if alert_id is not None:
        return Notice(event, f"{public_url}/ui/alerts/{alert_id}", insight, alert, page)
    return Notice(event, f"{public_url}/ui/insights/{insight_id}" if insight_id else public_url, insight)


def _telling(event: Event, page: Page | None) -> str | None:
    if page is None or event.kind is EventKind.RESOLVED or not page.open_alerts:
        return event.alert_id
    return event.alert_id if event.alert_id in page.open_alerts else page.open_alerts[0]


async def _read(table: Table, kind: str, name: str | None, read: Callable[[Item], Document]) -> Document | None:
    row = await table.get(items.key_of(f"{kind}#{name}", kind)) if name is not None else None
    try:
        return read(row) if row is not None else None
    except items.UNREADABLE:
        log.exception("notice_lacks_row", key=f"{kind}#{name}")
        return None
