"""What the model says of a peer group: the features of all its disks at once, risks, and the facts behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.evidence import View, latency_facts, load_facts, peers_await_ms, start_of
from iops.features import HOUR, matrix, state_of
from iops.insight import Finding
from iops.minutes import MINUTE_MS, minutes_of
from iops.model import Card
from iops.observability import Metrics
from iops.risk import KINDS, Judgement, contributions, judge
from services.insights.drift import Drift
from services.insights.facts import facts_of
from services.insights.scorers import Chain, Scored
from services.insights.windows import Past

Array = NDArray[np.float64]

HALF_MINUTE_S: Final = 30.0  # a minute counts from then on; before, it is a second or two that say little
QUIET_RISK: Final = 40.0  # below it nothing is wrong: two false pages a stream-day would not be worth a number


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

    async def judge(self, candidates: Sequence[Candidate]) -> dict[str, Said]:
        """By stream; candidates without a profile or without samples are left out."""
        known = [each for each in candidates if each.past.profile is not None and len(each.past.window)]
        if not known:
            return {}
        end_minute = max(map(_end_minute, known))
        minutes = np.stack([minutes_of(each.past.window, end_minute=end_minute, count=HOUR) for each in known], axis=1)
        day, week = _tables(known)
        features = matrix(state_of(minutes, day, week))[0]
        scored = await self._chain.predict([each.stream_id for each in known], features)
        self._drift.see(features)
        levels = np.array([_own_level(each.past) for each in known])
        judgement = judge(scored.raw, features, levels, self._card.scales)
        group = _Group(known, minutes, day, features, contributions(scored.raw, features), scored, judgement)
        return {
            each.stream_id: Said(group.finding(place), float(judgement.page_score[place]), minute=end_minute - 1)
            for place, each in enumerate(known)
            if np.isfinite(minutes[-1, place]).any()
        }


@dataclass(frozen=True, slots=True)
class _Group:
    """All that is known of the disks of one turn, in the same order everywhere."""

    known: Sequence[Candidate]
    minutes: Array  # [minute, disk, one of SERIES]
    day: Array  # [disk, channel, level]
    features: NDArray[np.float32]
    contributions: Array  # [disk, feature]
    scored: Scored
    judgement: Judgement

    def finding(self, place: int) -> Finding:
        """What is said of one of them."""
        risk = float(self.judgement.risk_score[place])
        asked_before = self.scored.fell_back_from[place]
        scored_by, before = self.scored.scored_by[place], (asked_before,) if asked_before else ()
        if risk < QUIET_RISK:
            return Finding(risk_score=0, prediction_type=None, scored_by=scored_by, asked_before=before)
        candidate = self.known[place]
        peers = [other.view for other in self.known if other is not candidate]
        facts = facts_of(
            self.features[place],
            self.contributions[place],
            recent=self.minutes[:, place],
            day=self.day[place],
        )
        view = candidate.view
        return Finding(
            risk_score=round(risk, 1),
            prediction_type=KINDS[self.judgement.kind[place]],
            facts=(*facts, *latency_facts(view, peers_await_ms(peers)), *load_facts(view)),
            confidence=round(float(self.judgement.p_incident[place]), 3),
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


def _tables(known: Sequence[Candidate]) -> tuple[Array, Array]:
    profiles = [each.past.profile for each in known if each.past.profile is not None]
    return np.stack([profile.day for profile in profiles]), np.stack([profile.week for profile in profiles])


def _own_level(past: Past) -> float:
    level = None if past.profile is None else past.profile.own_level
    return np.nan if level is None else level
