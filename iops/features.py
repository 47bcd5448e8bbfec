"""The 25 numbers that the risk model is given, one definition for training and serving.

They are made of minutes (`iops.minutes`) of the disks of one host, [minute, disk, one of SERIES] without a hole (NaN
where null), and of each disk's quantile tables of the 24 h and the 7 days before the current hour, [disk, channel,
level]. Each is causal, null where what it needs is null, and unchanged under x -> a*x + b (a > 0) of any channel; those
about peers and the tail are unchanged under x -> a*x. What never changes and is alike at all disks is 0, or null; but
for p99_to_await, which then is that ratio.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from iops.minutes import AWAIT, CHANNELS, LEVELS, MEDIAN, P99, TROUBLED
from iops.peers import log_ratios, quantile, standing

Array = NDArray[np.float64]

HOUR: Final = 60  # minutes a window has
SPANS: Final = (3, 5, 15, 60)  # minutes that means are taken over
CLIP: Final = 30.0  # of a z: beyond it a number only says that the history had no spread
MEAN_CLIP: Final = 20.0  # of a z that is averaged with others
UNUSUAL_Z: Final = 3.0
TAIL: Final = 15  # minutes
ENOUGH_PEER_MINUTES: Final = 5  # of the last 15
SAME: Final = 1e-9  # relative; a mean of equal numbers differs from them by rounding
P1, P25, P75, P99_LEVEL = (LEVELS.index(level) for level in (0.01, 0.25, 0.75, 0.99))


@dataclass(frozen=True, slots=True)
class State:
    """What the features are made of: [minute, disk], and a further axis where one is named."""

    means: Mapping[int, Array]  # by span: [..., disk, channel]
    day: Array  # [..., disk, channel, level]
    week: Array
    z_day: Mapping[int, Array]  # by span: [..., disk, channel]
    z_week: Mapping[int, Array]
    ratio_median: Array  # r of `iops.peers` over 15 minutes
    ratio_p10: Array
    peer_standing: Array
    p99_ms: Array  # mean over 15 minutes
    troubled: Array  # samples in 15 minutes


def state_of(minutes: Array, day: Array, week: Array, *, last: int = 1) -> State:
    """The state at each of the `last` minutes of [minute, disk, series].

    The tables are [minute, disk, channel, level], or [disk, channel, level] where they are the same for all.
    """
    means = {span: mean_of_last(minutes[..., : len(CHANNELS)], span)[-last:] for span in SPANS}
    tail = mean_of_last(minutes[..., P99:], TAIL)[-last:]
    awaits = minutes[..., AWAIT]
    ratios = log_ratios(awaits)
    known = np.isfinite(ratios)
    mean, square, share = (mean_of_last(part, HOUR)[-last:] for part in (ratios, ratios**2, known.astype(float)))
    known_minutes = np.rint(share * np.minimum(np.arange(len(minutes)) + 1, HOUR)[-last:, np.newaxis])
    recent = _windows(ratios, TAIL)[-last:]
    is_enough = np.isfinite(recent).sum(axis=-1) >= ENOUGH_PEER_MINUTES
    return State(
        means=means,
        day=day,
        week=week,
        z_day={span: robust_z(means[span], day) for span in (3, 15)},
        z_week={span: robust_z(means[span], week) for span in (3, 15, 60)},
        ratio_median=np.where(is_enough, quantile(recent, 0.5), np.nan),
        ratio_p10=np.where(is_enough, quantile(recent, 0.1), np.nan),
        peer_standing=standing(
            known_minutes, mean, np.sqrt(np.maximum(square - mean**2, 0)), log_ratios(day[..., AWAIT, MEDIAN])
        ),
        p99_ms=tail[..., 0],
        troubled=tail[..., TROUBLED - P99],
    )


def matrix(state: State) -> NDArray[np.float32]:
    """All features as [..., disk, feature]."""
    return np.stack([feature(state) for feature in FEATURES.values()], axis=-1).astype(np.float32)


def mean_of_last(values: Array, span: int) -> Array:
    """At each row the mean of the known values of the last `span` rows; null where there is none.

    >>> mean_of_last(np.array([1.0, np.nan, 3.0, 8.0]), 2).tolist()
    [1.0, 1.0, 3.0, 5.5]
    """
    is_known = np.isfinite(values)
    known, total = (_sum_of_last(part, span) for part in (is_known.astype(float), np.where(is_known, values, 0.0)))
    known = np.rint(known)
    return np.asarray(np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0))


def spread(table: Array) -> Array:
    """The scale of [..., level]: the interquartile range, or part of a wider one where a channel mostly stands still.

    >>> float(spread(np.array([0.0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 4])))
    2.0
    """
    quartiles = table[..., P75] - table[..., P25]
    return np.maximum(
        np.maximum(quartiles, (table[..., P99_LEVEL] - table[..., P1]) / 8), (table[..., -1] - table[..., 0]) / 20
    )


def robust_z(value: Array, table: Array) -> Array:
    """How far a value is from the median of [..., level] in units of its spread, within +-30.

    >>> table = np.array([0.0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 4])
    >>> float(robust_z(np.array(6.0), table)), float(robust_z(np.array(2.0), np.full(11, 2.0)))
    (2.0, 0.0)
    """
    median, scale = table[..., MEDIAN], spread(table)
    away = value - median
    away = np.where(np.abs(away) <= SAME * (np.abs(value) + np.abs(median)), 0.0, away)
    scaled = np.divide(away, scale, out=np.asarray(np.sign(away) * CLIP), where=scale > 0)
    return np.where(np.isfinite(scale), np.clip(scaled, -CLIP, CLIP), np.nan)


def step(short: Array, long: Array, table: Array) -> Array:
    """How fast a channel moves: the mean of 5 minutes less that of 60, in units of its spread, within +-30.

    >>> float(step(np.array(6.0), np.array(2.0), np.array([0.0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 4])))
    2.0
    """
    scale = spread(table)
    away = short - long
    away = np.where(np.abs(away) <= SAME * (np.abs(short) + np.abs(long)), 0.0, away)
    scaled = np.divide(away, scale, out=np.asarray(away * 0), where=scale > 0)
    return np.where(np.isfinite(scale), np.clip(scaled, -CLIP, CLIP), np.where(np.isfinite(away), scale, np.nan))


def mean_positive(z: Array) -> Array:
    """How far above usual a disk is as a whole: the mean of the known channels' z, what is below usual as 0.

    >>> float(mean_positive(np.array([4.0, -9.0, np.nan])))
    2.0
    """
    return _mean_of_channels(np.clip(z, 0, MEAN_CLIP))


def mean_absolute(z: Array) -> Array:
    """How far from usual a disk is as a whole, in either direction.

    >>> float(mean_absolute(np.array([4.0, -9.0, np.nan])))
    6.5
    """
    return _mean_of_channels(np.minimum(np.abs(z), MEAN_CLIP))


def share_unusual(z: Array) -> Array:
    """The share of the known channels with |z| > 3.

    >>> float(share_unusual(np.array([4.0, -9.0, 1.0, 0.0, np.nan])))
    0.5
    """
    return _mean_of_channels(np.where(np.isfinite(z), np.abs(z) > UNUSUAL_Z, np.nan))


def p99_to_await(p99_ms: Array, await_ms: Array) -> Array:
    """The measured 99th percentile over the mean, of 15 minutes: a tail that the mean hides.

    >>> float(p99_to_await(np.array(9.0), np.array(1.5)))
    6.0
    """
    return np.asarray(np.divide(p99_ms, await_ms, out=np.full(np.shape(p99_ms), np.nan), where=await_ms > 0))


def errors_or_stall(troubled: Array) -> Array:
    """1 where a sample of the last 15 minutes had I/O errors or stood still with requests in flight.

    >>> errors_or_stall(np.array([0.0, 0.2, np.nan])).tolist()
    [0.0, 1.0, nan]
    """
    return np.where(np.isfinite(troubled), troubled > 0, np.nan)


def _z(channel: str) -> Callable[[State], Array]:
    index = CHANNELS.index(channel)
    return lambda state: state.z_day[3][..., index]


def _step(channel: str) -> Callable[[State], Array]:
    index = CHANNELS.index(channel)
    return lambda state: step(state.means[5][..., index], state.means[60][..., index], state.day[..., index, :])


STEP_CHANNELS: Final = ("queue_depth", "read_bytes_s", "service_ms", "write_iops", "await_ms", "write_bytes_s")
FEATURES: Final[Mapping[str, Callable[[State], Array]]] = MappingProxyType(
    {
        **{f"z_{channel}": _z(channel) for channel in CHANNELS},  # 3 minutes in the last 24 h
        **{f"step_{channel}": _step(channel) for channel in STEP_CHANNELS},
        "mean_z_3_day": lambda state: mean_positive(state.z_day[3]),
        "mean_z_3_week": lambda state: mean_positive(state.z_week[3]),
        "mean_z_15_week": lambda state: mean_positive(state.z_week[15]),
        "mean_z_60_week": lambda state: mean_positive(state.z_week[60]),
        "share_unusual": lambda state: share_unusual(state.z_day[3]),
        "mean_abs_z_15_day": lambda state: mean_absolute(state.z_day[15]),
        "peer_ratio_median": lambda state: state.ratio_median,
        "peer_ratio_p10": lambda state: state.ratio_p10,
        "peer_standing": lambda state: state.peer_standing,
        "p99_to_await": lambda state: p99_to_await(state.p99_ms, state.means[15][..., AWAIT]),
        "errors_or_stall": lambda state: errors_or_stall(state.troubled),
    }
)
NAMES: Final = tuple(FEATURES)
VERSION: Final = 1  # a change of any definition is a new one
FEATURE_SET_ID: Final = hashlib.blake2b(f"{VERSION}:{','.join(NAMES)}".encode(), digest_size=4).hexdigest()


def _windows(values: Array, span: int) -> Array:
    """[minute, disk] as [minute, disk, the last `span` minutes], NaN before the first."""
    padded = np.concatenate([np.full((span - 1, *values.shape[1:]), np.nan), values])
    return np.asarray(sliding_window_view(padded, span, axis=0))


def _sum_of_last(values: Array, span: int) -> Array:
    """Put together of sums of 1, 2, 4 ... rows: a difference of running sums never quite forgets a spike."""
    total, part = np.zeros_like(values), values
    taken, width = 0, 1  # rows
    while True:
        if span & width:
            total[taken:] += part[: max(0, len(part) - taken)]
            taken += width
        if taken == span:
            return total
        longer = part.copy()
        longer[width:] += part[: max(0, len(part) - width)]
        part, width = longer, 2 * width


def _mean_of_channels(values: Array) -> Array:
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
