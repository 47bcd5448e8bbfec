"""A chart of one window that needs no script: a line in time with gaps where nothing was measured, and its words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

WIDTH, HEIGHT = 600, 90
POINTS: Final = 300  # half of the width
GAP_INTERVALS: Final = 3.0  # without a sample for so many of them, there is a gap


class Point(NamedTuple):
    """A sample as it is drawn."""

    at_s: float
    interval_s: float  # that it was measured in
    value: float  # NaN: nothing was measured


@dataclass(frozen=True, slots=True)
class Figure:
    """One channel in a span, ready to be drawn."""

    name: str
    unit: str
    path: str  # of an SVG of WIDTH x HEIGHT, 0 at the bottom and the highest value at the top
    usual: float | None  # the 24 h median, where it is known
    usual_y: float | None
    lowest: float
    middle: float  # the median of what was measured
    highest: float
    newest: float


def draw(
    name: str, unit: str, points: Sequence[Point], *, span: tuple[float, float], usual: float | None
) -> Figure | None:
    """The points, oldest first, in a span of epoch seconds; None where nothing was measured.

    >>> points = [Point(0, 5, 1.0), Point(5, 5, 3.0), Point(10, 5, math.nan)]
    >>> figure = draw("await", "ms", points, span=(0, 10), usual=1.5)
    >>> figure.path, figure.usual_y, figure.middle, figure.newest
    ('M0 59.7L300 1', 45.0, 2.0, 3.0)
    """
    known = [point.value for point in points if not math.isnan(point.value)]
    if not known:
        return None
    top = max(*known, usual or 0.0) or 1.0
    return Figure(
        name=name,
        unit=unit,
        path=_path(points, span=span, top=top),
        usual=usual,
        usual_y=None if usual is None else float(f"{_y(usual, top):.3g}"),
        lowest=min(known),
        middle=median(known),
        highest=max(known),
        newest=known[-1],
    )


def _path(points: Sequence[Point], *, span: tuple[float, float], top: float) -> str:
    """Lines between points that follow each other; one alone is a dot."""
    begin_s, end_s = span
    length_s = max(end_s - begin_s, 1e-9)
    runs: list[list[str]] = []
    before: Point | None = None  # of the line's last point
    for point in points:
        if math.isnan(point.value):
            before = None
            continue
        gap_s = GAP_INTERVALS * max(point.interval_s, length_s / POINTS)
        if before is None or point.at_s - before.at_s > gap_s:
            runs.append([])
        runs[-1].append(f"{WIDTH * (point.at_s - begin_s) / length_s:.4g} {_y(point.value, top):.3g}")
        before = point
    return "".join(f"M{'L'.join(run)}" + ("h.1" if len(run) == 1 else "") for run in runs)


def _y(value: float, top: float) -> float:
    return HEIGHT - 1 - (HEIGHT - 2) * max(0.0, value) / top
