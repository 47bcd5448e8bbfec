"""What the model says of a peer group: the features of all its disks at once, risks, and the facts behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.evidence import View, latency_facts, load_facts, peers_await_ms, start_of
from iops.features import HOUR, matrix, state_of
from iops.insight import Finding, PredictionType
from iops.minutes import MINUTE_MS, minutes_of
from iops.model import Card
from iops.observability import Metrics
from iops.risk import KINDS, Judgement, Raw, contributions, judge, likely_kinds
from services.insights.drift import Drift
from services.insights.facts import facts_of, slowness_fact
from services.insights.scorers import Chain, Scored
from services.insights.windows import Past

Array = NDArray[np.float64]

HALF_MINUTE_S: Final = 30.0  # a minute counts from then on; before, it is a second or two that say little
QUIET_RISK: Final = 40.0  # below it nothing is wrong: two false pages a stream-day would not be worth a number
DRIFT_EVERY: Final = 8  # turns; a part of the rows tells as much
LAG_LIMIT: Final = 30  # minutes a disk may be behind the newest of its peers; one that is further is not of now
# Their words state what a rule measures; where no rule says so, the model means something else.
OF_RULES: Final = tuple(
    KINDS.index(kind) for kind in (PredictionType.STALL, PredictionType.IO_ERRORS, PredictionType.THROUGHPUT_THROTTLING)
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A disk that the model is asked about."""

    stream_id: str
    past: Past
    view: View


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says of one disk."""

    finding: Finding
    page_score: float
    minute: int  # that it was said of


class ModelJudge:
    """Judges disks of one kind of one peer group, together: they are one another's peers."""

    def __init__(self, chain: Chain, card: Card, metrics: Metrics) -> None:
        self._chain = chain
        self._card = card
        self._drift = Drift(card.feature_quantiles, metrics)
        self._turns = 0

    async def judge(self, candidates: Sequence[Candidate]) -> dict[str, Said]:
        """By stream; candidates without a profile or without recent samples are left out."""
        known = _comparable(candidates)
        if not known:
            return {}
        turn = await asyncio.to_thread(_turn_of, known)
        scored = await self._chain.predict([each.stream_id for each in known], turn.features)
        self._turns += 1
        if self._turns % DRIFT_EVERY == 0:
            self._drift.see(turn.features)
        levels = np.array([_own_level(each.past) for each in known])
        judgement = judge(scored.raw, turn.features, levels, self._card.scales)
        kinds, added = _kinds(scored.raw, turn.features), contributions(scored.raw, turn.features)
        return {
            each.stream_id: Said(
                _finding(turn, place, scored=scored, judgement=judgement, kind=kinds[place], added=added[place]),
                float(judgement.page_score[place]),
                minute=turn.end_minutes[place] - 1,
            )
            for place, each in enumerate(known)
            if np.isfinite(turn.recent(place)[-1]).any()
        }


@dataclass(frozen=True, slots=True)
class _Turn:
    """What is known of the disks that are judged together, in the same order everywhere."""

    known: Sequence[Candidate]
    end_minutes: Sequence[int]  # by disk: the minute after the last one that counts
    minutes: Array  # [minute, disk, one of SERIES], up to the last of all
    day: Array  # [disk, channel, level]
    features: NDArray[np.float32]  # [disk, feature], each at its own last minute

    def recent(self, place: int) -> Array:
        """A disk's last hour, [minute, one of SERIES]."""
        end = len(self.minutes) - (max(self.end_minutes) - self.end_minutes[place])
        return self.minutes[end - HOUR : end, place]


def _comparable(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that have a past and are not far behind the others."""
    known = [each for each in candidates if each.past.profile is not None and len(each.past.window)]
    newest = max(map(_end_minute, known), default=0)
    return [each for each in known if newest - _end_minute(each) < LAG_LIMIT]


def _turn_of(known: Sequence[Candidate]) -> _Turn:
    """The features of each disk at its own last minute: their batches come at different times, their clocks differ."""
    ends = [_end_minute(each) for each in known]
    newest, states = max(ends), max(ends) - min(ends) + 1
    count = HOUR + states - 1
    minutes = np.stack([minutes_of(each.past.window, end_minute=newest, count=count) for each in known], axis=1)
    profiles = [each.past.profile for each in known if each.past.profile is not None]
    day, week = np.stack([profile.day for profile in profiles]), np.stack([profile.week for profile in profiles])
    features = matrix(state_of(minutes, day, week, last=states))
    return _Turn(known, ends, minutes, day, features[np.array(ends) - newest - 1, np.arange(len(known))])


def _kinds(raw: Raw, features: NDArray[np.float32]) -> list[int]:
    """The likeliest kind of each disk, among those whose words can be true of it."""
    likely = likely_kinds(raw.kinds, features)
    likely[:, OF_RULES] = -np.inf
    return [int(kind) for kind in np.argmax(likely, axis=1)]


def _finding(turn: _Turn, place: int, *, scored: Scored, judgement: Judgement, kind: int, added: Array) -> Finding:
    """What is said of one of them; `added` is what each feature has to do with it."""
    risk = float(judgement.risk_score[place])
    asked_before = scored.fell_back_from[place]
    scored_by, before = scored.scored_by[place], (asked_before,) if asked_before else ()
    if risk < QUIET_RISK:
        return Finding(risk_score=0, prediction_type=None, scored_by=scored_by, asked_before=before)
    view = turn.known[place].view
    peers = [other.view for other in turn.known if other.view is not view]
    facts = facts_of(turn.features[place], added, recent=turn.recent(place), day=turn.day[place])
    slower = slowness_fact(float(scored.raw.severity[place]))
    return Finding(
        risk_score=round(risk, 1),
        prediction_type=KINDS[kind],
        facts=(*latency_facts(view, peers_await_ms(peers)), *facts, *slower, *load_facts(view)),
        confidence=round(float(judgement.p_incident[place]), 3),
        began_at=start_of(view.slow_run()),
        scored_by=scored_by,
        asked_before=before,
    )


def _end_minute(candidate: Candidate) -> int:
    """The minute after the last one that counts."""
    window = candidate.past.window
    newest = (window.at_ms[-1] - 1) // MINUTE_MS
    covered_s = sum(window.since(newest * MINUTE_MS + 1)["interval_s"])
    return int(newest + 1 if covered_s >= HALF_MINUTE_S else newest)


def _own_level(past: Past) -> float:
    level = None if past.profile is None else past.profile.own_level
    return np.nan if level is None else level
