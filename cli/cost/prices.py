"""The prices of AWS as prices.toml has them: dated, each with its unit and the page it stands on."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PATH: Final = Path(__file__).with_name("prices.toml")
MONTH_H: Final = 730.0
MONTH_S: Final = MONTH_H * 3600
MONTH_DAYS: Final = MONTH_H / 24


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for one unit."""

    usd: float
    unit: str
    page: str
    free: float = 0.0  # units of a month that cost an account nothing, for good


@dataclass(frozen=True, slots=True)
class PriceList:
    """All of them."""

    as_of: str
    source: str
    prices: Mapping[str, Price]

    def __getitem__(self, name: str) -> Price:
        return self.prices[name]


def read_prices(path: Path = PATH) -> PriceList:
    """The committed list."""
    document = tomllib.loads(path.read_text())
    prices = {name: Price(**price) for name, price in document["price"].items()}
    return PriceList(document["as_of"], document["source"], prices)
