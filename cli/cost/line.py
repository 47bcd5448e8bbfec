"""One line of a bill: what is paid for, how it came to its quantity, and the dollars."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cli.cost.prices import Price


class Kind(StrEnum):
    """When a line is paid."""

    IDLE = "idle"  # whether anything is sent or not
    USE = "use"


@dataclass(frozen=True, slots=True)
class Quantity:
    """How much, and the numbers it was made of."""

    amount: float
    how: str


@dataclass(frozen=True, slots=True)
class Line:
    """What one thing costs in a month."""

    part: str  # of the bill: compute, network, table, ...
    what: str
    kind: Kind
    usd_month: float
    how: str
    allowance_usd: float = 0.0  # what it would cost more, were the account's free units used up elsewhere


def idle(part: str, what: str, price: Price, count: float, *, how: str | None = None) -> Line:
    """A thing that costs while it stands there."""
    return _line(part, what, Kind.IDLE, price, Quantity(count, how or f"{count:g}"))


def use(part: str, what: str, price: Price, quantity: Quantity) -> Line:
    """A thing that costs by use; `quantity` is in the price's own unit."""
    return _line(part, what, Kind.USE, price, Quantity(quantity.amount, f"{quantity.how} = {quantity.amount:.3g}"))


def _line(part: str, what: str, kind: Kind, price: Price, quantity: Quantity) -> Line:
    paid = max(0.0, quantity.amount - price.free)
    free = f", the first {price.free:,g} free" if price.free else ""
    how = f"{quantity.how} x ${price.usd:.4g} per {price.unit}{free}"
    return Line(part, what, kind, paid * price.usd, how, (quantity.amount - paid) * price.usd)


def total_usd(lines: Iterable[Line]) -> float:
    """Of a month."""
    return sum(line.usd_month for line in lines)
