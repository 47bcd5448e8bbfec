"""A window as bytes, packed as `iops.columns` says.

Layout: one byte version, then a zstd frame of `[version, instants, columns]`; `columns` stand in the order of
`CHANNELS`. A chunk written before a channel existed is shorter and reads as null there.

Since version 2 a column of bytes holds what the requests do not foretell: the value less this sample's rate times the
size that the requests of the sample before had. Of real telemetry that takes 1.5 bytes off 21 a sample.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Container, Sequence
from itertools import accumulate
from typing import Any, Final

import msgpack
import numpy as np

from iops import columns, contract
from iops.errors import DamagedChunk
from iops.telemetry import CHANNELS, Window

VERSION: Final = 2
PLAIN_VERSION: Final = 1  # the same without foretold bytes
AT_ONCE: Final = 25  # windows; of 1,000 samples each these are 15 MB of numbers as Python has them
UNPACKED_LIMIT_BYTES: Final = 1024 * 1024  # 1,000 samples of 14 columns at msgpack's 9 bytes are 126 KB

RATES: Final = slice(columns.NAMES.index("read_iops"), columns.NAMES.index("write_iops") + 1)
SIZES: Final = slice(columns.NAMES.index("read_bytes_s"), columns.NAMES.index("write_bytes_s") + 1)
BYTES_LIMIT: Final = CHANNELS[SIZES.start].maximum


def encode(window: Window) -> bytes:
    """The bytes of a window of 1 to 1,000 samples; values are rounded to their channel's resolution."""
    return pack(contents([window])[0])


def contents(windows: Sequence[Window]) -> list[bytes]:
    """The content of each window's chunk before compression: what its identity is computed from.

    Windows of equal length are computed at once, because 25 of one sample cost little more than one.
    """
    by_length: dict[int, list[int]] = {}
    for place, window in enumerate(windows):
        by_length.setdefault(len(window), []).append(place)
    found = [b""] * len(windows)
    for alike in by_length.values():
        for start in range(0, len(alike), AT_ONCE):
            places = alike[start : start + AT_ONCE]
            for place, deltas in zip(places, _deltas_of([windows[place] for place in places]), strict=True):
                found[place] = msgpack.packb([VERSION, columns.instants_to_deltas(windows[place].at_ms), deltas])
    return found


def pack(content: bytes) -> bytes:
    """A chunk's content, compressed and versioned."""
    return columns.pack(content, version=VERSION)


def content_digest(content: bytes) -> str:
    """8 hex digits of a chunk's content, part of its key: the same samples have the same key."""
    return hashlib.blake2b(content, digest_size=4).hexdigest()


def decode(data: bytes, *, key: str, only: Container[str] | None = None) -> Window:
    """The window of a chunk, with all its channels or `only` some; the others are null.

    Raises DamagedChunk, naming `key`, for what is damaged or of another shape than `encode` writes.
    """
    try:
        return _decode(data, only)
    except columns.DAMAGE as error:
        raise DamagedChunk(key, str(error) or type(error).__name__) from error


def join(rows: Sequence[bytes], *, only: Container[str] | None = None) -> Window:
    """What `decode` makes of many chunks, as one window, in half the time; raises one of `columns.DAMAGE` where it
    cannot."""
    contents = [_contents(data) for data in rows]
    window = columns.join_windows([(at_ms, packed) for _, at_ms, packed in contents], only=only)
    start = 0
    for version, at_ms, packed in contents:
        for name, sizes in _sizes(version, packed, only).items():
            window.columns[name][start : start + len(at_ms)] = sizes
        start += len(at_ms)
    return window


def _decode(data: bytes, only: Container[str] | None) -> Window:
    version, at_ms, packed = _contents(data)
    window = columns.deltas_to_window(at_ms, packed, only=only)
    window.columns.update(_sizes(version, packed, only))
    return window


def _contents(data: bytes) -> tuple[int, array[int], Any]:
    version = PLAIN_VERSION if data[:1] == bytes([PLAIN_VERSION]) else VERSION
    _, instants, packed = columns.unpack(data, version=version, limit_bytes=UNPACKED_LIMIT_BYTES)
    return version, columns.deltas_to_instants(instants, limit=contract.BATCH_SAMPLES_LIMIT), packed


def _sizes(version: int, packed: Any, only: Container[str] | None) -> dict[str, array[float]]:
    """The columns of bytes that are wanted, where they were foretold."""
    wanted = [name for name in columns.NAMES[SIZES] if only is None or name in only]
    if version == PLAIN_VERSION or not wanted:
        return {}
    if not all(column and None not in column for column in packed[RATES.start : SIZES.stop]):
        return {}
    of = zip(columns.NAMES[SIZES], packed[RATES], packed[SIZES], strict=True)
    return {name: _add_foretold(list(accumulate(rates)), left) for name, rates, left in of if name in wanted}


def _deltas_of(windows: Sequence[Window]) -> list[list[columns.Deltas | None]]:
    scaled = columns.scale(windows)
    made = columns.differences(scaled)
    foretold = scaled[:, SIZES, 1:] - _foretold(scaled[:, RATES], scaled[:, SIZES, :-1])
    is_whole = np.isfinite(scaled[:, RATES.start : SIZES.stop].sum(axis=(1, 2)))  # none of the four has a null
    made[is_whole, SIZES, 1:] = foretold[is_whole]
    return columns.cube_to_deltas(made, scaled)


def _foretold(rates: columns.Cube, before: columns.Cube) -> columns.Cube:
    """Of each sample but the first: the size that a request had before it, times its rate."""
    foretold = before * rates[:, :, 1:]
    np.divide(foretold, rates[:, :, :-1], out=foretold, where=rates[:, :, :-1] > 0)
    np.copyto(foretold, before, where=rates[:, :, :-1] <= 0)
    return np.minimum(np.rint(foretold), BYTES_LIMIT)


def _add_foretold(rates: Sequence[int], left: Sequence[Any]) -> array[float]:
    """The way back, in the very order of operations: floats round alike everywhere."""
    before = float(left[0])
    sizes = [before]
    for rate_before, rate, more in zip(rates, rates[1:], left[1:], strict=False):
        foretold = before * rate / rate_before if rate_before > 0 else before
        before = (round(foretold) if foretold < BYTES_LIMIT else BYTES_LIMIT) + float(more)
        sizes.append(before)
    return array("d", sizes)
