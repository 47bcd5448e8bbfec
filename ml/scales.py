"""How scores are read: calibrated probabilities, and risks that cost what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.risk import OWN_LEVEL_RATIO, Scale, incident_scores, page_scores, peer_scores
from ml.protocol import Truth, level_grid, tally, threshold_for_budget
from ml.source import UnreadableData

Array = NDArray[np.float64]

# What a risk costs: false pages for each stream and day where everything at or above it paged.
BUDGETS: Final = ((40.0, 2.0), (60.0, 0.5), (80.0, 0.1), (95.0, 0.02))
END: Final = 6.0  # how far beyond the last threshold the risk is 100, and before the first it is 0: odds of 1 to 400
APART: Final = 0.01  # knots that would stand on one another
NEWTON_STEPS: Final = 100
SHORTEST: Final = 1e-6  # of a step
LEVELS: Final = 200  # candidate thresholds
MOST_RATIO: Final = 0.25  # of all minutes may lie over the lowest of them
CALM_LEVEL: Final = 0.97


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores of one stream that the trees were not fitted on, and what is known of it."""

    incident: Array  # what the probability is made of
    page: Array  # what the risk is made of
    truth: Truth


def judged_alone(margin: Array, features: NDArray[np.float32], own_level: Array, truth: Truth) -> Judged:
    """A stream without peers; `own_level` has no NaN."""
    page = page_scores(margin, features) - OWN_LEVEL_RATIO * own_level
    return Judged(incident_scores(margin, features), page, truth)


def judged_beside_peers(margin: Array, features: NDArray[np.float32], truth: Truth) -> Judged:
    """A stream with peers."""
    score = peer_scores(margin, features)
    return Judged(score, score, truth)


def make_scale(judged: Sequence[Judged], *, budgeted: Sequence[Judged] | None = None) -> Scale:
    """Calibrated on `judged`, with knots where the budgets are spent on `budgeted` (the same, if not given)."""
    known = [~each.truth.is_ignored for each in judged]
    slope, intercept = platt(
        np.concatenate([each.incident[is_known] for each, is_known in zip(judged, known, strict=True)]),
        np.concatenate([each.truth.target[is_known] for each, is_known in zip(judged, known, strict=True)]),
    )
    budgeted = judged if budgeted is None else budgeted
    scores, truths = [each.page for each in budgeted], [each.truth for each in budgeted]
    levels = level_grid(scores, count=LEVELS, most_ratio=MOST_RATIO)
    knots: list[tuple[float, float]] = []
    for risk, budget in BUDGETS:
        level = threshold_for_budget(scores, truths, budget, levels)
        if not np.isfinite(level):  # nothing costs so little
            level = float(levels[-1])
        knots.append((max(level, knots[-1][0] + APART) if knots else level, risk))
    knots = [(knots[0][0] - END, 0.0), *knots, (knots[-1][0] + END, 100.0)]
    return Scale(slope=slope, intercept=intercept, knots=tuple(knots))


def calmest(hosts: Sequence[Sequence[Judged]], *, ratio: float) -> list[Judged]:
    """The streams of the hosts that would page least, host for host, if every score over 3 in 100 of all paged."""
    level = float(np.quantile(np.concatenate([each.page for host in hosts for each in host]), CALM_LEVEL))
    cost = [
        sum(tally(each.page >= level, each.truth).false_pages for each in host) / sum(each.truth.days for each in host)
        for host in hosts
    ]
    kept = np.argsort(cost, kind="stable")[: round(ratio * len(hosts))]
    return [each for place in kept.tolist() for each in hosts[place]]


def platt(score: Array, target: Array) -> tuple[float, float]:
    """Slope and intercept of the logistic curve that fits best, by Newton's steps.

    >>> slope, intercept = platt(np.array([-1.0, -1.0, 1.0, 1.0, 1.0, -1.0]), np.array([0.0, 0, 1, 1, 0, 1]))
    >>> round(slope, 3), round(abs(intercept), 3)
    (0.693, 0.0)
    """
    rate = target.mean()
    if not 0 < rate < 1:
        raise UnreadableData("nothing to calibrate on: incidents and ordinary minutes are both wanted")
    slope, intercept = 1.0, float(np.log(rate / (1 - rate)) - score.mean())
    loss = _loss(slope, intercept, score, target)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(slope * score + intercept, -500, 500)))
        each = p * (1 - p)
        across = np.sum(each * score)
        curvature = np.array([[np.sum(each * score**2), across], [across, np.sum(each)]]) + 1e-9 * np.eye(2)
        change = np.linalg.solve(curvature, [np.sum((p - target) * score), np.sum(p - target)])
        length = 1.0  # a whole step may leap over the valley
        while (after := _loss(slope - length * change[0], intercept - length * change[1], score, target)) > loss:
            length /= 2
            if length < SHORTEST:
                return slope, intercept
        slope, intercept = slope - length * float(change[0]), intercept - length * float(change[1])
        if loss - after < 1e-12 * loss:
            break
        loss = after
    return slope, intercept


def _loss(slope: float, intercept: float, score: Array, target: Array) -> float:
    log_odds = slope * score + intercept
    return float(np.mean(np.logaddexp(0, log_odds) - target * log_odds))
