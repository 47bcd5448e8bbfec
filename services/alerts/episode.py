"""One alert's life: what an insight, time or a person changes about it, and whether people are to hear of that.

Pure decisions. Each gives the alert one version on and a line for its history, or None where nothing changes.
An alert's own time never goes back, whatever the clock does: nothing ends or is told early because of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from iops.alert import Alert, AlertState, Change, alert_id_of
from iops.errors import InvalidInput, Problem
from iops.insight import Insight
from services.alerts.rules import RULES, Rules


class Wish(StrEnum):
    """What people should hear."""

    NOTHING = "nothing"
    TELL = "tell"  # that it fires
    REMIND = "remind"  # that it still fires
    HANDLE = "handle"  # nothing more for now: somebody took it
    END = "end"  # that it is over, if they were told


@dataclass(frozen=True, slots=True)
class Step:
    """A change of one alert."""

    alert: Alert
    change: Change
    wish: Wish = Wish.NOTHING


def opens(insight: Insight, rules: Rules = RULES) -> bool:
    """An insight that may open an episode: at 80 or more in two scorings in a row, or by a hard rule."""
    return insight.risk_score >= rules.page_risk and insight.is_confirmed


def take(
    insight: Insight,
    before: Alert | None,
    *,
    silenced_until: datetime | None,
    now: datetime,
    rules: Rules = RULES,
) -> Step | None:
    """What an insight of 60 or more changes about the alert of its type.

    `silenced_until` is the end of the silence that matches it; None where none does.
    """
    if before is not None and before.is_active:
        return _update(insight, before, now)
    return _open(insight, before, silenced_until, now, rules) if opens(insight, rules) else None


def take_recovery(insight: Insight, before: Alert, *, now: datetime) -> Step | None:
    """The stream is below 60: the alert may end if that lasts."""
    if not before.is_active or before.recovering_since is not None:
        return None
    changes: dict[str, Any] = {
        "recovering_since": max(now, before.updated_at),
        "risk_score": insight.risk_score,
        "insight_id": insight.insight_id,
    }
    return _step(before, "recovering", now, by="scorer", **changes)


def due_at(alert: Alert, rules: Rules = RULES) -> datetime | None:
    """When time alone will change it; None where it will not."""
    if not alert.is_active:
        return None
    instants = [_ends_at(alert, rules), alert.silenced_until, _to_tell_at(alert, rules)]
    return min((instant for instant in instants if instant is not None), default=None)


def pass_time(
    alert: Alert, *, silenced_until: datetime | None = None, now: datetime, rules: Rules = RULES
) -> Step | None:
    """What time has changed by `now`; None where it has changed nothing.

    `silenced_until` is the end of the silence that matches it, which may be a later one; None where none does.
    """
    if not alert.is_active:
        return None
    ends_at = _ends_at(alert, rules)
    if ends_at is not None and ends_at <= now:
        return _resolve(alert, now, by="time")
    is_silence_over = alert.silenced_until is not None and alert.silenced_until <= now
    is_to_tell = _wish_to_tell(alert, now, rules) is Wish.TELL
    if (is_silence_over or is_to_tell) and silenced_until is not None and silenced_until > now:
        silenced = alert.model_copy(update={"state": AlertState.SILENCED, "silenced_until": silenced_until})
        return _step(silenced, "silenced", now, by="time")
    if is_silence_over:
        firing = alert.model_copy(update={"state": AlertState.FIRING, "silenced_until": None, "handled_by": None})
        wish = _wish_to_tell(firing, now, rules) if alert.page_id is None else Wish.REMIND
        return _step(firing, "unsilenced", now, by="time", wish=wish)
    if is_to_tell:
        return _step(alert, "told", now, by="time", wish=Wish.TELL)
    return None


def acknowledge(alert: Alert, *, by: str, reason: str | None, now: datetime) -> Step | None:
    """Somebody is at it. Raises InvalidInput for what is over."""
    _refuse_resolved(alert)
    if alert.state is AlertState.ACKNOWLEDGED:
        return None
    changes = {"state": AlertState.ACKNOWLEDGED, "silenced_until": None, "handled_by": by}
    return _step(alert, "acknowledged", now, by=by, reason=reason, wish=Wish.HANDLE, **changes)


def silence(alert: Alert, *, until: datetime, by: str, reason: str | None, now: datetime) -> Step | None:
    """Nobody wants to hear of it until then. Raises InvalidInput for what is over, and for an end that has passed."""
    _refuse_resolved(alert)
    if until <= now:
        raise InvalidInput([Problem("until", "a silence ends after it begins; give an instant that is to come")])
    if alert.state is AlertState.SILENCED and alert.silenced_until is not None and alert.silenced_until >= until:
        return None
    changes = {"state": AlertState.SILENCED, "silenced_until": until, "handled_by": by}
    return _step(alert, "silenced", now, by=by, reason=reason, wish=Wish.HANDLE, **changes)


def unsilence(alert: Alert, *, until: datetime | None, by: str, reason: str | None, now: datetime) -> Step | None:
    """Its silence was ended; `until` is the end of another that matches it, None where none does."""
    if alert.state is not AlertState.SILENCED or alert.silenced_until == until:
        return None
    if until is not None:
        return _step(alert, "silenced", now, by=by, reason=reason, silenced_until=until)
    firing = alert.model_copy(update={"state": AlertState.FIRING, "silenced_until": None, "handled_by": None})
    wish = _wish_to_tell(firing, now, RULES) if alert.page_id is None else Wish.REMIND
    return _step(firing, "unsilenced", now, by=by, reason=reason, wish=wish)


def resolve(alert: Alert, *, by: str, reason: str | None, now: datetime) -> Step | None:
    """A person says that it is over; None where it is already."""
    return _resolve(alert, now, by=by, reason=reason) if alert.is_active else None


def _open(insight: Insight, before: Alert | None, silenced_until: datetime | None, now: datetime, rules: Rules) -> Step:
    assert insight.prediction_type is not None, "what opens an episode has a type"
    is_same = before is not None and before.resolved_at is not None and now - before.resolved_at < rules.reopening
    kept: dict[str, Any] = {"opened_at": now, "opened_by": insight.insight_id, "version": 1}
    if before is not None:
        kept |= {"version": before.version + 1, "page_ids": before.page_ids}
    if is_same and before is not None:
        kept |= {
            "opened_at": before.opened_at,
            "opened_by": before.opened_by,
            "reopened": before.reopened + 1,
            "told_at": before.told_at,
            "peak_risk_score": before.peak_risk_score,
        }
    alert = Alert(
        alert_id=alert_id_of(insight.stream_id, insight.prediction_type),
        stream_id=insight.stream_id,
        peer_group=insight.peer_group,
        prediction_type=insight.prediction_type,
        state=AlertState.FIRING if silenced_until is None else AlertState.SILENCED,
        silenced_until=silenced_until,
        updated_at=now,
        **_words(insight),
        **kept | {"peak_risk_score": max(insight.risk_score, kept.get("peak_risk_score", 0))},
    )
    what = "reopened" if is_same else "opened"
    change = _change(alert, what, now, by="scorer", insight_id=insight.insight_id)
    return Step(alert, change, _wish_to_tell(alert, now, rules))


def _update(insight: Insight, alert: Alert, now: datetime) -> Step | None:
    if insight.insight_id == alert.insight_id and insight.risk_score == alert.risk_score:
        return None  # the one it was opened with, once more
    what = "worse_again" if alert.recovering_since is not None else "updated"
    peak = max(alert.peak_risk_score, insight.risk_score)
    changes = _words(insight) | {"peak_risk_score": peak, "recovering_since": None}
    return _step(alert, what, now, by="scorer", **changes)


def _resolve(alert: Alert, now: datetime, *, by: str, reason: str | None = None) -> Step:
    changes = {"state": AlertState.RESOLVED, "resolved_at": now, "recovering_since": None, "silenced_until": None}
    handled_by = {} if by == "time" else {"handled_by": by}
    return _step(alert, "resolved", now, by=by, reason=reason, wish=Wish.END, **changes, **handled_by)


def _ends_at(alert: Alert, rules: Rules) -> datetime | None:
    if alert.recovering_since is None:
        return None
    return max(alert.recovering_since + rules.calm, alert.opened_at + rules.least_firing)


def _to_tell_at(alert: Alert, rules: Rules) -> datetime | None:
    """From when on people are to hear of it; None where they did, or need not: it was taken, or is about to end again.

    What recovers in the instant it opened is told all the same: both happened while this service was away or behind.
    """
    if alert.state is not AlertState.FIRING or alert.page_id is not None:
        return None
    if alert.recovering_since is not None and (alert.told_at is not None or alert.recovering_since > alert.opened_at):
        return None
    return alert.opened_at if alert.told_at is None else alert.told_at + rules.between_tellings


def _wish_to_tell(alert: Alert, now: datetime, rules: Rules) -> Wish:
    to_tell_at = _to_tell_at(alert, rules)
    return Wish.TELL if to_tell_at is not None and to_tell_at <= now else Wish.NOTHING


def _words(insight: Insight) -> dict[str, Any]:
    """The newest insight's."""
    return {
        "risk_score": insight.risk_score,
        "insight_id": insight.insight_id,
        "title": insight.title,
        "explanation": insight.explanation,
        "recommendations": insight.recommendations,
        "facts": insight.facts,
    }


def _step(
    alert: Alert,
    what: str,
    now: datetime,
    *,
    by: str,
    wish: Wish = Wish.NOTHING,
    reason: str | None = None,
    **changes: Any,
) -> Step:
    insight_id = changes.get("insight_id")  # where an insight changed it
    updated_at = max(now, alert.updated_at)
    after = alert.model_copy(update=changes | {"updated_at": updated_at, "version": alert.version + 1})
    return Step(after, _change(after, what, now, by=by, reason=reason, insight_id=insight_id), wish)


def _change(
    alert: Alert, what: str, now: datetime, *, by: str, reason: str | None = None, insight_id: str | None = None
) -> Change:
    return Change(
        alert_id=alert.alert_id,
        version=alert.version,
        at=now,
        what=what,
        by=by,
        risk_score=alert.risk_score,
        insight_id=insight_id,
        reason=reason,
    )


def _refuse_resolved(alert: Alert) -> None:
    if not alert.is_active:
        raise InvalidInput([Problem("alert_id", "this alert is resolved; there is nothing to do about it")])
