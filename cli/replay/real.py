"""What fired in life: one alert's history, cut into its episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from iops.alert import Alert, Change
from iops.insight import PredictionType

DEEDS: Final = ("acknowledged", "silenced", "resolved")


@dataclass(slots=True)
class Real:
    """One episode, with what people did about it."""

    stream_id: str
    prediction_type: PredictionType
    opened_at: datetime
    peak_risk_score: float
    resolved_at: datetime | None = None  # None: it still fires
    deeds: list[str] = field(default_factory=list)  # "acknowledged by ..."


def episodes_of(alert: Alert, history: Sequence[Change]) -> list[Real]:
    """Oldest first. Where the history is cut off, or there is none, only what the alert itself says of its newest."""
    episodes: list[Real] = []
    for change in history:
        if change.what == "opened":
            episodes.append(Real(alert.stream_id, alert.prediction_type, change.at, change.risk_score))
        elif episodes:
            _go_on(episodes[-1], change)
    if not episodes or episodes[-1].opened_at != alert.opened_at:
        newest = Real(alert.stream_id, alert.prediction_type, alert.opened_at, alert.peak_risk_score)
        newest.deeds += [f"{alert.state} by {alert.handled_by}"] if alert.handled_by else []
        episodes = [newest]
    episodes[-1].peak_risk_score, episodes[-1].resolved_at = alert.peak_risk_score, alert.resolved_at
    return episodes


def _go_on(episode: Real, change: Change) -> None:
    episode.peak_risk_score = max(episode.peak_risk_score, change.risk_score)
    if change.what == "resolved":
        episode.resolved_at = change.at
    elif change.what == "reopened":
        episode.resolved_at = None
    if change.what in DEEDS and change.by != "time":
        episode.deeds.append(f"{change.what} by {change.by}")
