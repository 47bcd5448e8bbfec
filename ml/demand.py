"""What applications ask of a disk: a daily rhythm, slow drift, and bursts."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
DRIFT_SIGMA: Final = 0.15  # of the logarithm, from hour to hour
BURSTS_PER_HOUR: Final = 0.4
BURST_LENGTHS_S: Final = (15.0, 120.0)
BURST_FACTORS: Final = (1.4, 2.2)


@dataclass(frozen=True, slots=True)
class Demand:
    """The requests that one stream gets. Streams with the same `rhythm_key` rise and fall together."""

    key: str
    rhythm_key: str
    usual_iops: float
    limit_iops: float  # no natural demand is over it: the fleet was sized by somebody who knew its peaks
    daily_amplitude: float  # of the logarithm
    peak_at_s: float  # second of the day
    read_ratio: float
    read_bytes: float
    write_bytes: float

    def rate_iops(self, at_s: float, factor: float = 1.0) -> float:
        """Requests a second wanted at an instant, before noise."""
        daily = self.daily_amplitude * math.cos(2 * math.pi * (at_s - self.peak_at_s) / DAY_S)
        trend = math.exp(daily + _drift(self.rhythm_key, at_s)) * _burst_factor(self.key, at_s)
        return min(self.usual_iops * trend * factor, self.limit_iops)


def _drift(key: str, at_s: float) -> float:
    hour, part = divmod(at_s / HOUR_S, 1)
    return _knot(key, int(hour)) * (1 - part) + _knot(key, int(hour) + 1) * part


@lru_cache(maxsize=16_384)
def _knot(key: str, hour: int) -> float:
    return random.Random(f"{key}/drift/{hour}").gauss(0, DRIFT_SIGMA)


def _burst_factor(key: str, at_s: float) -> float:
    hour = int(at_s / HOUR_S)
    for begins_s, ends_s, factor in _bursts(key, hour):
        if begins_s <= at_s < ends_s:
            return factor
    return 1.0


@lru_cache(maxsize=16_384)
def _bursts(key: str, hour: int) -> tuple[tuple[float, float, float], ...]:
    rng = random.Random(f"{key}/bursts/{hour}")
    if rng.random() > BURSTS_PER_HOUR:
        return ()
    begins_s = (hour + rng.random()) * HOUR_S
    return ((begins_s, begins_s + rng.uniform(*BURST_LENGTHS_S), rng.uniform(*BURST_FACTORS)),)
