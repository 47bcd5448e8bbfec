"""Whether probabilities are what they say, and how sure a mean over machines is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BINS: Final = 10
RESAMPLES: Final = 2_000
INTERVAL: Final = (0.025, 0.975)  # 95 %


@dataclass(frozen=True, slots=True)
class Reliability:
    """Minutes whose probability was alike: what was said, and what came."""

    minutes: int
    mean_p: float
    incident_ratio: float


def reliability(target: Array, p: Array) -> list[Reliability]:
    """Of equally wide bins of probability; those without a minute are left out.

    >>> [bin.incident_ratio for bin in reliability(np.array([0.0, 0, 1, 1]), np.array([0.05, 0.05, 0.05, 0.95]))]
    [0.3333333333333333, 1.0]
    """
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    count, said, came = (np.bincount(place, weights=part, minlength=BINS) for part in (np.ones_like(p), p, target))
    return [Reliability(int(n), float(s / n), float(c / n)) for n, s, c in zip(count, said, came, strict=True) if n > 0]


def calibration_error(bins: list[Reliability]) -> float:
    """The mean distance between what was said and what came (ECE), each minute weighing alike.

    >>> calibration_error([Reliability(3, 0.5, 0.25), Reliability(1, 1.0, 1.0)])
    0.1875
    """
    return sum(b.minutes * abs(b.mean_p - b.incident_ratio) for b in bins) / sum(b.minutes for b in bins)


def brier(target: Array, p: Array) -> float:
    """The mean squared distance between what was said and what came.

    >>> brier(np.array([1.0, 0.0]), np.array([0.5, 0.0]))
    0.125
    """
    return float(np.mean((p - target) ** 2))


def bootstrap(upper: Array, lower: Array, rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % interval of sum(upper) / sum(lower) when other machines might as well have been drawn."""
    drawn = rng.integers(0, len(upper), (RESAMPLES, len(upper)))
    below = lower[drawn].sum(axis=1)
    ratio = upper[drawn].sum(axis=1)[below > 0] / below[below > 0]
    if not len(ratio):
        return float("nan"), float("nan")
    low, high = np.quantile(ratio, INTERVAL)
    return float(low), float(high)
