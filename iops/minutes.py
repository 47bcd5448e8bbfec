"""Minutes of a stream as a model sees them: one-minute means, and quantile tables of days and weeks of them.

A minute is a row of `SERIES`: the eight channels of the model, then what only some streams measure. Null is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.telemetry import CHANNELS as FIELDS
from iops.telemetry import Window

Array = NDArray[np.float64]

CHANNELS: Final = (
    "queue_depth",
    "read_iops",
    "read_bytes_s",
    "service_ms",  # utilisation over completions, as iostat's svctm
    "utilization_ratio",
    "write_iops",
    "await_ms",  # of reads and writes together
    "write_bytes_s",
)
SERIES: Final = (*CHANNELS, "latency_p99_ms", "troubled")  # troubled: samples with I/O errors, or stalled
AWAIT: Final = CHANNELS.index("await_ms")
P99, TROUBLED = len(CHANNELS), len(CHANNELS) + 1
MINUTE_MS: Final = 60_000
LEVELS: Final = (0.0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1.0)  # of a quantile table
MEDIAN: Final = LEVELS.index(0.5)
ENOUGH_MINUTES: Final = 60  # below that a table says nothing
POOL_POINTS: Final = 96  # that stand for one table where several are pooled


def minutes_of(window: Window, *, end_minute: int, count: int) -> Array:
    """The `count` minutes before `end_minute` (minutes since 1970) as [minute, one of SERIES].

    A mean weighs its samples alike; await weighs them by their requests. Numbers have the precision of the tables that
    are stored: what never changes has to equal its own quantiles, also after they were read back.
    """
    made = np.full((count, len(SERIES)), np.nan)
    at_ms = np.frombuffer(window.at_ms, dtype=np.int64)
    # A sample is the interval that ends with it, so one at a full minute belongs to the minute before.
    edges = np.searchsorted(at_ms, np.arange(end_minute - count, end_minute + 1) * MINUTE_MS, side="right")
    (known,) = np.nonzero(edges[1:] > edges[:-1])
    if not len(known):
        return made
    first, last = edges[0], edges[-1]
    columns = {name: np.frombuffer(window.columns[name])[first:last] for name in _READ}
    made[known] = _means(columns, edges[known] - first).T.astype(np.float32)
    return made


def quantile_table(minutes: Array) -> Array:
    """The quantiles `LEVELS` of each column of [minute, column], as [column, level]; NaN below ENOUGH_MINUTES known.

    >>> table = quantile_table(np.arange(101.0)[:, np.newaxis])
    >>> [float(table[0, LEVELS.index(level)]) for level in (0.01, 0.5, 0.99)]
    [1.0, 50.0, 99.0]
    """
    ordered = np.sort(minutes.T, axis=-1)  # NaN last
    known = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    place = np.array(LEVELS) * np.maximum(known - 1, 0)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, np.maximum(known - 1, 0))
    if not ordered.shape[-1]:
        return np.full((minutes.shape[1], len(LEVELS)), np.nan)
    below, above = np.take_along_axis(ordered, low, -1), np.take_along_axis(ordered, high, -1)
    return np.where(known >= ENOUGH_MINUTES, below + (above - below) * (place - low), np.nan)


def pool_tables(tables: Sequence[Array]) -> Array:
    """The table of all that several tables of [..., level] were made of, as well as they can tell: extremes exactly."""
    stacked = np.stack(tables)
    if len(stacked) == 1:
        return np.asarray(stacked[0])
    place = np.interp((np.arange(POOL_POINTS) + 0.5) / POOL_POINTS, LEVELS, np.arange(len(LEVELS)))
    low = place.astype(np.intp)
    points = stacked[..., low] + (stacked[..., low + 1] - stacked[..., low]) * (place - low)
    pooled = np.moveaxis(points, 0, -2).reshape(*stacked.shape[1:-1], -1)
    ordered = np.sort(pooled, axis=-1)
    known = np.maximum(np.isfinite(ordered).sum(axis=-1, keepdims=True), 1)
    place = np.array(LEVELS) * (known - 1)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, known - 1)
    below, above = np.take_along_axis(ordered, low, -1), np.take_along_axis(ordered, high, -1)
    table = below + (above - below) * (place - low)
    table[..., 0], table[..., -1] = np.fmin.reduce(stacked[..., 0]), np.fmax.reduce(stacked[..., -1])
    return np.asarray(table)


_PLAIN: Final = ("queue_depth", "read_iops", "read_bytes_s", "utilization_ratio", "write_iops", "write_bytes_s")
_STEPS: Final = {field.name: field.steps_per_unit for field in FIELDS}
_READ: Final = (*_PLAIN, "read_await_ms", "write_await_ms", "in_flight", "latency_p99_ms", "io_errors")


def _means(columns: Mapping[str, Array], starts: NDArray[np.intp]) -> Array:
    count = np.diff(starts, append=len(columns["queue_depth"]))
    reads, writes, p99 = columns["read_iops"], columns["write_iops"], columns["latency_p99_ms"]
    read_await, write_await = columns["read_await_ms"], columns["write_await_ms"]
    is_read, is_written, has_tail = read_await == read_await, write_await == write_await, p99 == p99  # not null
    is_troubled = (columns["io_errors"] > 0) | ((columns["in_flight"] > 0) & (reads + writes == 0))
    # One by one, because together they need memory that the system gives back and takes again each time.
    # Rounded as the minutes of rollups are, which tables are made of: else a disk that does little is always unusual.
    queue, read, read_bytes, busy, write, write_bytes = (
        np.round(np.add.reduceat(columns[name], starts) / count * _STEPS[name]) / _STEPS[name] for name in _PLAIN
    )
    timed = np.add.reduceat(reads * is_read + writes * is_written, starts)
    waited = np.add.reduceat(
        np.where(is_read, read_await * reads, 0.0) + np.where(is_written, write_await * writes, 0.0), starts
    )
    tail, tails = np.add.reduceat(np.where(has_tail, p99, 0.0), starts), np.add.reduceat(has_tail.astype(float), starts)
    trouble = np.add.reduceat(is_troubled.astype(float), starts)
    return np.stack(
        [
            queue,
            read,
            read_bytes,
            _ratio(1000 * busy, read + write),
            busy,
            write,
            _ratio(waited, timed),
            write_bytes,
            _ratio(tail, tails),
            trouble,
        ]
    )


def _ratio(upper: Array, lower: Array) -> Array:
    return np.asarray(np.divide(upper, lower, out=np.full_like(upper, np.nan), where=lower > 0))
