"""When an agent is silent, by what was last heard of its host, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from iops.clock import from_epoch_ms
from iops.contract import PAGE_RISK_SCORE
from iops.insight import Evidence, Fact, Finding, Insight, PredictionType
from services.insights.record import worded
from services.insights.template import Explanation, explain, explain_recovery, shown

LEAST_S: Final = 120.0  # nobody is silent sooner
INTERVALS: Final = 5
SPANS: Final = 2  # an agent that sends every five minutes is not silent
LATE_LEAST_S: Final = 60.0
OLD: Final = timedelta(hours=1)  # silent for longer when first looked at: switched off, or never meant to run
FORGOTTEN: Final = timedelta(days=7)
OUTAGE_HOSTS: Final = 4  # of fewer it cannot be told whether the agents are the reason
ALL_HOSTS: Final = "(all hosts)"  # stands for them in place of a stream id; only who sees all streams sees it


@dataclass(frozen=True, slots=True)
class Heard:
    """The newest that is stored of a host."""

    at_ms: int
    interval_s: float
    span_s: float  # of time in a batch: the longest of the hour before, where that was looked up

    def age_s(self, now_ms: int) -> float:
        """Since its newest sample."""
        return (now_ms - self.at_ms) / 1000

    def is_silent(self, now_ms: int) -> bool:
        """No sample for 5 intervals, 2 minutes, and twice what a batch covers.

        >>> Heard(0, interval_s=2, span_s=60).is_silent(120_000), Heard(0, interval_s=2, span_s=60).is_silent(120_001)
        (False, True)
        >>> Heard(0, interval_s=10, span_s=300).is_silent(599_000)
        False
        """
        return self.age_s(now_ms) > max(LEAST_S, INTERVALS * self.interval_s, SPANS * self.span_s)

    def is_late(self, now_ms: int) -> bool:
        """Its next batch should have come."""
        return self.age_s(now_ms) > max(LATE_LEAST_S, self.interval_s, self.span_s)


@dataclass(frozen=True, slots=True)
class Host:
    """What sends the samples of some streams: one agent."""

    name: str
    peer_group: str
    stream_ids: tuple[str, ...]


def host_of(stream_id: str) -> str:
    """The part before the last colon; a stream id without one is its own host.

    >>> host_of("web-1:nvme0n1"), host_of("rack:web-1:sda"), host_of("vol-1")
    ('web-1', 'rack:web-1', 'vol-1')
    """
    return stream_id.rpartition(":")[0] or stream_id


def is_outage(watched: Mapping[str, Heard], *, now_ms: int) -> bool:
    """Most hosts at once: it is not their agents, but ingest or the way to it."""
    late = sum(heard.is_late(now_ms) for heard in watched.values())
    return len(watched) >= OUTAGE_HOSTS and 2 * late > len(watched)


def silence(host: Host, heard: Heard, *, now: datetime) -> Insight:
    """What people are told of a silent host."""
    facts = (
        _fact("silent_s", round((now - from_epoch_ms(heard.at_ms)).total_seconds()), "s", "the last sample is {} old"),
        _fact("usual_interval_s", heard.interval_s, "s", "it usually takes one every {}"),
        _fact("streams", len(host.stream_ids), "", "{} of its streams are not watched now"),
    )
    evidence = _evidence(host.name, host.peer_group, facts, heard)
    return _told(evidence, explain(evidence), now=now)


def outage(watched: Mapping[str, Heard], *, now: datetime) -> Insight:
    """What people are told once where most hosts are silent."""
    now_ms = round(now.timestamp() * 1000)
    late = sum(heard.is_late(now_ms) for heard in watched.values())
    facts = (_fact("silent_hosts", late, "", f"nothing came of late from {{}} of {len(watched)} hosts"),)
    newest = max(watched.values(), key=lambda heard: heard.at_ms)
    evidence = _evidence(ALL_HOSTS, ALL_HOSTS, facts, newest)
    words = Explanation(
        "ingest receives nothing from most hosts",
        f"So many agents do not fall silent at once by themselves. Evidence: {facts[0].sentence}.",
        (
            "Check the ingest service, its table and the load balancer in front of it.",
            "Check the network between the agents and ingest; they keep what they could not send.",
        ),
    )
    return _told(evidence, words, now=now)


def spoken_again(before: Insight, *, now: datetime) -> Insight:
    """The end of a silence."""
    over = before.model_copy(update={"risk_score": 0.0, "facts": ()})
    return _told(over, explain_recovery(over), now=now)


def forgotten(before: Insight, *, now: datetime) -> Insight:
    """The end of watching for a host that nobody misses."""
    words = Explanation(
        f"{shown(before.stream_id)} is not waited for any more",
        f"Nothing was heard of it for {FORGOTTEN.days} days. It is watched again as soon as it sends.",
        ("Nothing has to be done if it was taken away.", "Start its agent if it was not."),
    )
    return _told(before.model_copy(update={"risk_score": 0.0, "facts": ()}), words, now=now)


def _evidence(name: str, peer_group: str, facts: tuple[Fact, ...], heard: Heard) -> Evidence:
    at = from_epoch_ms(heard.at_ms)
    return Evidence(
        stream_id=name,
        peer_group=peer_group,
        prediction_type=PredictionType.AGENT_SILENT,
        risk_score=PAGE_RISK_SCORE,
        confidence=1.0,
        facts=facts,
        window_from=at,
        window_to=at,
        began_at=at,
        is_hard_rule=True,
        warming_up=False,
    )


def _told(evidence: Evidence, words: Explanation, *, now: datetime) -> Insight:
    finding = Finding(risk_score=evidence.risk_score, prediction_type=evidence.prediction_type)
    plain = Evidence(**{name: getattr(evidence, name) for name in Evidence.model_fields})
    return worded(finding, plain, words, now=now)


def _fact(name: str, value: float, unit: str, sentence: str) -> Fact:
    said = f"{value:g} {unit}".strip()
    return Fact(name=name, value=value, unit=unit, sentence=sentence.format(said))
