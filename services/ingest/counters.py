"""A device's counters at one instant, and the sample between two of them; pure.

Windows of samples are made of rates; the doors that agents already have send counters that only grow. What the next
difference is taken from is stored with the samples, as `encode` writes it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from iops.errors import DamagedChunk
from iops.telemetry import CHANNELS, NAN, Window

VERSION: Final = 1
GAP_LIMIT_MS: Final = 3_600_000  # the longest interval a sample may have; a mean over more says nothing
COUNTER_LIMIT: Final = 2.0**63  # more is not a count; it also keeps infinity out
FIELDS: Final = (
    "read_ops",
    "write_ops",
    "read_bytes",
    "write_bytes",
    "read_time_ms",
    "write_time_ms",
    "io_time_ms",
    "weighted_io_time_ms",
    "in_flight",
)

Row = list[float | None]  # one instant in the order of FIELDS; None where it has not arrived yet


class Counters(NamedTuple):
    """One device at one instant. All but `in_flight` only ever grow, until they are reset.

    A named tuple, because one is made for every sample: it takes a third of a frozen dataclass's time.
    """

    at_ms: int
    read_ops: float
    write_ops: float
    read_bytes: float
    write_bytes: float
    read_time_ms: float
    write_time_ms: float
    io_time_ms: float
    weighted_io_time_ms: float
    in_flight: float


class SampleRow(NamedTuple):
    """One sample in the order of CHANNELS; what no counter can give is missing at its end. NaN is null."""

    interval_s: float
    read_iops: float
    write_iops: float
    read_bytes_s: float
    write_bytes_s: float
    read_await_ms: float
    write_await_ms: float
    queue_depth: float
    utilization_ratio: float
    in_flight: float


MAXIMA: Final = {channel.name: channel.maximum for channel in CHANNELS}
IOPS_LIMIT, BYTES_LIMIT = MAXIMA["read_iops"], MAXIMA["read_bytes_s"]
QUEUE_LIMIT, IN_FLIGHT_LIMIT = MAXIMA["queue_depth"], MAXIMA["in_flight"]
AWAIT_LIMIT_MS: Final = MAXIMA["read_await_ms"]
COUNTED: Final = [1, 2, 3, 4, 7, 9]  # channels with a limit that counters can exceed
COUNTED_LIMITS: Final = [CHANNELS[index].maximum for index in COUNTED]


def sample_between(before: Counters, after: Counters) -> SampleRow | None:
    """The interval that ends with `after`, by the formulas of /proc/diskstats.

    None where a counter went back (a reset is no spike), where `after` is not later, where more than an hour lies
    between, and where a rate is not credible.

    >>> idle = Counters(0, *[0.0] * 9)
    >>> busy = Counters(2_000, 400, 0, 8192, 0, 100, 0, 500, 1_000, 3)
    >>> row = sample_between(idle, busy)
    >>> row.read_iops, row.read_await_ms, row.queue_depth, row.utilization_ratio, row.in_flight
    (200.0, 0.25, 0.5, 0.25, 3)
    """
    at_ms, read_ops, write_ops, read_bytes, write_bytes, read_ms, write_ms, io_ms, weighted_ms, in_flight = after
    dt_ms = at_ms - before[0]
    if not 0 < dt_ms <= GAP_LIMIT_MS:
        return None
    read_ops -= before[1]
    write_ops -= before[2]
    read_bytes -= before[3]
    write_bytes -= before[4]
    read_ms -= before[5]
    write_ms -= before[6]
    io_ms -= before[7]
    weighted_ms -= before[8]
    if read_ops < 0 or write_ops < 0 or read_bytes < 0 or write_bytes < 0:
        return None
    if read_ms < 0 or write_ms < 0 or io_ms < 0 or weighted_ms < 0:
        return None
    if (
        max(read_ops, write_ops) * 1000 > IOPS_LIMIT * dt_ms
        or max(read_bytes, write_bytes) * 1000 > BYTES_LIMIT * dt_ms
    ):
        return None
    if weighted_ms > QUEUE_LIMIT * dt_ms or in_flight > IN_FLIGHT_LIMIT:
        return None
    return SampleRow(
        dt_ms / 1000,
        read_ops * 1000 / dt_ms,
        write_ops * 1000 / dt_ms,
        read_bytes * 1000 / dt_ms,
        write_bytes * 1000 / dt_ms,
        min(AWAIT_LIMIT_MS, read_ms / read_ops) if read_ops else NAN,
        min(AWAIT_LIMIT_MS, write_ms / write_ops) if write_ops else NAN,
        weighted_ms / dt_ms,
        min(1.0, io_ms / dt_ms),
        in_flight,
    )


def windows_after(
    before: Sequence[Counters], at_ms: NDArray[np.int64], columns: NDArray[np.float64]
) -> list[Window | None]:
    """The samples of many readings of many streams, at a tenth of the time: by the same formulas, in the same order.

    `at_ms` is [stream, reading], `columns` [stream, one of FIELDS, reading]. None for a stream one of whose intervals
    makes no sample: then each has to be looked at by itself.
    """
    first = np.array(before)
    grown = np.concatenate((at_ms[:, np.newaxis], columns[:, :8]), axis=1, dtype=np.float64)
    grown[:, :, 1:] -= grown[:, :, :-1].copy()
    grown[:, :, 0] -= first[:, :9]
    dt_ms, grown = grown[:, :1], grown[:, 1:]
    made = np.full((len(before), len(CHANNELS), at_ms.shape[1]), NAN)
    with np.errstate(all="ignore"):  # what divides by 0 is left out below
        made[:, :1] = dt_ms / 1000
        made[:, 1:5] = grown[:, :4] * 1000 / dt_ms
        made[:, 5:7] = np.where(grown[:, :2] > 0, np.minimum(AWAIT_LIMIT_MS, grown[:, 4:6] / grown[:, :2]), NAN)
        made[:, 7:8] = grown[:, 7:] / dt_ms
        made[:, 8:9] = np.minimum(1.0, grown[:, 6:7] / dt_ms)
    made[:, 9] = columns[:, 8]
    is_sound = (
        (dt_ms.min(axis=(1, 2)) > 0)
        & (dt_ms.max(axis=(1, 2)) <= GAP_LIMIT_MS)
        & (grown.min(axis=(1, 2)) >= 0)
        & (made[:, COUNTED].max(axis=2) <= COUNTED_LIMITS).all(axis=1)
    )
    return [
        _matrix_to_window(instants, matrix) if is_whole else None
        for instants, matrix, is_whole in zip(at_ms, made, is_sound.tolist(), strict=True)
    ]


def rows_to_window(at_ms: Sequence[int], rows: Sequence[SampleRow]) -> Window:
    """Samples in order of time as a window; percentiles and errors are null, because no counter has them."""
    return _window(at_ms, list(zip(*rows, strict=True)))


def encode(counters: Counters) -> bytes:
    """The bytes that are stored beside the last chunk: about 60."""
    numbers = [int(number) if number.is_integer() else number for number in map(float, counters[1:])]
    content: bytes = msgpack.packb([VERSION, counters.at_ms, *numbers])
    return content


def decode(data: bytes, *, key: str) -> Counters:
    """Raises DamagedChunk, naming `key`, for what `encode` does not write."""
    try:
        version, at_ms, *numbers = msgpack.unpackb(data)
        if version != VERSION or type(at_ms) is not int or len(numbers) != len(FIELDS):
            raise ValueError("not counters of this version")  # noqa: TRY301
        if not all(type(number) in (int, float) and 0 <= number < COUNTER_LIMIT for number in numbers):
            raise ValueError("counters that are not counts")  # noqa: TRY301
    except (ValueError, TypeError) as error:
        raise DamagedChunk(key, f"counters: {error}") from error
    return Counters(at_ms, *map(float, numbers))


def _matrix_to_window(at_ms: NDArray[np.int64], matrix: NDArray[np.float64]) -> Window:
    columns = {channel.name: array("d", row.tobytes()) for channel, row in zip(CHANNELS, matrix, strict=True)}
    return Window(array("q", at_ms.tobytes()), columns)


def _window(at_ms: Sequence[int], made: Sequence[Sequence[float]]) -> Window:
    nulls = array("d", [NAN]) * len(at_ms)
    columns = {channel.name: array("d", column) for channel, column in zip(CHANNELS, made, strict=False)}
    columns |= {channel.name: nulls[:] for channel in CHANNELS[len(made) :]}
    return Window(array("q", at_ms), columns)
