"""An hour of a stream as 1-minute rows: mean, maximum and count of each channel.

Layout: one byte version, then a zstd frame of `[version, instants, means, maxima, counts]`, each packed as
`iops.columns` says, in the order of `CHANNELS`.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import mul
from typing import Any, Final

import msgpack

from iops import columns
from iops.baseline import MINUTE_MS
from iops.errors import DamagedRollup
from iops.telemetry import CHANNELS, NAN, Channel, Window, empty_window, merge_windows

VERSION: Final = 1
HOUR_MS: Final = 3_600_000
HOUR_MINUTES: Final = 60
UNPACKED_LIMIT_BYTES: Final = 64 * 1024  # 60 minutes of 40 columns at msgpack's 9 bytes are 22 KB

# What is a quantity of its interval, so that a minute has the sum of it; everything else is a level or a rate.
TOTALS: Final = ("interval_s", "io_errors")
COUNTED: Final = ("interval_s",)  # which is never null, so its count is that of the samples
WEIGHED_BY: Final = {"read_await_ms": "read_iops", "write_await_ms": "write_iops"}


@dataclass(frozen=True, slots=True)
class Rollup:
    """Minutes of the clock as rows, oldest first, the same instants in all three; minutes without a sample are not
    there.

    A row of `mean` is one sample of the minute: `at` is the end of the last one in it, `interval_s` the time measured
    and `io_errors` their sum. It is null where nothing was measured.
    """

    mean: Window
    maximum: Window
    count: Window  # samples in which the channel was not null

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def at_ms(self) -> array[int]:
        """When each minute's last sample ended."""
        return self.mean.at_ms

    def between(self, from_ms: int, to_ms: int) -> Rollup:
        """The minutes that end in `from_ms` to `to_ms`, both included."""
        return Rollup(*(part.since(from_ms).until(to_ms + 1) for part in (self.mean, self.maximum, self.count)))

    def take(self, indices: Sequence[int]) -> Rollup:
        """The minutes at `indices`, which grow."""
        return Rollup(*(part.take(indices) for part in (self.mean, self.maximum, self.count)))


def roll_up(window: Window) -> Rollup:
    """A window's minutes; values have the resolution of their channel, so that stored ones come back equal.

    Means are weighted by time, those of an await by the requests that were waited for.
    """
    rollup = Rollup(empty_window(), empty_window(), empty_window())
    at_ms = rollup.mean.at_ms
    for part in window.parts(MINUTE_MS):
        at_ms.append(part.at_ms[-1])
        for channel in CHANNELS:
            mean, maximum, count = _summarize(part, channel)
            rollup.mean[channel.name].append(mean)
            rollup.maximum[channel.name].append(maximum)
            rollup.count[channel.name].append(count)
    return Rollup(*(Window(at_ms, part.columns) for part in (rollup.mean, rollup.maximum, rollup.count)))


def merge_rollups(rollups: Sequence[Rollup]) -> Rollup:
    """One rollup of all, sorted."""
    return Rollup(
        merge_windows([rollup.mean for rollup in rollups]),
        merge_windows([rollup.maximum for rollup in rollups]),
        merge_windows([rollup.count for rollup in rollups]),
    )


def encode(rollup: Rollup) -> bytes:
    """The bytes of 1 to 60 minutes of one hour; the same minutes are the same bytes."""
    parts = [
        VERSION,
        columns.instants_to_deltas(rollup.at_ms),
        columns.window_to_deltas(rollup.mean),
        columns.window_to_deltas(rollup.maximum),
        columns.window_to_deltas(rollup.count, steps_per_unit=1),
    ]
    return columns.pack(msgpack.packb(parts), version=VERSION)


def decode(data: bytes, *, key: str, only: Container[str] | None = None) -> Rollup:
    """The minutes of a rollup: all of them, or the means of `only` some channels and how many samples there were (the
    count of `interval_s`); all else is null.

    Raises DamagedRollup, naming `key`, for what is damaged or of another shape than `encode` writes.
    """
    try:
        return _decode(data, only)
    except columns.DAMAGE as error:
        raise DamagedRollup(key, str(error) or type(error).__name__) from error


def join(rows: Sequence[bytes], *, only: Container[str] | None = None) -> Rollup:
    """What `decode` makes of many rows, as one, in half the time; raises one of `columns.DAMAGE` where it cannot."""
    contents = [_contents(data) for data in rows]
    means, maxima, counts = ([(at_ms, parts[place]) for at_ms, parts in contents] for place in range(3))
    return Rollup(
        columns.join_windows(means, only=only),
        columns.join_windows(maxima, only=None if only is None else ()),
        columns.join_windows(counts, steps_per_unit=1, only=None if only is None else COUNTED),
    )


def _decode(data: bytes, only: Container[str] | None) -> Rollup:
    at_ms, (means, maxima, counts) = _contents(data)
    return Rollup(
        columns.deltas_to_window(at_ms, means, only=only),
        columns.deltas_to_window(at_ms, maxima, only=None if only is None else ()),
        columns.deltas_to_window(at_ms, counts, steps_per_unit=1, only=None if only is None else COUNTED),
    )


def _contents(data: bytes) -> tuple[array[int], list[Any]]:
    _, instants, *parts = columns.unpack(data, version=VERSION, limit_bytes=UNPACKED_LIMIT_BYTES)
    at_ms = columns.deltas_to_instants(instants, limit=HOUR_MINUTES)
    if at_ms[0] // HOUR_MS != at_ms[-1] // HOUR_MS:
        raise ValueError("is of more than one hour")
    if len({at // MINUTE_MS for at in at_ms}) < len(at_ms):
        raise ValueError("has two rows of one minute")
    if len(parts) != 3:
        raise ValueError(f"has {len(parts)} of 3 parts")
    return at_ms, parts


def _summarize(minute: Window, channel: Channel) -> tuple[float, float, int]:
    values: Sequence[float] = minute[channel.name]
    weights = _weights(minute, channel)
    if sum(values) != sum(values):  # something is null
        is_measured = [value == value for value in values]
        values = list(compress(values, is_measured))
        weights = list(compress(weights, is_measured))
    if not values:
        return NAN, NAN, 0
    maximum = max(values)
    if channel.name in TOTALS:
        return _rounded(min(sum(values), channel.maximum), channel), _rounded(maximum, channel), len(values)
    mean = min(_mean(values, weights), maximum)  # never above it by the last bit of a float
    return _rounded(mean, channel), _rounded(maximum, channel), len(values)


def _weights(minute: Window, channel: Channel) -> Sequence[float]:
    intervals = minute["interval_s"]
    rate = WEIGHED_BY.get(channel.name)
    return intervals if rate is None else list(map(mul, minute[rate], intervals))


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(weights)
    if not total:  # so few requests that their rate rounds to 0
        return sum(values) / len(values)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total


def _rounded(value: float, channel: Channel) -> float:
    return round(value * channel.steps_per_unit) / channel.steps_per_unit
