"""What a query says, once it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

OVER_TIME: Final = (
    "avg_over_time",
    "count_over_time",
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "rate",
    "sum_over_time",
)
AGGREGATIONS: Final = ("avg", "bottomk", "count", "max", "min", "quantile", "sum", "topk")
WITH_PARAMETER: Final = ("bottomk", "quantile", "topk")
RANKING: Final = ("bottomk", "topk")
ARITHMETIC: Final = ("+", "-", "*", "/", "%", "^")
COMPARISONS: Final = ("==", "!=", ">", "<", ">=", "<=")
NAME: Final = "__name__"


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a label has to be; a label that is not there is empty."""

    label: str
    fits: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Number:
    """The same at each instant."""

    value: float


@dataclass(frozen=True, slots=True)
class Selector:
    """Some series as they are, or a range of each that ends with the instant."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0  # into the past; negative into the future
    range_ms: int | None = None  # None: one value at each instant


@dataclass(frozen=True, slots=True)
class OverTime:
    """One number of each range."""

    function: str
    selector: Selector


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One number of each group, or the highest or lowest of it."""

    operator: str
    expression: Expression
    labels: frozenset[str]
    is_by: bool  # else: without
    parameter: float | None  # of those that have one


@dataclass(frozen=True, slots=True)
class Negation:
    """Less than nothing."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """A vector beside a number."""

    operator: str
    vector: Expression
    number: float
    is_number_left: bool
    returns_bool: bool = False  # of a comparison: 0 or 1 instead of leaving out


Expression = Number | Selector | OverTime | Aggregate | Negation | Binary


def selector_of(expression: Expression) -> Selector | None:
    """The one selector that a query has; None of a number."""
    while not isinstance(expression, Selector):
        if isinstance(expression, Number):
            return None
        if isinstance(expression, OverTime):
            return expression.selector
        expression = expression.vector if isinstance(expression, Binary) else expression.expression
    return expression
