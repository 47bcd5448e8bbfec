"""A window as bytes, packed as `iops.columns` says.

Layout: one byte version, then a zstd frame of `[version, instants, columns]`; `columns` stand in the order of
`CHANNELS`. A chunk written before a channel existed is shorter and reads as null there.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgpack

from iops import columns, contract
from iops.errors import DamagedChunk
from iops.telemetry import Window

VERSION: Final = 1
UNPACKED_LIMIT_BYTES: Final = 1024 * 1024  # 1,000 samples of 14 columns at msgpack's 9 bytes are 126 KB


def encode(window: Window) -> bytes:
    """The bytes of a window of 1 to 1,000 samples; values are rounded to their channel's resolution."""
    return pack(columns_of(window))


def columns_of(window: Window) -> bytes:
    """The content of a chunk before compression: what its identity is computed from."""
    parts = [VERSION, columns.instants_to_deltas(window.at_ms), columns.window_to_deltas(window)]
    content: bytes = msgpack.packb(parts)
    return content


def pack(content: bytes) -> bytes:
    """A chunk's content, compressed and versioned."""
    return columns.pack(content, version=VERSION)


def content_digest(content: bytes) -> str:
    """8 hex digits of a chunk's content, part of its key: the same samples have the same key."""
    return hashlib.blake2b(content, digest_size=4).hexdigest()


def decode(data: bytes, *, key: str) -> Window:
    """The window of a chunk.

    Raises DamagedChunk, naming `key`, for what is damaged or of another shape than `encode` writes.
    """
    try:
        return _decode(data)
    except columns.DAMAGE as error:
        raise DamagedChunk(key, str(error) or type(error).__name__) from error


def _decode(data: bytes) -> Window:
    _, instants, packed = columns.unpack(data, version=VERSION, limit_bytes=UNPACKED_LIMIT_BYTES)
    at_ms = columns.deltas_to_instants(instants, limit=contract.BATCH_SAMPLES_LIMIT)
    return columns.deltas_to_window(at_ms, packed)
