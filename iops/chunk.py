"""A window as bytes: columns of scaled integers, delta per column, msgpack, zstd with its checksum.

Layout: one byte version, then a zstd frame of `[version, instants, columns]`. `instants` are epoch ms as deltas;
`columns` stand in the order of `CHANNELS`, each a list of deltas of scaled integers with nil where null, or nil where
the whole column is null. A chunk written before a channel existed is shorter and reads as null there.
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import sub
from typing import Any, Final

import msgpack
import zstandard

from iops import contract
from iops.errors import DamagedChunk
from iops.telemetry import CHANNELS, NAN, Channel, Window

VERSION: Final = 1
VERSION_BYTE: Final = bytes([VERSION])
Deltas = Sequence[int | None]
UNPACKED_LIMIT_BYTES: Final = 1024 * 1024  # 1,000 samples of 14 columns at msgpack's 9 bytes are 126 KB


def encode(window: Window) -> bytes:
    """The bytes of a window of 1 to 1,000 samples; values are rounded to their channel's resolution."""
    return pack(columns_of(window))


def columns_of(window: Window) -> bytes:
    """The content of a chunk before compression: what its identity is computed from."""
    columns = [_column_to_deltas(window.columns[channel.name], channel) for channel in CHANNELS]
    content: bytes = msgpack.packb([VERSION, _instants_to_deltas(window.at_ms), columns])
    return content


def pack(content: bytes) -> bytes:
    """A chunk's content, compressed and versioned."""
    return VERSION_BYTE + _compressor().compress(content)


def content_digest(content: bytes) -> str:
    """8 hex digits of a chunk's content, part of its key: the same samples have the same key."""
    return hashlib.blake2b(content, digest_size=4).hexdigest()


def decode(data: bytes, *, key: str) -> Window:
    """The window of a chunk.

    Raises DamagedChunk, naming `key`, for what is damaged or of another shape than `encode` writes.
    """
    try:
        return _decode(data)
    except (ValueError, TypeError, OverflowError, zstandard.ZstdError) as error:
        raise DamagedChunk(key, str(error) or type(error).__name__) from error


def _decode(data: bytes) -> Window:
    if not data or data[0] != VERSION:
        raise ValueError(f"version {data[0] if data else 'missing'}, this program reads {VERSION}")
    if zstandard.frame_content_size(data[1:]) > UNPACKED_LIMIT_BYTES:
        raise ValueError(f"unpacks to more than {UNPACKED_LIMIT_BYTES} bytes")
    if not zstandard.get_frame_parameters(data[1:]).has_checksum:
        raise ValueError("has no checksum")
    content = _decompressor().decompress(data[1:], max_output_size=UNPACKED_LIMIT_BYTES, allow_extra_data=False)
    version, instants, columns = msgpack.unpackb(content, strict_map_key=True)
    if version != VERSION:
        raise ValueError(f"content of version {version} under version {VERSION}")
    if not 1 <= len(instants) <= contract.BATCH_SAMPLES_LIMIT or len(columns) > len(CHANNELS):
        raise ValueError(f"{len(instants)} samples of {len(columns)} columns")
    if min(instants[1:], default=1) < 1:
        raise ValueError("the instants do not grow")
    missing = [None] * (len(CHANNELS) - len(columns))
    return Window(
        array("q", accumulate(instants)),
        {
            channel.name: _deltas_to_column(deltas, channel, len(instants))
            for channel, deltas in zip(CHANNELS, [*columns, *missing], strict=True)
        },
    )


def _instants_to_deltas(at_ms: array[int]) -> list[int]:
    return [at_ms[0], *(after - before for before, after in pairwise(at_ms))]


def _column_to_deltas(column: array[float], channel: Channel) -> Deltas | None:
    steps = channel.steps_per_unit
    first = column[0]
    if column.count(first) == len(column):  # a constant, as intervals are; never NaN, which equals nothing
        return [round(first * steps)] + [0] * (len(column) - 1)
    total = sum(column)
    if total == total:
        scaled = [round(value * steps) for value in column]
        return [scaled[0], *map(sub, scaled[1:], scaled)]
    return _column_with_nulls_to_deltas(column, steps)


def _column_with_nulls_to_deltas(column: array[float], steps: int) -> Deltas | None:
    deltas: list[int | None] = []
    before = 0
    for value in column:
        if value != value:
            deltas.append(None)
            continue
        scaled = round(value * steps)
        deltas.append(scaled - before)
        before = scaled
    return None if deltas.count(None) == len(deltas) else deltas


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


def _deltas_to_column(deltas: Any, channel: Channel, count: int) -> array[float]:
    if deltas is None:
        return array("d", [NAN]) * count
    if len(deltas) != count:
        raise ValueError(f"{channel.name} has {len(deltas)} of {count} samples")
    steps = channel.steps_per_unit
    if None not in deltas:
        return array("d", [scaled / steps for scaled in accumulate(deltas)])
    column = array("d")
    scaled = 0
    for delta in deltas:
        if delta is None:
            column.append(NAN)
        else:
            scaled += delta
            column.append(scaled / steps)
    return column
