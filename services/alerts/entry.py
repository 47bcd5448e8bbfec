"""A notice as the event bus takes it."""

from __future__ import annotations

from typing import Any, Final

from iops.alert import EventKind
from iops.contract import PAGE_RISK_SCORE
from iops.events import make_entry
from services.alerts.mail import risks, write_mail
from services.alerts.notice import Notice

QUIET_RISK_SCORE: Final = PAGE_RISK_SCORE - 0.1  # the highest that no person hears of
ALERT_FIELDS: Final = {"state", "opened_at", "resolved_at", "reopened", "handled_by", "silenced_until", "version"}
PAGE_FIELDS: Final = {"page_id", "opened_at", "told_at", "streams", "streams_total", "resolved_at"}


def notice_to_entry(notice: Notice) -> dict[str, Any]:
    """The PutEvents entry: its detail is the insight, and what the event, the alert and the page add to it.

    `risk_score` decides whether people hear of it. It is the episode's highest: an alert that is told late, reminded of
    or over may be below 80 by now. `risk_now` is what the stream has.
    """
    event, (risk_now, peak) = notice.event, risks(notice)
    is_for_people = event.kind is not EventKind.INSIGHT
    detail = {
        **(notice.insight.model_dump(mode="json") if notice.insight else {}),
        **_names(notice),
        "event_id": event.event_id,
        "event": event.kind,
        "at": event.at.isoformat(),
        "url": notice.url,
        "risk_score": _deciding(event.kind, peak),
        "risk_now": risk_now,
        "alert": notice.alert.model_dump(mode="json", include=ALERT_FIELDS) if notice.alert else None,
        "page": notice.page.model_dump(mode="json", include=PAGE_FIELDS) if notice.page else None,
    }
    return make_entry(event, detail, write_mail(notice) if is_for_people else None)


def _deciding(kind: EventKind, peak: float) -> float:
    if kind is EventKind.INSIGHT:  # one that a model raised to 80 since then is told by its alert's own event
        return min(peak, QUIET_RISK_SCORE)
    return 100.0 if kind is EventKind.CANARY else max(peak, float(PAGE_RISK_SCORE))


def _names(notice: Notice) -> dict[str, str | None]:
    """The alert's own words come first: the insight may be gone."""
    event, about = notice.event, notice.alert or notice.insight
    names: dict[str, str | None] = {"alert_id": event.alert_id, "page_id": event.page_id}
    if about is not None:
        names |= {"title": about.title, "explanation": about.explanation, "stream_id": about.stream_id}
        names |= {"peer_group": about.peer_group, "prediction_type": about.prediction_type}
    return names | ({"insight_id": event.insight_id} if event.insight_id else {})
