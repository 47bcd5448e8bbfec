"""Samples of one stream as a door understood them, and how they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iops import items
from iops.telemetry import Batch, Window

if TYPE_CHECKING:
    from services.ingest.routes import Ingest


@dataclass(frozen=True, slots=True)
class Arrival:
    """Samples of one stream as a door understood them."""

    stream_id: str
    peer_group: str
    labels: Mapping[str, str]
    provisioned_iops: float | None
    window: Window
    counters: bytes | None = None  # what the next delta is computed from; stored beside the last chunk


async def store_arrivals(ingest: Ingest, arrivals: Sequence[Arrival]) -> int:
    """Stores the samples and says how many; raises QueueFull or TableUnavailable."""
    rows = [
        row
        for arrival in arrivals
        for row in items.chunk_items(arrival.stream_id, arrival.window, counters=arrival.counters)
    ]
    samples = sum(len(arrival.window) for arrival in arrivals)
    await ingest.commit.store(rows, samples=samples)
    await ingest.registry.ensure([_description(arrival) for arrival in arrivals])
    for arrival in arrivals:
        ingest.notifier.note(arrival.peer_group, arrival.window.at_ms[0])
    return samples


def _description(arrival: Arrival) -> Batch:
    """What the registry asks of a batch; its samples are not among it."""
    return Batch.model_construct(
        stream_id=arrival.stream_id,
        peer_group=arrival.peer_group,
        labels=dict(arrival.labels),
        provisioned_iops=arrival.provisioned_iops,
        samples=(),
    )
