"""What an event says when it is sent: the alert, its page and its newest insight as they are then."""

from __future__ import annotations

from dataclasses import dataclass

from iops import items
from iops.alert import Alert, Event, EventKind, Page
from iops.insight import Insight
from iops.table import Table


@dataclass(frozen=True, slots=True)
class Notice:
    """An event with all that a text or a payload is made of. An event of an insight has only that one."""

    event: Event
    url: str  # where a person reads on
    insight: Insight | None = None  # None where it is older than 90 days
    alert: Alert | None = None  # the page's lead
    page: Page | None = None


async def compose(table: Table, event: Event, *, public_url: str) -> Notice:
    """Reads what the event is about. Raises TableUnavailable."""
    if event.kind is EventKind.CANARY:  # it is about nothing
        return Notice(event, public_url)
    alert = page = None
    url = f"{public_url}/insights/{event.insight_id}"
    if event.alert_id is not None:
        row = await table.get(items.key_of(f"alert#{event.alert_id}", "alert"))
        alert = items.item_to_alert(row) if row else None
        url = f"{public_url}/alerts/{event.alert_id}"
    if event.page_id is not None:
        row = await table.get(items.key_of(f"page#{event.page_id}", "page"))
        page = items.item_to_page(row) if row else None
    insight_id = event.insight_id or (alert.insight_id if alert else None)
    row = await table.get(items.key_of(f"insight#{insight_id}", "insight")) if insight_id else None
    return Notice(event, url, items.item_to_insight(row) if row else None, alert, page)
