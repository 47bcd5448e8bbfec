"""What a door hands over: samples of one stream, however they came."""

from collections.abc import Mapping
from dataclasses import dataclass

from iops.telemetry import Batch, Window, window_from_samples


@dataclass(frozen=True, slots=True)
class Arrival:
    """Samples of one stream as a door understood them, and what it knows of the stream."""

    stream_id: str
    group: str
    labels: Mapping[str, str]
    provisioned_iops: float | None
    window: Window
    counters: bytes | None = None  # what the next difference is computed from; stored beside the last chunk


def arrival_of(batch: Batch) -> Arrival:
    """A batch of the models."""
    window = window_from_samples(batch.samples)
    return Arrival(batch.stream_id, batch.group, batch.labels, batch.provisioned_iops, window)
