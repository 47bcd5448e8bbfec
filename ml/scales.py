"""How scores are read: calibrated probabilities, and risks that cost what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.risk import OWN_LEVEL_RATIO, Scale, incident_scores, page_scores, peer_scores
from ml.protocol import Truth, level_grid, threshold_for_budget
from ml.source import UnreadableData

Array = NDArray[np.float64]

# What a risk costs: false pages for each stream and day where everything at or above it paged.
BUDGETS: Final = ((40.0, 2.0), (60.0, 0.5), (80.0, 0.1), (95.0, 0.02))
END: Final = 6.0  # how far beyond the last threshold the risk is 100, and before the first it is 0: odds of 1 to 400
APART: Final = 0.01  # knots that would stand on one another
NEWTON_STEPS: Final = 50
STEP_END: Final = 1e-9
LEAST_SPREAD: Final = 1e-9  # of scores that are all alike


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


def make_scale(judged: Sequence[Judged]) -> Scale:
    """Calibrated, and with knots where the budgets are spent."""
    known = [~each.truth.is_ignored for each in judged]
    slope, intercept = platt(
        np.concatenate([each.incident[is_known] for each, is_known in zip(judged, known, strict=True)]),
        np.concatenate([each.truth.target[is_known] for each, is_known in zip(judged, known, strict=True)]),
    )
    scores, truths = [each.page for each in judged], [each.truth for each in judged]
    levels = level_grid(scores, count=120)
    knots: list[tuple[float, float]] = []
    for risk, budget in BUDGETS:
        level = threshold_for_budget(scores, truths, budget, levels)
        if not np.isfinite(level):  # nothing costs so little
            level = float(levels[-1])
        knots.append((max(level, knots[-1][0] + APART) if knots else level, risk))
    knots = [(knots[0][0] - END, 0.0), *knots, (knots[-1][0] + END, 100.0)]
    return Scale(slope=slope, intercept=intercept, knots=tuple(knots))


def platt(score: Array, target: Array) -> tuple[float, float]:
    """Slope and intercept of the logistic curve that fits best, by Newton's steps, each halved until it is no worse.

    A whole step from a poor start can leave for good: on scores of simulated hosts it ended at a slope of 3e14.

    >>> slope, intercept = platt(np.array([-1.0, -1.0, 1.0, 1.0, 1.0, -1.0]), np.array([0.0, 0, 1, 1, 0, 1]))
    >>> round(slope, 3), round(abs(intercept), 3)
    (0.693, 0.0)
    """
    rate = target.mean()
    if not 0 < rate < 1:
        raise UnreadableData("nothing to calibrate on: incidents and ordinary minutes are both needed")
    middle, spread = score.mean(), max(float(score.std()), LEAST_SPREAD)
    each = np.stack([(score - middle) / spread, np.ones_like(score)])
    found = np.array([0.0, np.log(rate / (1 - rate))])
    worth = _log_likelihood(found @ each, target)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(found @ each, -500, 500)))
        curvature = (each * (p * (1 - p))) @ each.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, each @ (target - p))
        while (better := _log_likelihood((found + step) @ each, target)) < worth and np.abs(step).sum() > STEP_END:
            step = step / 2
        if np.abs(step).sum() <= STEP_END:
            break
        found, worth = found + step, better
    slope = float(found[0]) / spread
    return slope, float(found[1] - slope * middle)


def _log_likelihood(log_odds: Array, target: Array) -> float:
    return float(np.sum(target * log_odds - np.logaddexp(0, log_odds)))
