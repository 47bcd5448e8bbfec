"""Groups of series as one, or the highest and lowest of each group; NaN is absent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.insights.prometheus.matrix import Array, Labels, Matrix, key_of
from services.insights.prometheus.query import NAME, RANKING, Aggregate

Rows = NDArray[np.int64]


def aggregate(said: Aggregate, matrix: Matrix) -> Matrix:
    """As `said`; the groups in the order of their labels."""
    groups = _groups(said, matrix.labels)
    if not groups:
        return matrix
    if said.operator in RANKING:
        return _ranked(said, matrix, list(groups.values()))
    if said.operator == "quantile":
        assert said.parameter is not None
        made = np.array([_quantile(said.parameter, matrix.values[rows]) for rows in groups.values()])
    else:
        order = np.concatenate(list(groups.values()))
        starts = np.cumsum([0, *(len(rows) for rows in groups.values())])[:-1]
        made = _reduce(said.operator, matrix.values[order], starts)
    return Matrix([dict(key) for key in groups], made).known()


def _groups(said: Aggregate, labels: Sequence[Labels]) -> dict[tuple[tuple[str, str], ...], Rows]:
    found: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for row, each in enumerate(labels):
        names = said.labels if said.is_by else each.keys() - said.labels - {NAME}
        found.setdefault(key_of(each, names), []).append(row)
    return {key: np.array(rows) for key, rows in sorted(found.items())}


def _reduce(operator: str, values: Array, starts: Rows) -> Array:
    if operator in ("max", "min"):
        extreme: Array = (np.fmax if operator == "max" else np.fmin).reduceat(values, starts, axis=0)
        return extreme
    count = np.add.reduceat(~np.isnan(values), starts, axis=0, dtype=np.float64)
    count[count == 0] = np.nan
    if operator == "count":
        return count
    total = np.add.reduceat(np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf), starts, axis=0)
    made: Array = total / count if operator == "avg" else np.where(np.isnan(count), np.nan, total)
    return made


def _quantile(share: float, values: Array) -> Array:
    """Between the two neighbours by their distance; of a share outside 0 to 1 it is infinite."""
    ordered = np.sort(values, axis=0)  # NaN last
    count = (~np.isnan(values)).sum(axis=0)
    if not 0 <= share <= 1:
        return np.where(count == 0, np.nan, math.copysign(math.inf, share))
    place = share * np.maximum(count - 1, 0)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    low, high = (np.take_along_axis(ordered, each[np.newaxis], axis=0)[0] for each in (below, above))
    weight = place - below
    made: Array = low * (1 - weight) + high * weight
    return made


def _ranked(said: Aggregate, matrix: Matrix, groups: Sequence[Rows]) -> Matrix:
    """The highest or lowest at each instant; of one instant they come in their order."""
    assert said.parameter is not None
    limit = int(min(max(said.parameter, 0), len(matrix.labels)))
    kept = np.full(matrix.values.shape, np.nan)
    order: list[int] = []
    for rows in groups:
        values = matrix.values[rows]
        ranked = np.argsort(-values if said.operator == "topk" else values, axis=0, kind="stable")  # NaN last
        best = ranked[:limit]
        columns = np.arange(values.shape[1])
        kept[rows[best], columns] = values[best, columns]
        order += [int(row) for row in rows[ranked[:, 0]]]
    return Matrix([matrix.labels[row] for row in order], kept[order]).known()
