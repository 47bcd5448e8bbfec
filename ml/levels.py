"""Each disk's own level at each minute of its past, as serving would have known it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.level import BIN, DAYS, ENOUGH_SCORES, HIGHEST, LOWEST, SHARE

Array = NDArray[np.float64]

HOUR, WEEK = 60, DAYS * 1440  # minutes
FIRST_BIN: Final = int(np.ceil(LOWEST / BIN))
NOT_SCORED: Final = -1
BINS: Final = int(np.ceil(HIGHEST / BIN)) - FIRST_BIN + 1


def own_levels(page_scores: Array, minute: NDArray[np.int64]) -> Array:
    """Of [minute, disk], at each minute the level of the 7 days before its hour; NaN where too little was known.

    A score that is NaN was not given, and does not count.
    """
    bins = np.ceil(np.clip(np.nan_to_num(page_scores), LOWEST, HIGHEST) / BIN).astype(np.intp) - FIRST_BIN
    bins[np.isnan(page_scores)] = NOT_SCORED
    found = np.full(page_scores.shape, np.nan)
    counts = np.zeros((page_scores.shape[1], BINS), np.int64)
    added = removed = 0
    for hour in np.unique(minute // HOUR).tolist():
        first, last, oldest = np.searchsorted(minute, (hour * HOUR, (hour + 1) * HOUR, hour * HOUR - WEEK))
        _count(counts, bins[added:first], 1)
        _count(counts, bins[removed:oldest], -1)
        added, removed = first, oldest
        found[first:last] = _levels(counts)
    return found


def _count(counts: NDArray[np.int64], bins: NDArray[np.intp], sign: int) -> None:
    row, disk = np.nonzero(bins != NOT_SCORED)
    np.add.at(counts, (disk, bins[row, disk]), sign)


def _levels(counts: NDArray[np.int64]) -> Array:
    total = counts.sum(axis=1)
    at = np.floor(SHARE * (total - 1))
    place = (np.cumsum(counts, axis=1) > at[:, np.newaxis]).argmax(axis=1)
    return np.where(total >= ENOUGH_SCORES, (place + FIRST_BIN) * BIN, np.nan)
