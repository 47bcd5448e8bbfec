"""Bodies for POST /metrics, made from simulated streams."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from iops.telemetry import Batch, Sample
from ml.simulate import Stream, samples

HISTORY_INTERVAL_S: Final = 30.0
HISTORY_BATCH_SAMPLES: Final = 120  # one hour, so that whoever reads the last hour need not unpack the last eight
BODY_BYTES: Final = 2 * 1024 * 1024  # unpacked; a quarter of what is allowed, and about 300 KiB packed


@dataclass(frozen=True, slots=True)
class Body:
    """A packed body and what is in it."""

    packed: bytes
    samples: int


def history_bodies(starts: Iterable[tuple[Stream, datetime]], *, end_at: datetime) -> Iterator[Body]:
    """The past of streams, each from its own start on, in bodies that the server accepts."""
    return pack_bodies(batch for stream, start_at in starts for batch in _history(stream, start_at, end_at))


def pack_bodies(batches: Iterable[Batch]) -> Iterator[Body]:
    """Batches in as few bodies as their size allows, packed."""
    parts: list[str] = []
    size_bytes = count = 0
    for batch in batches:
        # Not revalidated and without nulls: an absent field is a null one, and most of them are.
        part = batch.model_dump_json(exclude_none=True)
        if parts and size_bytes + len(part) > BODY_BYTES:
            yield _pack(parts, count)
            parts, size_bytes, count = [], 0, 0
        parts.append(part)
        size_bytes += len(part)
        count += len(batch.samples)
    if parts:
        yield _pack(parts, count)


def batch_of(stream: Stream, taken: tuple[Sample, ...]) -> Batch:
    """Samples of a stream as an agent would send them."""
    return Batch(
        stream_id=stream.stream_id,
        peer_group=stream.peer_group,
        labels=stream.labels,
        provisioned_iops=stream.provisioned_iops,
        samples=taken,
    )


def _history(stream: Stream, start_at: datetime, end_at: datetime) -> Iterator[Batch]:
    past = samples(stream, start_at=start_at, end_at=end_at, interval_s=HISTORY_INTERVAL_S)
    while taken := tuple(islice(past, HISTORY_BATCH_SAMPLES)):
        yield batch_of(stream, taken)


def _pack(parts: list[str], count: int) -> Body:
    text = '{"batches":[' + ",".join(parts) + "]}"
    return Body(gzip.compress(text.encode(), compresslevel=3), count)
