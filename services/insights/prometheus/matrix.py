"""Series as rows of a matrix, one column an instant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.errors import QueryRefused
from services.insights.prometheus.query import NAME

Array = NDArray[np.float64]
Instants = NDArray[np.int64]  # epoch ms, growing
Labels = dict[str, str]

POINTS_LIMIT: Final = 1_000_000  # 8 MB as numbers, some 30 MB as an answer


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one series, without those that are null."""

    labels: Labels
    at_ms: Instants
    values: Array


@dataclass(frozen=True, slots=True)
class Matrix:
    """Values as [series, instant]; NaN where there is none."""

    labels: Sequence[Labels]
    values: Array

    def known(self) -> Matrix:
        """Without the series that have no value at all."""
        is_known = np.asarray(~np.isnan(self.values).all(axis=1))
        return Matrix(list(compress(self.labels, is_known.tolist())), self.values[is_known])

    def unnamed(self) -> Matrix:
        """Without the name, since it is another number now. Raises QueryRefused where two become one."""
        labels = [{name: value for name, value in each.items() if name != NAME} for each in self.labels]
        if len({frozenset(each.items()) for each in labels}) < len(labels):
            raise QueryRefused("query: without their names two series are the same; select one name, or aggregate")
        return Matrix(labels, self.values)


def check_points(series: int, steps: int) -> None:
    """Raises QueryRefused for more than is held in memory."""
    if series * steps > POINTS_LIMIT:
        raise QueryRefused(
            f"query: {series:,} series of {steps:,} points are more than {POINTS_LIMIT:,}; "
            "select fewer, or take a longer step"
        )


def latest(series: Sequence[Series], at_ms: Instants, *, lookback_ms: int) -> Matrix:
    """The newest value of each that is at most `lookback_ms` old at each instant."""
    check_points(len(series), len(at_ms))
    made = np.full((len(series), len(at_ms)), np.nan)
    for row, each in zip(made, series, strict=True):
        place = np.searchsorted(each.at_ms, at_ms, side="right") - 1
        if len(each.at_ms):
            is_fresh = (place >= 0) & (each.at_ms[place] >= at_ms - lookback_ms)
            row[is_fresh] = each.values[place[is_fresh]]
    return Matrix([each.labels for each in series], made)


def key_of(labels: Labels, names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Those of the names that are there."""
    return tuple((name, labels[name]) for name in sorted(names) if name in labels)
