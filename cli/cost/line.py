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


def idle(part: str, what: str, price: Price, count: float, *, how: str | None = None) -> Line:
    """A thing that costs while it stands there. What is free of it belongs to the account: see `with_free`."""
    return Line(part, what, Kind.IDLE, count * price.usd, how or f"{count:g} x ${price.usd:g} a {price.unit}")


def use(part: str, what: str, price: Price, quantity: Quantity) -> Line:
    """A thing that costs by use; `quantity` is in the price's own unit."""
    paid = max(0.0, quantity.amount - price.free)
    free = f", the first {price.free:,g} free" if price.free else ""
    how = f"{quantity.how} = {quantity.amount:.3g} x ${price.usd:g} a {price.unit}{free}"
    return Line(part, what, Kind.USE, paid * price.usd, how)


def total_usd(lines: Iterable[Line]) -> float:
    """Of a month."""
    return sum(line.usd_month for line in lines)
