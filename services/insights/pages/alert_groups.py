"""Alerts as people were told of them: those of one page together, what needs somebody first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from iops.alert import Alert, AlertState
from iops.insight import PredictionType

ORDER: Final = (AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.SILENCED, AlertState.RESOLVED)


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts that one page tells of; those that nobody was told of by peer group and type."""

    key: str  # of the one that comes first
    alerts: Sequence[Alert]  # what needs somebody first

    @property
    def first(self) -> Alert:
        """The one that most needs somebody."""
        return self.alerts[0]

    @property
    def state(self) -> AlertState:
        """What most needs somebody."""
        return self.first.state

    @property
    def kinds(self) -> Sequence[PredictionType]:
        """What is wrong."""
        return sorted({alert.prediction_type for alert in self.alerts})

    @property
    def streams(self) -> Sequence[str]:
        """Whose trouble it is, each once."""
        return list(dict.fromkeys(alert.stream_id for alert in self.alerts))

    @property
    def opened_at(self) -> datetime:
        """Since when."""
        return min(alert.opened_at for alert in self.alerts)

    @property
    def risk_score(self) -> float:
        """The highest now."""
        return max(alert.risk_score for alert in self.alerts)

    @property
    def peak_risk_score(self) -> float:
        """The highest so far."""
        return max(max(alert.risk_score, alert.peak_risk_score) for alert in self.alerts)

    @property
    def handled_by(self) -> Sequence[str]:
        """Who acknowledged or silenced some of it."""
        return sorted({alert.handled_by for alert in self.alerts if alert.handled_by})

    def ids_in(self, *states: AlertState) -> Sequence[str]:
        """Names of the alerts that a deed is about."""
        return [alert.alert_id for alert in self.alerts if alert.state in states]


def group_alerts(alerts: Iterable[Alert]) -> list[Group]:
    """What fires comes first, of that the highest risk."""
    together: defaultdict[tuple[str, ...], list[Alert]] = defaultdict(list)
    for alert in alerts:
        together[(alert.page_id,) if alert.page_id else (alert.peer_group, alert.prediction_type)].append(alert)
    sorted_groups = [sorted(group, key=_urgency) for group in together.values()]
    return [Group(group[0].alert_id, group) for group in sorted(sorted_groups, key=lambda group: _urgency(group[0]))]


def _urgency(alert: Alert) -> tuple[int, float, str]:
    return ORDER.index(alert.state), -alert.risk_score, alert.stream_id
