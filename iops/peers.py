"""How one disk stands beside the other disks of its host.

Everything is made of r, the logarithm of a disk's await over the median of the other disks that answered in the same
minute; null where the disk did not answer or fewer than `ENOUGH_PEERS` others did. Unchanged under x -> a*x of a host.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ENOUGH_PEERS: Final = 3  # beside the disk itself
USUAL_MINUTES: Final = 60.0  # what the 24 h median weighs beside the minutes of the last hour
PRIOR_MINUTES: Final = 5.0  # of "like the others"
CAP_RATIO: Final = 2.0  # the standing is at most this times what the last hour shows ...
CAP_MINUTES: Final = 30  # ... once so much of the hour is known: a repaired disk stops standing out
ALIKE: Final = 0.1  # disks of one kind differ by this much (logarithm of the ratio), and nobody cares
MAD: Final = 1.4826  # makes a median absolute deviation a standard deviation


def log_ratios(values: Array) -> Array:
    """r of values along the last axis (the disks of a host).

    >>> log_ratios(np.array([1.0, 1.0, 1.0, np.e])).round(6).tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    known = np.where(values > 0, values, np.nan)
    return np.log(known / median_of_others(known))


def median_of_others(values: Array) -> Array:
    """The median of the other known values along the last axis; null with fewer than ENOUGH_PEERS of them.

    >>> median_of_others(np.array([1.0, 2.0, 3.0, 10.0])).tolist()
    [3.0, 3.0, 2.0, 2.0]
    >>> median_of_others(np.array([1.0, np.nan, 3.0, 10.0])).tolist()
    [nan, nan, nan, nan]
    """
    known = np.isfinite(values)
    order = np.argsort(values, axis=-1)  # NaN last
    ordered, place = _taken(values, order), np.argsort(order, axis=-1)
    others = known.sum(axis=-1, keepdims=True) - 1
    low, high = (others - 1) // 2, others // 2
    low, high = low + (place <= low), high + (place <= high)  # stepping over the disk itself
    last = values.shape[-1] - 1
    middle = _taken(ordered, np.clip(low, 0, last)) + _taken(ordered, np.clip(high, 0, last))
    return np.where(known & (others >= ENOUGH_PEERS), middle / 2, np.nan)


def standing(known_minutes: Array, mean: Array, deviation: Array, usual: Array) -> Array:
    """How far beside its peers a disk has been over the last hour and day, in units of what is usual between them.

    Of r over an hour: how many minutes are known, mean and standard deviation; and r of the 24 h medians, null where
    there is none. The last axis is the disks. `a` is the mean of all that, a little towards 0; the unit is made of how
    differently the disks stand and how much they scatter.
    """
    has_usual = np.isfinite(usual)
    weight = known_minutes + np.where(has_usual, USUAL_MINUTES, 0.0)
    recent = np.where(known_minutes > 0, mean, 0.0)
    total = known_minutes * recent + np.where(has_usual, USUAL_MINUTES * np.nan_to_num(usual), 0.0)
    excess = np.where(known_minutes > 0, total / (weight + PRIOR_MINUTES), np.nan)
    spread = MAD * quantile(np.abs(excess - quantile(excess, 0.5)[..., np.newaxis]), 0.5)
    scatter = quantile(np.where(known_minutes > 0, deviation, np.nan), 0.5)
    most = np.where(known_minutes >= CAP_MINUTES, CAP_RATIO * np.maximum(recent, 0.0), np.inf)
    unit = np.sqrt(ALIKE**2 + spread**2 + scatter**2 / 2)
    return np.minimum(excess, most) / unit[..., np.newaxis]


def quantile(values: Array, share: float) -> Array:
    """Of the known values along the last axis; null where there are none.

    >>> float(quantile(np.array([3.0, np.nan, 1.0]), 0.5))
    2.0
    """
    ordered = np.sort(values, axis=-1)  # NaN last
    known = np.isfinite(ordered).sum(axis=-1)
    place = share * np.maximum(known - 1, 0)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, np.maximum(known - 1, 0))
    below, above = _taken(ordered, low[..., np.newaxis])[..., 0], _taken(ordered, high[..., np.newaxis])[..., 0]
    return np.where(known > 0, below + (above - below) * (place - low), np.nan)


def _taken(values: Array, place: NDArray[np.intp]) -> Array:
    """`np.take_along_axis` of the last axis, which for a few rows takes three times as long."""
    rows = values.reshape(-1, values.shape[-1])
    columns = place.reshape(len(rows), -1)
    return rows[np.arange(len(rows))[:, np.newaxis], columns].reshape(place.shape)
