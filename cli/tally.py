"""What a demonstration found: which faults were told, how soon, and what was told without a fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from cli.lists import first_fact
from cli.screen import plain
from cli.server import Row
from iops.insight import cut_risk
from ml.plan import Plan


@dataclass(frozen=True, slots=True)
class Sighting:
    """An alert of one of our streams, when we first saw it."""

    stream_id: str
    prediction_type: str
    risk_score: float
    fact: str
    is_fault: bool
    after_s: float | None  # since its fault began; None where no fault is

    def to_line(self) -> str:
        """As a person reads it."""
        when = f"{self.after_s:+6.0f} s" if self.after_s is not None else "  false "
        return f"{when}  {self.stream_id}  {self.prediction_type}  risk {cut_risk(self.risk_score)}  {self.fact}"

    def to_row(self) -> Row:
        """As a program reads it."""
        return {
            "stream_id": self.stream_id,
            "prediction_type": self.prediction_type,
            "risk_score": self.risk_score,
            "after_s": None if self.after_s is None else round(self.after_s, 1),
            "fact": self.fact,
        }


class _Counts(NamedTuple):
    """What the server found so far at risk 60 or more, and what of it is for a language model to word."""

    ill: int
    for_a_model: int


@dataclass(slots=True)
class Tally:
    """Compares what was told with what was done, from `started_at` on."""

    stream_ids: frozenset[str]
    plan: Plan
    started_at: datetime
    samples_sent: int = 0
    sightings: list[Sighting] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _insights: set[str] = field(default_factory=set)
    _counts: list[_Counts] = field(default_factory=list)  # the first and the newest

    def note_alerts(self, alerts: Iterable[Row], now: datetime) -> list[Sighting]:
        """The alerts of our streams that were not there before."""
        fresh = [sighting for alert in alerts if (sighting := self._sighting(alert, now))]
        self.sightings += fresh
        return fresh

    def note_insights(self, insights: Iterable[Row]) -> None:
        """Count those of our streams since the start."""
        for insight in insights:
            created_at = _instant(insight.get("created_at"))
            if insight.get("stream_id") in self.stream_ids and created_at and created_at >= self.started_at:
                self._insights.add(str(insight.get("insight_id")))

    def note_tiers(self, tiers: Row | None) -> None:
        """Keep its counts, where it has any."""
        ill, for_a_model = ((tiers or {}).get(name) for name in ("findings_ill", "findings_for_a_model"))
        if isinstance(ill, int) and isinstance(for_a_model, int):
            self._counts = [*self._counts[:1], _Counts(ill, for_a_model)]

    @property
    def counted(self) -> _Counts | None:
        """Since the first look, all that the server scored; None where it does not say, or began anew meanwhile."""
        if not self._counts:
            return None
        first, newest = self._counts[0], self._counts[-1]
        counts = _Counts(newest.ill - first.ill, newest.for_a_model - first.for_a_model)
        return counts if 0 <= counts.for_a_model <= counts.ill else None

    @property
    def found(self) -> dict[str, Sighting]:
        """The first alert of each faulted stream."""
        first: dict[str, Sighting] = {}
        for sighting in self.sightings:
            if sighting.is_fault:
                first.setdefault(sighting.stream_id, sighting)
        return first

    @property
    def false_alerts(self) -> list[Sighting]:
        """Alerts that no fault explains."""
        return [sighting for sighting in self.sightings if not sighting.is_fault]

    def to_row(self) -> Row:
        """The whole as one JSON object."""
        found, alarmed = self.found, {sighting.stream_id for sighting in self.false_alerts}
        counted = self.counted
        faults: list[Row] = [
            {
                "stream_id": stream_id,
                "kind": fault.kind.value,
                "began_at": fault.begins_at.isoformat(),
                "alert": found[stream_id].to_row() if stream_id in found else None,
            }
            for stream_id, fault in self.plan.faults.items()
        ]
        benign: list[Row] = [
            {"stream_id": stream_id, "kind": event.kind.value, "was_left_alone": stream_id not in alarmed}
            for stream_id, event in self.plan.benign.items()
        ]
        return {
            "simulated": True,
            "streams": len(self.stream_ids),
            "samples_sent": self.samples_sent,
            "insights": len(self._insights),
            "findings_ill": counted.ill if counted else None,
            "findings_for_a_model": counted.for_a_model if counted else None,
            "found": len(found),
            "missed": len(self.plan.faults) - len(found),
            "faults": faults,
            "false_alerts": [sighting.to_row() for sighting in self.false_alerts],
            "benign": benign,
        }

    def to_lines(self) -> list[str]:
        """The whole as a person reads it."""
        found, faults = self.found, self.plan.faults
        alarmed = {sighting.stream_id for sighting in self.false_alerts}
        left_alone = [stream_id for stream_id in self.plan.benign if stream_id not in alarmed]
        missed = [f"{stream_id} ({fault.kind})" for stream_id, fault in faults.items() if stream_id not in found]
        return [
            f"Simulated: {len(self.stream_ids)} streams, {self.samples_sent:,} samples.",
            f"Faults found: {len(found)} of {len(faults)}." + (f" Missed: {', '.join(missed)}." if missed else ""),
            f"Alerts without a fault: {len(self.false_alerts)}. Insights: {len(self._insights)}.",
            f"Benign events left alone: {len(left_alone)} of {len(self.plan.benign)}.",
            *self._share_lines(),
        ]

    def _share_lines(self) -> Iterator[str]:
        counted = self.counted
        if counted and counted.ill:
            share = f"{counted.for_a_model / counted.ill:.0%}".replace("%", " %")
            findings = f"{counted.ill} findings at risk 60 or more"
            yield f"A language model would have been asked about {share} of {findings}."

    def _sighting(self, alert: Row, now: datetime) -> Sighting | None:
        """None for other people's streams, for old episodes, and for what was seen before."""
        stream_id, opened_at = str(alert.get("stream_id")), _instant(alert.get("opened_at"))
        updated_at = _instant(alert.get("updated_at")) or opened_at
        if stream_id not in self.stream_ids or opened_at is None or updated_at is None:
            return None
        fault = self.plan.faults.get(stream_id)
        # An episode of an earlier run may still be open; only an update since our fault began speaks of our fault.
        is_fault = fault is not None and updated_at >= fault.begins_at
        key = (str(alert.get("alert_id")), opened_at.isoformat())
        if key in self._seen or (not is_fault and opened_at < self.started_at):
            return None
        self._seen.add(key)
        risk = alert.get("risk_score")
        return Sighting(
            stream_id=stream_id,
            prediction_type=plain(alert.get("prediction_type")),
            risk_score=float(risk) if isinstance(risk, int | float) else 0.0,
            fact=first_fact(alert),
            is_fault=is_fault,
            after_s=(now - fault.begins_at).total_seconds() if fault and is_fault else None,
        )


def _instant(value: object) -> datetime | None:
    """An aware instant, or None for anything else."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at if at.tzinfo else None
