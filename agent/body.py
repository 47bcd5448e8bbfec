"""Batches as the bodies that POST /metrics takes."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from iops.telemetry import Batch

# Unpacked; a sample is about 330 bytes, so this is some 1,500 samples, well below the server's 1 MiB even unpacked.
BODY_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True)
class Body:
    """A gzipped request body; sent again it is the same bytes, so the server stores it once."""

    content: bytes
    batches: int
    samples: int


def pack_bodies(batches: Sequence[Batch]) -> Iterator[Body]:
    """Batches in as few bodies as their size allows; only a batch that is larger by itself makes a larger body."""
    waiting: list[tuple[bytes, int]] = []
    size_bytes = 0
    for batch in batches:
        text = batch.model_dump_json().encode()
        if waiting and size_bytes + len(text) > BODY_BYTES:
            yield _pack(waiting)
            waiting, size_bytes = [], 0
        waiting.append((text, len(batch.samples)))
        size_bytes += len(text) + 1
    if waiting:
        yield _pack(waiting)


def _pack(parts: list[tuple[bytes, int]]) -> Body:
    text = b'{"batches":[' + b",".join(part for part, _ in parts) + b"]}"
    return Body(gzip.compress(text, mtime=0), batches=len(parts), samples=sum(count for _, count in parts))
