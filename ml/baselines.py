"""What a model has to beat: scores that need no training on labels.

Each takes a host and its features and gives [minute, disk], from earlier minutes only; NaN where it cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from iops.features import NAMES, mean_absolute, means_of_last
from iops.minutes import AWAIT, CHANNELS
from ml.hosts import DAY, WEEK_DAYS, Host

Array = NDArray[np.float64]
Baseline = Callable[[Host, NDArray[np.float32]], Array]

SETTING_DAYS: Final = WEEK_DAYS  # that a static alarm's levels are set from
SETTING_SHARE: Final = 0.999
TRAIN_MINUTES, TRAIN_EVERY, MODELS = 360, 180, 18  # Netdata: 6 h of data, every 3 h, 18 models agree
LAG, SMOOTH = 6, 3  # minutes a k-means sees at once, of differences that are means of 3
ROUNDS: Final = 8  # of k-means with 2 centres
UNUSUAL_RATIO: Final = 0.99  # of the distances seen in training
RATE_MINUTES: Final = 5


def robust_z(_host: Host, features: NDArray[np.float32]) -> Array:
    """The mean over the channels of |z| of 3 minutes in the 24 h before."""
    return mean_absolute(features[..., [NAMES.index(f"z_{channel}") for channel in CHANNELS]].astype(np.float64))


def static_alarm(host: Host, _features: NDArray[np.float32]) -> Array:
    """Queue and utilisation over levels that somebody set once, from the first week, and never touched again."""
    watched = host.values[..., [CHANNELS.index(name) for name in ("queue_depth", "utilization_ratio")]].astype(float)
    first = watched[host.minute < host.minute[0] + SETTING_DAYS * DAY]
    level = np.quantile(np.nan_to_num(first), SETTING_SHARE, axis=0)
    return np.asarray(np.nan_to_num(np.divide(watched, level, out=watched.copy(), where=level > 0)).max(axis=-1))


def kmeans(host: Host, _features: NDArray[np.float32]) -> Array:
    """As Netdata does: the share of the channels, over 5 minutes, that all of the last 18 models find odd."""
    channels = host.values[..., : len(CHANNELS)].reshape(len(host.minute), -1).astype(np.float64)
    odd = _odd_to_all(_lagged(channels)).reshape(len(host.minute), len(host.disks), len(CHANNELS))
    return np.asarray(means_of_last(odd.mean(axis=-1), (RATE_MINUTES,), last=len(odd))[0])


def median_ratio(_host: Host, features: NDArray[np.float32]) -> Array:
    """Await over that of the peers, the median of 15 minutes."""
    return features[..., NAMES.index("peer_ratio_median")].astype(np.float64)


def p10_ratio(_host: Host, features: NDArray[np.float32]) -> Array:
    """Await over that of the peers, the 10th percentile of 15 minutes."""
    return features[..., NAMES.index("peer_ratio_p10")].astype(np.float64)


def latency(host: Host, _features: NDArray[np.float32]) -> Array:
    """Await itself, which is what most alarms look at."""
    return host.values[..., AWAIT].astype(np.float64)


OF_DISKS: Final[Mapping[str, Baseline]] = MappingProxyType(
    {"static alarm": static_alarm, "Netdata-like k-means": kmeans, "robust z, 24 h": robust_z}
)
OF_PEERS: Final[Mapping[str, Baseline]] = MappingProxyType(
    {"absolute latency": latency, "median ratio to peers": median_ratio, "10th percentile of that ratio": p10_ratio}
)


def _lagged(channels: Array) -> Array:
    """[minute, channel] as [channel, minute, lag]: smoothed differences; 0 where a channel is null."""
    known = np.nan_to_num(channels)
    moves = means_of_last(np.diff(known, axis=0, prepend=known[:1]), (SMOOTH,), last=len(known))[0]
    padded = np.concatenate([np.zeros((LAG - 1, moves.shape[1])), moves])
    return np.ascontiguousarray(np.moveaxis(sliding_window_view(padded, LAG, axis=0), 1, 0))


def _odd_to_all(points: Array) -> Array:
    """[minute, channel]: 1 where each of the last models finds the point further off than what it was made of."""
    channels, minutes = points.shape[:2]
    odd = np.zeros((minutes, channels))
    models: list[tuple[Array, Array]] = []
    for start in range(TRAIN_MINUTES, minutes, TRAIN_EVERY):
        past = points[:, start - TRAIN_MINUTES : start]
        centres = _two_centres(past)
        reach = np.quantile(_distance(past, centres), UNUSUAL_RATIO, axis=1)
        models = [*models, (centres, reach)][-MODELS:]
        block = slice(start, start + TRAIN_EVERY)
        now = points[:, block]
        odd[block] = np.all([_distance(now, c) > r[:, np.newaxis] for c, r in models], axis=0).T
    return odd


def _two_centres(points: Array) -> Array:
    """Of [channel, minute, lag], as [channel, 2, lag], starting from the least and the most lively minute."""
    size = np.abs(points).sum(axis=-1)
    place = np.stack([size.argmin(axis=1), size.argmax(axis=1)], axis=1)
    centres = np.take_along_axis(points, place[..., np.newaxis], axis=1)
    for _ in range(ROUNDS):
        is_second = (_square(points, centres[:, 1]) < _square(points, centres[:, 0]))[..., np.newaxis]
        for member, mask in ((0, ~is_second), (1, is_second)):
            count = mask.sum(axis=1)
            centres[:, member] = np.where(
                count > 0, (points * mask).sum(axis=1) / np.maximum(count, 1), centres[:, member]
            )
    return centres


def _distance(points: Array, centres: Array) -> Array:
    return np.sqrt(np.minimum(_square(points, centres[:, 0]), _square(points, centres[:, 1])))


def _square(points: Array, centre: Array) -> Array:
    return np.asarray(((points - centre[:, np.newaxis]) ** 2).sum(axis=-1))
