"""How scores of disk streams are judged: curves, pages, events found, and what a threshold costs.

Everything takes one stream at a time: a score and a 0/1 target per minute, and its events as half-open intervals.
Point-adjusted F1 is not here: a random score reaches .75 with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Interval = tuple[int, int]  # half-open

MERGE_GAP: Final = 10  # minutes between two alarms of one page, at the most
REPAGE: Final = 60  # minutes after which the same alarm pages again
GRACE: Final = 5  # minutes around an event in which a page is not false
MINUTES_PER_DAY: Final = 1440
VUS_WINDOW: Final = 20  # minutes
VUS_THRESHOLDS: Final = 250


def average_precision(target: Array, score: Array, weight: Array | None = None) -> float:
    """Area under the precision-recall curve; ties are taken together, and NaN where nothing is positive.

    >>> round(average_precision(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])), 4)
    0.8333
    """
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    each = np.ones(len(score)) if weight is None else weight[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of every distinct score
    right, all_ = np.cumsum(each * target[order])[last], np.cumsum(each)[last]
    if right[-1] == 0:
        return float("nan")
    precision = np.divide(right, all_, out=np.zeros_like(right), where=all_ > 0)
    return float(np.sum(np.diff(right / right[-1], prepend=0.0) * precision))


def runs(mask: Mask) -> list[Interval]:
    """Where a mask is true.

    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edge = np.diff(np.concatenate(([0], mask.astype(np.int8), [0])))
    return list(zip(np.flatnonzero(edge == 1).tolist(), np.flatnonzero(edge == -1).tolist(), strict=True))


def vus_pr(target: Array, score: Array) -> float:
    """Volume under the precision-recall surface, as TSB-AD's generate_curve(..., 20, 'opt', 250) computes it.

    There the loops are thresholds x windows x minutes. Here the minutes are sorted once by score, and each sum over
    the predicted minutes is a cumulative sum read at the thresholds: 7 ms for 16 days.
    """
    segments = runs(target > 0)
    if not segments:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    level = ordered[np.linspace(0, len(score) - 1, VUS_THRESHOLDS).astype(int)]
    predicted = np.searchsorted(-ordered, -level, side="right")
    volume = 0.0
    for window in range(VUS_WINDOW + 1):
        soft = _soft_labels(target, segments, window)
        existence = _existence(score, _widened(segments, window // 2, len(target)), level)
        right = np.cumsum(soft[order])[predicted - 1]
        shoulder = np.cumsum((soft * (target == 0))[order])[predicted - 1]
        recall = np.minimum(right / ((2 * target.sum() + shoulder) / 2), 1.0) * existence
        volume += float(np.sum(np.diff(recall, prepend=0.0) * right / predicted))
    return volume / (VUS_WINDOW + 1)


def _soft_labels(target: Array, segments: Sequence[Interval], window: int) -> Array:
    """Labels with shoulders of half a window on both sides of each segment."""
    soft, half = target.copy(), window // 2
    if window == 0:
        return soft
    for start, stop in segments:
        after = np.arange(stop, min(stop + half, len(target)))
        soft[after] += np.sqrt(1 - (after - stop + 1) / window)
        before = np.arange(max(start - half, 0), start)
        soft[before] += np.sqrt(1 - (start - before) / window)
    return np.minimum(soft, 1.0)


def _existence(score: Array, segments: Sequence[Interval], level: Array) -> Array:
    """At each level the share of the segments that reach it."""
    peaks = np.sort([score[start:stop].max() for start, stop in segments])
    return np.asarray((len(peaks) - np.searchsorted(peaks, level, side="left")) / len(peaks))


def _widened(segments: Sequence[Interval], half: int, end: int) -> list[Interval]:
    """Segments with half a window on both sides, joined where they then meet."""
    joined: list[Interval] = []
    for start, stop in segments:
        begin = start - half
        if joined and begin < joined[-1][1]:
            begin = joined.pop()[0]
        joined.append((begin, stop + half))
    return [(max(begin, 0), min(stop, end)) for begin, stop in joined]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of one judged stream."""

    target: Array  # [minute]: 1 or 0
    is_ignored: Mask  # [minute]: another anomaly, or nothing measured: an alarm there is no alarm
    events: tuple[Interval, ...]

    @property
    def days(self) -> float:
        return len(self.target) / MINUTES_PER_DAY


@dataclass(frozen=True, slots=True)
class Tally:
    """What alarms on a stream were worth."""

    found: int
    false_pages: int
    pages: int
    delays: tuple[int, ...]  # minutes from the start of each found event to its first alarm


def pages(alarm_minutes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pages as [page, (start, stop)]: alarms merged over gaps up to 10 minutes, paged again every 60.

    >>> pages(np.array([3, 13, 30])).tolist()
    [[3, 14], [30, 31]]
    >>> pages(np.arange(130)).tolist()
    [[0, 60], [60, 120], [120, 130]]
    """
    if not len(alarm_minutes):
        return np.empty((0, 2), np.int64)
    cut = np.flatnonzero(np.diff(alarm_minutes) > MERGE_GAP)
    start = alarm_minutes[np.append(0, cut + 1)]
    stop = alarm_minutes[np.append(cut, len(alarm_minutes) - 1)] + 1
    count = -(-(stop - start) // REPAGE)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    begin = np.repeat(start, count) + REPAGE * place
    return np.stack([begin, np.minimum(begin + REPAGE, np.repeat(stop, count))], axis=1)


def tally(alarm: Mask, truth: Truth) -> Tally:
    """An event is found by an alarm in [start, end + 5); a page is false that touches no event +- 5 minutes."""
    alarm = alarm & ~truth.is_ignored
    is_near = np.zeros(len(alarm), bool)
    delays = []
    for start, stop in truth.events:
        end = min(stop + GRACE, len(alarm))
        is_near[max(start - GRACE, 0) : end] = True
        if alarm[start:end].any():
            delays.append(int(np.argmax(alarm[start:end])))
    sent = pages(np.flatnonzero(alarm))
    touched = np.concatenate(([0], np.cumsum(is_near)))
    false_pages = int(np.sum(touched[sent[:, 1]] == touched[sent[:, 0]]))
    return Tally(found=len(delays), false_pages=false_pages, pages=len(sent), delays=tuple(delays))


def level_grid(scores: Sequence[Array], *, count: int = 160, most_ratio: float = 0.08) -> Array:
    """Candidate thresholds, dense where alarms are rare: up to `most_ratio` of all minutes."""
    pooled = np.concatenate(scores)
    return np.unique(np.quantile(pooled, 1 - np.geomspace(1e-5, most_ratio, count)))


def threshold_for_budget(
    scores: Sequence[Array], truths: Sequence[Truth], per_day: float, levels: Array | None = None
) -> float:
    """The lowest level such that it and every higher one cost at most `per_day` false pages a stream-day."""
    days = sum(truth.days for truth in truths)
    best = np.inf
    for level in (level_grid(scores) if levels is None else levels)[::-1]:
        each = zip(scores, truths, strict=True)
        if sum(tally(score >= level, truth).false_pages for score, truth in each) / days > per_day:
            break
        best = float(level)
    return best
