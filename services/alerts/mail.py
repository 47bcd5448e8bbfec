"""The mail that a person gets of a notice, read at 3 a.m.: what, where, since when, why, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from iops.alert import Alert, AlertState, Event, EventKind, Page
from iops.events import Mail
from iops.insight import Insight
from services.alerts.notice import Notice

FACTS: Final = 3
STREAMS_LISTED: Final = 5
BODY_LINES: Final = 4  # facts and steps together, so that each mail has its nine lines


def write_mail(notice: Notice) -> Mail:
    """Nine lines; those that nothing is known for are left out."""
    event = notice.event
    if event.kind is EventKind.CANARY:
        return _canary(notice)
    told = _Told(notice)
    if event.kind is EventKind.RESOLVED:
        head = [f"Resolved after {told.lasted}: {told.trouble}", told.where, told.span]
        lines = [*head, told.risk, *_after_it(notice)]
    elif event.kind is EventKind.REMINDER:
        head = [f"Still firing after {told.lasted}: {told.title}", told.where, f"{told.since}; {_handled(notice)}"]
        lines = [*head, told.risk, *_evidence(notice)]
    else:
        lines = [told.title, told.where, told.since, told.risk, *_evidence(notice)]
    return Mail([*lines, notice.url], told.body)


def how_long(span: timedelta) -> str:
    """
    >>> how_long(timedelta(seconds=45)), how_long(timedelta(hours=4, minutes=10)), how_long(timedelta(days=3))
    ('45 s', '4 h 10 min', '3 days')
    """
    seconds = max(0, round(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{minutes // (24 * 60)} days"


class _Told:
    """What the lines of a mail are made of, whatever of it is there."""

    def __init__(self, notice: Notice) -> None:
        event, alert, page, insight = notice.event, notice.alert, notice.page, notice.insight
        self.total = page.streams_total if page else 1
        about = alert or insight
        stream = about.stream_id if about else (page.streams[0] if page and page.streams else "an unknown stream")
        group = page.peer_group if page else (about.peer_group if about else "unknown")
        known_type = page.prediction_type if page else (about.prediction_type if about else None)
        kind = (known_type or "trouble").replace("_", " ")
        many = f"{_how_many(notice)} streams of {group}"
        self.trouble = f"{kind} of {many if self.total > 1 else stream}"
        title = about.title if about else f"{stream}: {kind}"
        self.title = f"{many}: {kind}" if self.total > 1 else title
        named = _names(page) if page and self.total > 1 else stream
        self.where = f"Where: {named} in peer group {group}"
        began_at = _began_at(event, alert, page, insight)
        ended_at = page.resolved_at if page and page.resolved_at else event.at
        self.lasted = how_long(ended_at - began_at)
        back = f", came back {alert.reopened} times" if alert and alert.reopened > 1 else ""
        back = ", came back once" if alert and alert.reopened == 1 else back
        self.since = f"Since: {_instant(began_at)} (for {how_long(event.at - began_at)}{back})"
        self.span = f"From {_instant(began_at)} to {_instant(ended_at)}{back}"
        now, peak = risks(notice)
        is_past_peak = alert is not None and peak > now
        self.risk = f"Risk: {now:g} of 100 now, {peak:g} at its worst" if is_past_peak else f"Risk: {now:g} of 100"
        self.body: dict[str, str | float | None] = {
            "event_id": event.event_id,
            "event": event.kind,
            "alert_id": event.alert_id,
            "page_id": event.page_id,
            "insight_id": insight.insight_id if insight else event.insight_id,
            "stream_id": stream,
            "peer_group": group,
            "prediction_type": known_type,
            "since": began_at.astimezone(UTC).isoformat(timespec="seconds"),
            "url": notice.url,
            "streams_total": self.total,
            "risk_score": peak,
            "risk_now": now,
        }


def risks(notice: Notice) -> tuple[float, float]:
    """The risk now and the episode's highest; 0 where neither alert nor insight can be read."""
    now = notice.alert or notice.insight
    risk_now = now.risk_score if now else 0.0
    return risk_now, max(risk_now, notice.alert.peak_risk_score if notice.alert else 0.0)


def _evidence(notice: Notice) -> list[str]:
    about = notice.alert or notice.insight
    if about is None:
        return ["What was found cannot be read any more.", "Next step: open the link, then look at the streams."]
    page = notice.page
    source = f"{about.stream_id}: " if page and page.streams_total > 1 else ""
    facts = [source + fact.sentence for fact in about.facts[:FACTS]]
    steps = [f"{'Then' if number else 'Next step'}: {step}" for number, step in enumerate(about.recommendations)]
    return [*facts, *steps, about.explanation][:BODY_LINES]


def _after_it(notice: Notice) -> list[str]:
    alert = notice.alert
    was = [f"It was: {alert.title}"] if alert else []
    was += [f"Last seen: {fact.sentence}" for fact in alert.facts[:1]] if alert else []
    handled = (
        f"Handled by: {alert.handled_by}" if alert and alert.handled_by else "Handled by nobody: it ended by itself"
    )
    return [*was, handled, "Next step: none. If it comes back within 30 minutes, it is the same alert."]


def _handled(notice: Notice) -> str:
    alert, page = notice.alert, notice.page
    if alert and alert.handled_by and alert.state in (AlertState.ACKNOWLEDGED, AlertState.SILENCED):
        return f"{alert.state} by {alert.handled_by}"
    if page and page.handled_alerts:
        return f"{len(page.handled_alerts)} of {len(page.open_alerts)} are acknowledged or silenced"
    return "nobody has acknowledged it"


def _canary(notice: Notice) -> Mail:
    lines = [
        f"Canary {notice.event.at:%Y-%m-%d}: alerting works. Nothing is wrong, and there is nothing to do.",
        f"Sent: {_instant(notice.event.at)}, once a day through the whole way of an alert",
        "Next step: none. On a day without this mail look at the alerts service and the dead letters.",
        notice.url,
    ]
    event = notice.event
    return Mail(lines, {"event_id": event.event_id, "event": event.kind, "url": notice.url, "risk_score": 100})


def _how_many(notice: Notice) -> str:
    page = notice.page
    if page is None or notice.event.kind is not EventKind.REMINDER or len(page.open_alerts) == page.streams_total:
        return str(page.streams_total) if page else "1"
    return f"{len(page.open_alerts)} of {page.streams_total}"


def _names(page: Page) -> str:
    more = page.streams_total - len(page.streams[:STREAMS_LISTED])
    return ", ".join(page.streams[:STREAMS_LISTED]) + (f" and {more} more" if more > 0 else "")


def _began_at(event: Event, alert: Alert | None, page: Page | None, insight: Insight | None) -> datetime:
    """The trouble's beginning, which is before it was found."""
    begins = [alert.opened_at] if alert else []
    begins += [page.opened_at] if page else []
    begins += [insight.began_at] if insight else []
    return min(begins, default=event.at)


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
