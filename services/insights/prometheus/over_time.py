"""One number of each range: as Prometheus computes it, both ends of a range included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from iops.errors import QueryRefused
from services.insights.prometheus.matrix import Array, Instants, Matrix, Series, check_points

WORK_LIMIT: Final = 300_000_000  # samples looked at, half a second
REDUCERS: Final = {
    "sum_over_time": np.add,
    "avg_over_time": np.add,
    "min_over_time": np.minimum,
    "max_over_time": np.maximum,
}


class Ranges(NamedTuple):
    """Where each range begins in the samples, and where it is over; all have a sample."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    ends_at_ms: Instants
    length_ms: int


def over_time(function: str, series: Sequence[Series], at_ms: Instants, *, range_ms: int) -> Matrix:
    """A function of the range before each instant. Raises QueryRefused for too much work."""
    check_points(len(series), len(at_ms))
    made, work = np.full((len(series), len(at_ms)), np.nan), 0
    for row, each in zip(made, series, strict=True):
        begin = np.searchsorted(each.at_ms, at_ms - range_ms, side="left")
        end = np.searchsorted(each.at_ms, at_ms, side="right")
        work += int((end - begin).sum())
        if work > WORK_LIMIT:
            raise QueryRefused("query: so many long ranges are too much; shorten them, or take a longer step")
        is_there = end > begin
        if is_there.any():
            ranges = Ranges(begin[is_there], end[is_there], at_ms[is_there], range_ms)
            row[is_there] = _apply(function, each, ranges)
    found = Matrix([each.labels for each in series], made)
    return found if function == "last_over_time" else found.known().unnamed()


def _apply(function: str, series: Series, ranges: Ranges) -> Array:
    count = ranges.end - ranges.begin
    if function == "rate":
        return _rates(series, ranges)
    if function == "count_over_time":
        return count.astype(np.float64)
    if function == "last_over_time":
        return series.values[ranges.end - 1]
    reduced = _reduce(REDUCERS[function], series.values, ranges)
    return reduced / count if function == "avg_over_time" else reduced


def _reduce(reducer: np.ufunc, values: Array, ranges: Ranges) -> Array:
    edges = np.stack([ranges.begin, ranges.end], axis=1).ravel()
    made: Array = reducer.reduceat(np.append(values, 0.0), edges)[::2]
    return made


def _rates(series: Series, ranges: Ranges) -> Array:
    """Prometheus's own: a fall is a counter that began anew, and what lies before the first and behind the last sample
    is extrapolated, at most half a distance where the series ends there."""
    made = np.full(len(ranges.begin), np.nan)
    (many,) = np.nonzero(ranges.end - ranges.begin >= 2)
    if not len(many):
        return made
    first, last = ranges.begin[many], ranges.end[many] - 1
    values, at_s = series.values, series.at_ms / 1000
    resets = np.concatenate([[0.0], np.cumsum(np.where(values[1:] < values[:-1], values[:-1], 0))])
    increase = values[last] - values[first] + resets[last] - resets[first]
    sampled_s = at_s[last] - at_s[first]
    distance_s = sampled_s / (last - first)
    ends_at_s = ranges.ends_at_ms[many] / 1000
    before_s = at_s[first] - (ends_at_s - ranges.length_ms / 1000)
    with np.errstate(all="ignore"):  # a counter was not below 0: it cannot have begun before it was 0
        to_zero_s = np.where((increase > 0) & (values[first] >= 0), sampled_s * (values[first] / increase), np.inf)
    covered_s = sampled_s + _reached(np.minimum(before_s, to_zero_s), distance_s)
    covered_s += _reached(ends_at_s - at_s[last], distance_s)
    made[many] = increase * (covered_s / sampled_s) / (ranges.length_ms / 1000)
    return made


def _reached(gap_s: Array, distance_s: Array) -> Array:
    return np.where(gap_s < distance_s * 1.1, gap_s, distance_s / 2)
