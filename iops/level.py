"""A disk's own level: the 99th percentile of its page score over its last 7 days, kept as a histogram for each day.

A disk that is always a little unusual is not paged for it; what it usually scores is forgiven in part (`iops.risk`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

LOWEST, HIGHEST = -10.0, 30.0  # page scores beyond count as these
BIN: Final = 0.25
SHARE: Final = 0.99
ENOUGH_SCORES: Final = 360  # minutes; below that a disk has no level of its own yet
DAYS: Final = 7

Histogram = Mapping[int, int]  # bin and how many scores; the bin k ends at k * BIN


def bin_of(page_score: float) -> int:
    """The bin of a score: the one that ends at it or above it.

    >>> bin_of(0.25), bin_of(0.26), bin_of(-99.0)
    (1, 2, -40)
    """
    return math.ceil(min(max(page_score, LOWEST), HIGHEST) / BIN)


def level_of(days: Iterable[Histogram]) -> float | None:
    """The level of some days' scores; None where there are too few.

    >>> level_of([{4: 980}, {8: 20}]), level_of([{4: 10}])
    (2.0, None)
    """
    counts: dict[int, int] = {}
    for day in days:
        for place, count in day.items():
            counts[place] = counts.get(place, 0) + count
    total = sum(counts.values())
    if total < ENOUGH_SCORES:
        return None
    at, passed = math.floor(SHARE * (total - 1)), 0  # as a quantile that is one of the scores
    for place in sorted(counts):
        passed += counts[place]
        if passed > at:
            break
    return place * BIN
