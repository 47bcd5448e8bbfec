"""What people hear of alerts: one page for those of a peer group and type that open within five minutes.

Pure decisions. Each gives the page one version on (None: it stays as it is) and what is to be told (None: nothing).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from iops.alert import STREAMS_NAMED, Alert, EventKind, Page
from services.alerts.rules import RULES, Rules


@dataclass(frozen=True, slots=True)
class Told:
    """What became of an alert's wish to be heard of."""

    page: Page | None
    event: EventKind | None = None
    page_id: str | None = None  # under which the alert is told; None: it is told no more


def is_joined_by(page: Page, *, now: datetime, rules: Rules = RULES) -> bool:
    """What opens now is told with it."""
    # Of a clock that jumped back an hour too: a page of the future has been told, and what joins it would not be.
    return page.is_open and abs(now - page.opened_at) <= rules.together


def tell(newest: Page | None, alert: Alert, *, now: datetime, rules: Rules = RULES) -> Told:
    """The alert fires. It joins the newest page of its peer group and type, or opens another."""
    if newest is not None and is_joined_by(newest, now=now, rules=rules):
        joined = _joined(newest, alert)
        return Told(joined, None, joined.page_id)
    page = Page(
        page_id=f"{alert.alert_id}-{round(now.timestamp() * 1000)}",
        peer_group=alert.peer_group,
        prediction_type=alert.prediction_type,
        lead_alert_id=alert.alert_id,
        opened_at=now,
        told_at=now,
        streams=(alert.stream_id,),
        streams_total=1,
        open_alerts=(alert.alert_id,),
        version=1,
    )
    return Told(page, EventKind.OPENED, page.page_id)


def end(page: Page, alert: Alert, *, now: datetime) -> Told:
    """The alert is over; so is the page when nothing of it is left."""
    still_open = tuple(each for each in page.open_alerts if each != alert.alert_id)
    handled = tuple(each for each in page.handled_alerts if each != alert.alert_id)
    changes = {"open_alerts": still_open, "handled_alerts": handled, "version": page.version + 1}
    if still_open or not page.is_open:
        return Told(page.model_copy(update=changes))
    return Told(page.model_copy(update=changes | {"resolved_at": now}), EventKind.RESOLVED)


def handle(page: Page, alert: Alert) -> Told:
    """Somebody took the alert: no reminders of it."""
    handled = tuple(dict.fromkeys((*page.handled_alerts, alert.alert_id)))
    return Told(page.model_copy(update={"handled_alerts": handled, "version": page.version + 1}), None, page.page_id)


def remind(page: Page, alert: Alert, *, now: datetime, rules: Rules = RULES) -> Told:
    """The alert's silence is over and it still fires. Of alerts that are silenced together people hear once."""
    handled = tuple(each for each in page.handled_alerts if each != alert.alert_id)
    changes: dict[str, object] = {"handled_alerts": handled, "version": page.version + 1}
    if timedelta(0) <= now - page.told_at <= rules.together:
        return Told(page.model_copy(update=changes), None, page.page_id)
    return Told(page.model_copy(update=changes | {"told_at": now}), EventKind.REMINDER, page.page_id)


def due_at(page: Page, rules: Rules = RULES) -> datetime | None:
    """When people are reminded of it; None where somebody took all of it, or it is over."""
    is_anybodys = set(page.open_alerts) <= set(page.handled_alerts)
    return None if is_anybodys or not page.is_open else page.told_at + rules.remind_every


def pass_time(page: Page, *, now: datetime, rules: Rules = RULES) -> Told | None:
    """What time has changed by `now`; None where nothing."""
    due = due_at(page, rules)
    if due is None or now < due:
        return None
    changes = {"told_at": now, "version": page.version + 1}
    return Told(page.model_copy(update=changes), EventKind.REMINDER, page.page_id)


def _joined(page: Page, alert: Alert) -> Page:
    streams = tuple(dict.fromkeys((*page.streams, alert.stream_id)))
    is_known = alert.stream_id in page.streams
    return page.model_copy(
        update={
            "streams": streams[:STREAMS_NAMED],
            "streams_total": page.streams_total + (0 if is_known else 1),
            "open_alerts": tuple(dict.fromkeys((*page.open_alerts, alert.alert_id))),
            "version": page.version + 1,
        }
    )
