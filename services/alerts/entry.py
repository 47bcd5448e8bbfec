"""A notice as the event bus takes it."""

from __future__ import annotations

from typing import Any

from iops.alert import EventKind
from iops.events import canary_to_entry, insight_to_entry
from services.alerts.notice import Notice


def notice_to_entry(notice: Notice) -> dict[str, Any]:
    """The PutEvents entry."""
    if notice.event.kind is EventKind.CANARY:
        return canary_to_entry(notice.event, url=notice.url)
    assert notice.insight is not None, "the insight of an event is 90 days old"
    return insight_to_entry(notice.insight, alert_url=notice.url)
