"""Groups of disks as the features see them: minutes that ascend, and the tables of what came before."""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from iops.features import NAMES, matrix, state_of
from iops.minutes import CHANNELS, P99, SERIES, TROUBLED, quantile_table

Array = NDArray[np.float64]
Features = NDArray[np.float32]
ALL: Final = slice(0, len(CHANNELS))


@dataclass(frozen=True)
class Group:
    """Disks of one host."""

    minutes: Array  # [minute, disk, one of SERIES]
    past_day: Array  # [minute, disk, channel]: what the tables are made of
    past_week: Array

    def scaled(self, factor: float, offset: float, *, channels: slice = ALL) -> Self:
        """x -> factor * x + offset of some channels, now and before."""
        changed = {}
        for name in ("minutes", "past_day", "past_week"):
            values = getattr(self, name).copy()
            values[..., channels] = factor * values[..., channels] + offset
            changed[name] = values
        return replace(self, **changed)

    def of_disks(self, order: NDArray[np.intp]) -> Self:
        """Some of the disks, in this order."""
        return replace(
            self,
            minutes=self.minutes[:, order],
            past_day=self.past_day[:, order],
            past_week=self.past_week[:, order],
        )

    def features(self, *, last: int = 1) -> Features:
        """[minute, disk, feature] of the last minutes."""
        return matrix(state_of(self.minutes, tables(self.past_day), tables(self.past_week), last=last))


def tables(past: Array) -> Array:
    """[minute, disk, channel] as [disk, channel, level]."""
    return quantile_table(past.reshape(len(past), -1)).reshape(*past.shape[1:], -1)


def a_group(seed: int = 1, *, disks: int = 5, minutes: int = 60, null_ratio: float = 0.0) -> Group:
    """Whole numbers, so that what should be equal is equal to the last bit; every channel has a spread."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 40, (minutes, disks, len(SERIES))).astype(float)
    values[..., P99] *= 4
    values[..., TROUBLED] = rng.random((minutes, disks)) < 0.01
    values[rng.random(values.shape) < null_ratio] = np.nan
    past_day, past_week = (rng.integers(1, 30, (70, disks, len(CHANNELS))).astype(float) for _ in range(2))
    return Group(values, past_day, past_week)


def a_quiet_group(*, disks: int = 5, level: float = 0.1) -> Group:
    """Every number is the same all the time at all disks, and nothing is in trouble."""
    minutes = np.full((60, disks, len(SERIES)), level)
    minutes[..., TROUBLED] = 0
    past = np.full((70, disks, len(CHANNELS)), level)
    return Group(minutes, past, past)


def column(features: Features, name: str) -> Features:
    """One feature."""
    return features[..., NAMES.index(name)]
