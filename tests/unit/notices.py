"""Notices of one page, as they are when they are sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from iops.alert import Alert, Event, EventKind, Page, alert_id_of
from iops.insight import Fact, PredictionType
from services.alerts.notice import Notice
from services.alerts.payloads import Message, compose_message
from services.alerts.settings import Webhook, WebhookKind
from tests.integration.examples import AT, an_alert

DISK: Final = "web-1:nvme0n1"
FINGERPRINT: Final = "94c4e332f71c5c2a"  # of that disk's stall
ROUTING_KEY: Final = "0123456789abcdef0123456789abcdef"
SECRET: Final = "a secret of letters"
KEYS: Final = {"pagerduty": ROUTING_KEY, "generic": SECRET}


def a_message(notice: Notice, kind: str) -> Message | None:
    """With a key where the kind has one."""
    return compose_message(notice, Webhook(name="team", kind=WebhookKind(kind)), key=KEYS.get(kind, ""), now=AT)


def a_page(*streams: str, **fields: Any) -> Page:
    """Open, about stalls."""
    named = streams or (DISK,)
    usual: dict[str, Any] = {
        "page_id": "p1",
        "peer_group": "web-1",
        "prediction_type": PredictionType.STALL,
        "lead_alert_id": alert_id_of(named[0], PredictionType.STALL),
        "opened_at": AT,
        "told_at": AT,
        "streams": named,
        "streams_total": len(named),
        "open_alerts": tuple(alert_id_of(stream, PredictionType.STALL) for stream in named),
        "version": 1,
    }
    return Page(**usual | fields)


def a_notice(
    kind: EventKind = EventKind.OPENED, *, page: Page | None = None, at: datetime = AT, **alert_fields: Any
) -> Notice:
    """An event of a page whose lead is a disk that stalled; what is resolved ended 20 minutes after it began."""
    if kind is EventKind.RESOLVED:
        ended = {"resolved_at": AT + timedelta(minutes=20), "open_alerts": ()}
        page = (page or a_page()).model_copy(update=ended)
    page = page or a_page()
    alert = a_stalled_alert(page.streams[0], page_id=page.page_id, **alert_fields)
    event = Event(event_id="01J", kind=kind, at=at, alert_id=alert.alert_id, page_id=page.page_id)
    return Notice(event, f"https://iops.example.org/ui/alerts/{alert.alert_id}", None, alert, page)


def a_stalled_alert(stream_id: str, **fields: Any) -> Alert:
    """At risk 96, with one fact."""
    usual: dict[str, Any] = {
        "alert_id": alert_id_of(stream_id, PredictionType.STALL),
        "peak_risk_score": 96.0,
        "facts": (Fact(name="stalled_s", value=20, unit="s", sentence="nothing completed for 20 s"),),
    }
    return an_alert(stream_id, **usual | fields)
