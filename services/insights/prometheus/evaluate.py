"""What a query comes to over the series that were read for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.insights.prometheus.aggregate import aggregate
from services.insights.prometheus.calculate import beside_number
from services.insights.prometheus.matrix import Instants, Matrix, Series, latest
from services.insights.prometheus.over_time import over_time
from services.insights.prometheus.query import (
    COMPARISONS,
    Aggregate,
    Binary,
    Expression,
    Negation,
    Number,
    OverTime,
    Selector,
)

LOOKBACK_MS: Final = 300_000  # what is older counts for nothing, as in Prometheus


def evaluate(expression: Expression, series: Sequence[Series], at_ms: Instants) -> Matrix | float:
    """The values at each instant; a number is the same at all. Raises QueryRefused for too much."""
    if isinstance(expression, Number):
        return expression.value
    return _vector(expression, series, at_ms).known()


def _vector(expression: Expression, series: Sequence[Series], at_ms: Instants) -> Matrix:
    match expression:
        case Selector(offset_ms=offset_ms):
            return latest(series, at_ms - offset_ms, lookback_ms=LOOKBACK_MS)
        case OverTime(function, Selector(offset_ms=offset_ms, range_ms=range_ms)):
            assert range_ms is not None
            return over_time(function, series, at_ms - offset_ms, range_ms=range_ms)
        case Aggregate(expression=inner):
            return aggregate(expression, _vector(inner, series, at_ms))
        case Negation(expression=inner):
            found = _vector(inner, series, at_ms)
            return Matrix(found.labels, -found.values).known().unnamed()
        case Binary(vector=inner):
            return _beside(expression, _vector(inner, series, at_ms))
        case Number():
            raise TypeError("a number is no vector: the parser let one through")


def _beside(said: Binary, found: Matrix) -> Matrix:
    values = beside_number(
        said.operator,
        found.values,
        said.number,
        is_number_left=said.is_number_left,
        returns_bool=said.returns_bool,
    )
    made = Matrix(found.labels, values).known()
    return made if said.operator in COMPARISONS and not said.returns_bool else made.unnamed()
