"""Samples of one stream as a door understood them, and how they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iops.auth import Caller
from iops.errors import Forbidden
from iops.telemetry import Batch, Window, window_from_samples

if TYPE_CHECKING:
    from services.ingest.routes import Ingest


@dataclass(frozen=True, slots=True)
class Arrival:
    """Samples of one stream as a door understood them, and what it knows of the stream."""

    stream_id: str
    peer_group: str
    labels: Mapping[str, str]
    provisioned_iops: float | None
    window: Window
    counters: bytes | None = None  # what the next delta is computed from; stored beside the last chunk

    @property
    def group(self) -> str:
        """As a batch calls it."""
        return self.peer_group


def arrival_of(batch: Batch) -> Arrival:
    """A batch of the models."""
    window = window_from_samples(batch.samples)
    return Arrival(batch.stream_id, batch.group, batch.labels, batch.provisioned_iops, window)


def check_streams(caller: Caller, arrivals: Iterable[Arrival]) -> None:
    """Raises Forbidden where a stream is not the caller's, or would join a group that is not."""
    if caller.sees_all:
        return
    for arrival in arrivals:
        if not caller.may_see(arrival.stream_id):
            raise not_yours(caller, arrival.stream_id)
        if not caller.may_join(arrival.stream_id, arrival.peer_group):
            raise Forbidden(
                f"{caller.name} may not put {arrival.stream_id} into the group {arrival.peer_group}: "
                "leave the group out, or give it a name that is the key's own"
            )


def not_yours(caller: Caller, stream_id: str) -> Forbidden:
    """What a sender of a foreign stream is told."""
    return Forbidden(f"{caller.name} may send {', '.join(caller.streams)}; {stream_id} is none of these")


async def store_arrivals(ingest: Ingest, arrivals: Sequence[Arrival]) -> int:
    """Stores the samples and says how many; raises QueueFull or TableUnavailable."""
    samples = await ingest.commit.store(arrivals)
    await ingest.registry.ensure(arrivals)
    for arrival in arrivals:
        ingest.notifier.note(arrival.peer_group, arrival.window.at_ms[0], is_urgent=is_urgent(arrival.window))
    return samples


def is_urgent(window: Window) -> bool:
    """Whether some sample has I/O errors, or holds requests of which none completed: a hard rule may page at once."""
    if any(errors > 0 for errors in window["io_errors"]):
        return True
    columns = (window[name] for name in ("read_iops", "write_iops", "in_flight"))
    return any(read == 0 == write and in_flight > 0 for read, write, in_flight in zip(*columns, strict=True))
