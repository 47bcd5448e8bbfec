"""Bodies for POST /metrics from a simulated fleet: made once, filled with fresh instants as they are sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bench.load import Request, post
from iops.telemetry import Batch, Sample, instant_to_text
from ml.simulate import Fleet, Stream, samples

DISKS_PER_HOST: Final = 4
INTERVAL_S: Final = 1.0
STEP_MS: Final = 1_000  # between two samples of a stream
DAY_MS: Final = 86_400_000
SEED: Final = 7
MIDDAY: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)  # of the simulated fleet: the same load in every run
SLOT_TEXT: Final = "2000-01-01T00:00:00.000Z"  # where an instant will stand


@dataclass(frozen=True, slots=True)
class Sent:
    """What a request told: `count` samples of a stream, the first at `at_ms`, one every `step_ms`."""

    stream_id: str
    at_ms: int
    count: int
    step_ms: int

    def instants(self) -> range:
        """Of its samples, epoch ms."""
        return range(self.at_ms, self.at_ms + self.count * self.step_ms, self.step_ms)


def fleet_of(streams: int, *, name: str) -> Sequence[Stream]:
    """The first `streams` disks of a simulated fleet."""
    fleet = Fleet(seed=SEED, hosts=-(-streams // DISKS_PER_HOST), disks_per_host=DISKS_PER_HOST, name=name)
    return fleet.streams[:streams]


def samples_of(stream: Stream, count: int) -> tuple[Sample, ...]:
    """`count` samples of a stream, one a second."""
    end_at = MIDDAY + timedelta(seconds=count * INTERVAL_S)
    return tuple(samples(stream, start_at=MIDDAY, end_at=end_at, interval_s=INTERVAL_S))


def requests(streams: Sequence[Stream], *headers: str, count: int, begin_ms: int, step_ms: int) -> Iterator[Request]:
    """Endless: round after round a request of `count` samples of each stream, whose instants go on from `begin_ms`."""
    templates = [(stream.stream_id, _template(stream, count, headers)) for stream in streams]
    at_ms = begin_ms
    while True:
        instants = [instant_to_text(at_ms + index * step_ms).encode() for index in range(count)]
        for stream_id, template in templates:
            yield Request(_fill(template, instants), Sent(stream_id, at_ms, count, step_ms))
        at_ms += count * step_ms


def _template(stream: Stream, count: int, headers: Sequence[str]) -> tuple[bytes, ...]:
    """A request in pieces, between which its instants go: all instants are texts of one length."""
    batch = Batch(
        stream_id=stream.stream_id,
        peer_group=stream.peer_group,
        labels=stream.labels,
        provisioned_iops=stream.provisioned_iops,
        samples=samples_of(stream, count),
    )
    text = batch.model_dump_json()
    for sample in batch.samples:
        text = text.replace(sample.model_dump(mode="json")["at"], SLOT_TEXT)
    request = post("/metrics", text.encode(), "Content-Type: application/json", *headers)
    return tuple(request.split(SLOT_TEXT.encode()))


def _fill(template: tuple[bytes, ...], instants: Sequence[bytes]) -> bytes:
    parts = [template[0]]
    for instant, rest in zip(instants, template[1:], strict=True):
        parts += (instant, rest)
    return b"".join(parts)
