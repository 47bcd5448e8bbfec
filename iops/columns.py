"""Columns as bytes: scaled integers, delta per column, msgpack, zstd with its checksum.

Instants are epoch ms as deltas. A column is a list of deltas of scaled integers with nil where null, or nil where the
whole column is null.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Container, Sequence
from itertools import accumulate
from operator import sub
from typing import Any, Final

import msgpack
import numpy as np
import zstandard
from numpy.typing import NDArray

from iops.telemetry import CHANNELS, NAN, Window

Deltas = Sequence[int | None]
Cube = NDArray[np.float64]  # [window, one of CHANNELS, sample], windows of equal length; NaN where null

NAMES: Final = [channel.name for channel in CHANNELS]
LARGEST_DELTA: Final = 2**40  # above every channel's largest value; the sum of a page of the table's fits an integer
RESOLUTION: Final = np.array([[channel.steps_per_unit] for channel in CHANNELS], dtype=np.float64)

# What reading damaged bytes raises.
DAMAGE: Final = (ValueError, TypeError, OverflowError, zstandard.ZstdError)


def pack(content: bytes, *, version: int) -> bytes:
    """Content, compressed, its version before it."""
    return bytes([version]) + _compressor().compress(content)


def unpack(data: bytes, *, version: int, limit_bytes: int) -> list[Any]:
    """The content that `pack` made, a list that begins with its version; raises one of DAMAGE."""
    if not data or data[0] != version:
        raise ValueError(f"version {data[0] if data else 'missing'}, this program reads {version}")
    if zstandard.frame_content_size(data[1:]) > limit_bytes:
        raise ValueError(f"unpacks to more than {limit_bytes} bytes")
    if not zstandard.get_frame_parameters(data[1:]).has_checksum:
        raise ValueError("has no checksum")
    packed = _decompressor().decompress(data[1:], max_output_size=limit_bytes, allow_extra_data=False)
    content: Any = msgpack.unpackb(packed, strict_map_key=True)
    if not isinstance(content, list) or content[:1] != [version]:
        raise ValueError(f"content of another version under version {version}")
    return list(content)


def window_to_deltas(window: Window, *, steps_per_unit: int | None = None) -> list[Deltas | None]:
    """The columns of a window in the order of `CHANNELS`; the resolution is the channel's where none is given."""
    scaled = scale([window], steps_per_unit=steps_per_unit)
    return cube_to_deltas(differences(scaled), scaled)[0]


def scale(windows: Sequence[Window], *, steps_per_unit: int | None = None) -> Cube:
    """Windows of equal length in whole steps of the resolution, each exact: the largest is 10^12, a float has 2^53."""
    values = np.frombuffer(b"".join([window.columns[name] for window in windows for name in NAMES]))
    return np.rint(values.reshape(len(windows), len(CHANNELS), -1) * (steps_per_unit or RESOLUTION))


def differences(scaled: Cube) -> Cube:
    """The first value of each column, then what each has over the one before it."""
    made = scaled.copy()
    made[:, :, 1:] -= scaled[:, :, :-1]
    return made


def cube_to_deltas(made: Cube, scaled: Cube) -> list[list[Deltas | None]]:
    """Each window's columns as lists; a column with a null is made anew of what was `scaled`."""
    is_finite = np.isfinite(made)
    deltas = np.where(is_finite, made, 0).astype(np.int64).tolist()
    for window, column in np.argwhere(~is_finite.all(axis=2)).tolist():
        deltas[window][column] = _with_nulls(scaled[window, column])
    return list(deltas)


def deltas_to_window(
    at_ms: array[int], packed: Any, *, steps_per_unit: int | None = None, only: Container[str] | None = None
) -> Window:
    """The window of `window_to_deltas`, null where a channel did not exist yet, or is none of `only`; raises one of
    DAMAGE."""
    if len(packed) > len(CHANNELS):
        raise ValueError(f"{len(packed)} columns")
    missing = [None] * (len(CHANNELS) - len(packed))
    if only is not None:
        packed = [deltas if name in only else None for name, deltas in zip(NAMES, packed, strict=False)]
    return Window(
        at_ms,
        {
            channel.name: deltas_to_column(deltas, steps_per_unit or channel.steps_per_unit, count=len(at_ms))
            for channel, deltas in zip(CHANNELS, [*packed, *missing], strict=True)
        },
    )


def join_windows(
    rows: Sequence[tuple[array[int], Any]], *, steps_per_unit: int | None = None, only: Container[str] | None = None
) -> Window:
    """What `deltas_to_window` makes of many rows, as one window: numpy's calls are paid once a column, not once a row.

    Raises one of DAMAGE, also where a row does not follow the one before: then each has to be read by itself.
    """
    at_ms = array("q")
    for instants, packed in rows:
        if len(packed) > len(CHANNELS) or (at_ms and instants[0] <= at_ms[-1]):
            raise ValueError(f"{len(packed)} columns, or from before the row before")
        at_ms.extend(instants)
    counts = [len(instants) for instants, _ in rows]
    columns = dict.fromkeys(NAMES, array("d", [NAN]) * len(at_ms))
    for place, channel in enumerate(CHANNELS):
        if only is not None and channel.name not in only:
            continue
        deltas = [packed[place] if place < len(packed) else None for _, packed in rows]
        if any(each is not None for each in deltas):
            columns[channel.name] = _join_columns(deltas, steps_per_unit or channel.steps_per_unit, counts=counts)
    return Window(at_ms, columns)


def instants_to_deltas(at_ms: array[int]) -> list[int]:
    """The first instant, then how much later each next one is."""
    return [at_ms[0], *map(sub, at_ms[1:], at_ms)]


def deltas_to_instants(deltas: Any, *, limit: int) -> array[int]:
    """1 to `limit` instants that grow; raises one of DAMAGE."""
    if not 1 <= len(deltas) <= limit:
        raise ValueError(f"{len(deltas)} instants")
    if min(deltas[1:], default=1) < 1:
        raise ValueError("the instants do not grow")
    return array("q", accumulate(deltas))


def deltas_to_column(deltas: Any, steps_per_unit: int, *, count: int) -> array[float]:
    """`count` values, NaN where nil; raises one of DAMAGE."""
    if deltas is None:
        return array("d", [NAN]) * count
    if len(deltas) != count:
        raise ValueError(f"{len(deltas)} of {count} values")
    if None not in deltas:
        steps = list(accumulate(deltas))
        if type(steps[-1]) is float:
            raise TypeError("steps that are not whole")
        return array("d", [scaled / steps_per_unit for scaled in steps])
    column = array("d")
    scaled = 0
    for delta in deltas:
        if delta is None:
            column.append(NAN)
        else:
            scaled += delta
            column.append(scaled / steps_per_unit)
    if type(scaled) is float:
        raise TypeError("steps that are not whole")
    return column


def _join_columns(rows: Sequence[Any], steps_per_unit: int, *, counts: Sequence[int]) -> array[float]:
    flat: list[Any] = []
    for deltas, count in zip(rows, counts, strict=True):
        if deltas is not None and len(deltas) != count:
            raise ValueError(f"{len(deltas)} of {count} values")
        flat += [None] * count if deltas is None else deltas
    found = np.array(flat, dtype=np.float64)  # NaN where nil
    is_null = np.isnan(found)
    found[is_null] = 0
    if not (np.abs(found) <= LARGEST_DELTA).all():
        raise ValueError("numbers larger than any channel has")
    made = found.astype(np.int64)
    if (made != found).any():
        raise TypeError("steps that are not whole")
    steps = made.cumsum()
    starts = np.cumsum([0, *counts[:-1]])
    values = (steps - np.repeat(steps[starts] - made[starts], counts)) / steps_per_unit
    values[is_null] = np.nan
    return array("d", values.tobytes())


def _with_nulls(scaled: NDArray[np.float64]) -> Deltas | None:
    (measured,) = (scaled == scaled).nonzero()
    if not len(measured):
        return None
    deltas: list[int | None] = [None] * len(scaled)
    numbers = differences(scaled[np.newaxis, np.newaxis, measured])[0, 0].astype(np.int64).tolist()
    for index, number in zip(measured.tolist(), numbers, strict=True):
        deltas[index] = number
    return deltas


# A compressor costs 40 us to make and may be used by one thread at a time; scoring decodes in threads too.
_local = threading.local()


def _compressor() -> zstandard.ZstdCompressor:
    try:
        made: zstandard.ZstdCompressor = _local.compressor
    except AttributeError:
        made = _local.compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    return made


def _decompressor() -> zstandard.ZstdDecompressor:
    try:
        made: zstandard.ZstdDecompressor = _local.decompressor
    except AttributeError:
        made = _local.decompressor = zstandard.ZstdDecompressor()
    return made
