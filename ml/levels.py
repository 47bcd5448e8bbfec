"""Own levels of all minutes of a host at once, as `iops.risk` wants them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.features import HOUR
from ml.hosts import DAY, WEEK_DAYS

Array = NDArray[np.float64]

LOWEST, HIGHEST, BIN = -10.0, 30.0, 0.25  # of the histogram; scores beyond count in the outermost bins
SHARE: Final = 0.99
ENOUGH_SCORES: Final = 360  # minutes
WEEK_HOURS: Final = WEEK_DAYS * DAY // HOUR


def own_levels(page_scores: Array, minute: NDArray[np.int64]) -> Array:
    """[minute, disk]: the 99th percentile of each disk's page scores in the 7 days before the current hour.

    It is the upper edge of the bin it lies in; NaN below 360 scores. A score that is NaN was not scored.
    """
    hours, row = np.unique(minute // HOUR, return_inverse=True)
    edges = np.arange(LOWEST, HIGHEST + BIN, BIN)
    levels = np.empty((len(hours), page_scores.shape[1]))
    first = np.searchsorted(hours, hours - WEEK_HOURS)
    for disk in range(page_scores.shape[1]):
        known = np.isfinite(page_scores[:, disk])
        place = np.searchsorted(
            edges, np.clip(page_scores[known, disk], LOWEST, HIGHEST)
        )  # edges[k - 1] < x <= edges[k]
        counts = np.bincount(row[known] * len(edges) + place, minlength=len(hours) * len(edges))
        before = np.cumsum(counts.reshape(len(hours), len(edges)), axis=0) - counts.reshape(len(hours), -1)
        levels[:, disk] = _percentiles(before - before[first], edges)
    return levels[row]


def _percentiles(counts: NDArray[np.int64], edges: Array) -> Array:
    """Of histograms [hour, bin]; a percentile is one of the scores, as far as bins can tell."""
    passed = np.cumsum(counts, axis=1)
    total = passed[:, -1:]
    place = np.argmax(passed > np.floor(SHARE * (total - 1)), axis=1)
    return np.where(total[:, 0] >= ENOUGH_SCORES, edges[place], np.nan)
