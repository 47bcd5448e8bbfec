"""A range cut into equal steps: which, and the means and maxima of what lies in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.rollup import WEIGHED_BY, Rollup
from iops.telemetry import Window

Array = NDArray[np.float64]
Column = list[float | None]  # null is a gap

STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
MINUTE_S: Final = 60  # from here on minutes do as well as samples
CHANNELS: Final = (
    "read_iops",
    "write_iops",
    "read_bytes_s",
    "write_bytes_s",
    "read_await_ms",
    "write_await_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "queue_depth",
    "utilization_ratio",
)
MAXIMA: Final = ("read_await_ms", "write_await_ms", "queue_depth", "utilization_ratio")
TOGETHER: Final = {"iops": ("read_iops", "write_iops"), "bytes_s": ("read_bytes_s", "write_bytes_s")}
LEAST_RATE: Final = 1e-6  # of requests that are so few that their rate rounds to 0: alone they still weigh something
DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Steps:
    """Consecutive steps of the clock."""

    first_s: int  # where the first one begins: a multiple of `step_s` since 1970
    step_s: int
    count: int

    @property
    def at_s(self) -> list[int]:
        """Where each begins."""
        return [self.first_s + index * self.step_s for index in range(self.count)]

    @property
    def from_ms(self) -> int:
        """The first millisecond of all."""
        return 1_000 * self.first_s

    @property
    def to_ms(self) -> int:
        """The last millisecond of all."""
        return 1_000 * (self.first_s + self.count * self.step_s) - 1


def steps_of(*, from_s: float, to_s: float, step_s: int) -> Steps:
    """The steps that a range touches."""
    first, last = int(from_s // step_s), int(to_s // step_s)
    return Steps(first * step_s, step_s, last - first + 1)


def round_step_s(span_s: float, points: int, *, least_s: int = 1) -> int:
    """The shortest round step of which `points` cover the span.

    >>> round_step_s(3_600, 480), round_step_s(86_400, 480), round_step_s(90 * 86_400, 480)
    (10, 300, 21600)
    """
    return next((step_s for step_s in STEPS_S if step_s >= max(least_s, span_s / points)), STEPS_S[-1])


class Means:
    """Sums of what was added so far, in whatever order; what they need does not grow with it."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._sums = {name: np.zeros(steps.count) for name in CHANNELS}
        self._weights = {name: np.zeros(steps.count) for name in CHANNELS}
        self._largest = {name: np.full(steps.count, np.nan) for name in MAXIMA}
        self._samples = np.zeros(steps.count)
        self._begins_ms = np.full(steps.count, np.inf)  # of the earliest interval that ends in the step

    def add_samples(self, window: Window) -> None:
        """Samples, each in the step in which it ends."""
        self._add(window, window, None)

    def add_minutes(self, minutes: Rollup) -> None:
        """Minutes, where a step is made of whole ones."""
        self._add(minutes.mean, minutes.maximum, minutes.count)

    def columns(self) -> dict[str, Array]:
        """The mean of each step by channel, and of both directions together: weighted by time, an await by requests.

        NaN where nothing was measured. A step in which no sample ends belongs to the one whose interval covers its
        middle.
        """
        found = {name: _ratio(self._sums[name], self._weights[name]) for name in CHANNELS}
        found |= {name: found[reads] + found[writes] for name, (reads, writes) in TOGETHER.items()}
        waited, requests = (each["read_await_ms"] + each["write_await_ms"] for each in (self._sums, self._weights))
        found["await_ms"] = _ratio(waited, requests)
        place = self._covering()
        return {name: np.where(place >= 0, column[place], np.nan) for name, column in found.items()}

    def maxima(self) -> dict[str, Array]:
        """The largest sample of each step by channel, `await_ms` of either direction; NaN where the step has one
        sample, or none."""
        is_more = self._samples > 1
        largest = self._largest | {"await_ms": np.fmax(self._largest["read_await_ms"], self._largest["write_await_ms"])}
        return {name: np.where(is_more, column, np.nan) for name, column in largest.items()}

    def _add(self, mean: Window, maximum: Window, count: Window | None) -> None:
        if not len(mean):  # numpy reads no empty buffer
            return
        at_ms = np.frombuffer(mean.at_ms, dtype=np.int64)
        inside = slice(*np.searchsorted(at_ms, (self._steps.from_ms, self._steps.to_ms + 1)).tolist())
        at_ms = at_ms[inside]
        if not len(at_ms):
            return
        place = (at_ms - self._steps.from_ms) // (1_000 * self._steps.step_s)
        starts = np.flatnonzero(np.diff(place, prepend=-1))  # instants grow, so a step's samples stand together
        touched = place[starts]
        interval_s = _column(mean, "interval_s")[inside]
        for name in CHANNELS:
            values = _column(mean, name)[inside]
            weights = interval_s * _rate_of(mean, name, inside)
            is_known = np.isfinite(values)
            self._sums[name][touched] += np.add.reduceat(np.where(is_known, values * weights, 0.0), starts)
            self._weights[name][touched] += np.add.reduceat(np.where(is_known, weights, 0.0), starts)
        for name, largest in self._largest.items():
            new = np.fmax.reduceat(_column(maximum, name)[inside], starts)
            largest[touched] = np.fmax(largest[touched], new)
        samples = np.ones(len(at_ms)) if count is None else _column(count, "interval_s")[inside]
        self._samples[touched] += np.add.reduceat(samples, starts)
        begins_ms = np.minimum.reduceat(at_ms - 1_000 * interval_s, starts)
        self._begins_ms[touched] = np.minimum(self._begins_ms[touched], begins_ms)

    def _covering(self) -> NDArray[np.intp]:
        """For each step the one whose numbers it has: its own, or the next one's where that covers it; -1: none's."""
        count, step_ms = self._steps.count, 1_000 * self._steps.step_s
        own = np.arange(count)
        has_samples = self._samples > 0
        following = np.minimum.accumulate(np.where(has_samples, own, count)[::-1])[::-1]
        begins_ms = np.append(self._begins_ms, np.inf)[following]
        middles_ms = self._steps.from_ms + (own + 0.5) * step_ms
        return np.where(has_samples | (begins_ms <= middles_ms), following, -1)


def to_lists(columns: Mapping[str, Array]) -> dict[str, Column]:
    """Columns as JSON has them: four significant digits, null where NaN.

    >>> to_lists({"await_ms": np.array([0.123456, 98765.4, np.nan, 0.0])})
    {'await_ms': [0.1235, 98770.0, None, 0.0]}
    """
    return {name: [None if value != value else value for value in _rounded(each)] for name, each in columns.items()}


def _rounded(values: Array) -> list[float]:
    size = np.abs(np.where(np.isfinite(values) & (values != 0), values, 1.0))
    places = DIGITS - 1 - np.floor(np.log10(size))
    up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)  # whole powers, so decimals come out short
    rounded: list[float] = (np.round(values * up / down) * down / up).tolist()
    return rounded


def _rate_of(window: Window, name: str, inside: slice) -> Array | float:
    rate = WEIGHED_BY.get(name)
    return 1.0 if rate is None else np.maximum(_column(window, rate)[inside], LEAST_RATE)


def _column(window: Window, name: str) -> Array:
    return np.frombuffer(window.columns[name])


def _ratio(upper: Array, lower: Array) -> Array:
    return np.asarray(np.divide(upper, lower, out=np.full_like(upper, np.nan), where=lower > 0))
