"""What an operator makes of numbers."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.insights.prometheus.query import COMPARISONS

Array = NDArray[np.float64]

OPERATIONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "%": np.fmod, "^": np.power,
    "==": np.equal, "!=": np.not_equal, ">": np.greater, "<": np.less, ">=": np.greater_equal, "<=": np.less_equal,
}  # fmt: skip


def calculate(operator: str, left: Array | float, right: Array | float) -> Array:
    """As Prometheus does: over 0 is infinite, what is no number stays none; a comparison is 0 or 1."""
    with np.errstate(all="ignore"):
        made: Array = np.asarray(OPERATIONS[operator](left, right), dtype=np.float64)
    return made


def beside_number(operator: str, values: Array, number: float, *, is_number_left: bool, returns_bool: bool) -> Array:
    """A vector beside a number; a comparison leaves out what does not hold. NaN, which is absent, stays so."""
    made = calculate(operator, number, values) if is_number_left else calculate(operator, values, number)
    if operator in COMPARISONS and not returns_bool:
        made = np.where(made == 1, values, np.nan)
    return np.where(np.isnan(values), np.nan, made)
