"""Simulated streams in the present: each sends as an agent would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from agent.batch import Holding
from cli.body import HISTORY_INTERVAL_S, batch_of
from iops.telemetry import Batch, Sample
from ml.plan import Plan
from ml.simulate import Stream, samples

INTERVAL_S: Final = 2.0
BATCH_SAMPLES: Final = 30
WARM_UP_SAMPLES: Final = 60  # of the past, from which a stream knows what is usual for it


@dataclass(slots=True)
class _LiveStream:
    stream: Stream
    coming: Iterator[Sample]
    first_full_at: datetime  # agents did not all start at one instant
    holding: Holding = field(default_factory=lambda: Holding(BATCH_SAMPLES))
    was_full: bool = False

    def take_due(self, at: datetime) -> Batch | None:
        """What it sends at `at`: when full, when something looks bad, and once at its own moment."""
        is_its_moment = not self.was_full and at >= self.first_full_at
        self.was_full |= is_its_moment
        if not is_its_moment and not self.holding.is_due(at.timestamp()):
            return None
        taken = self.holding.take(at.timestamp())
        return batch_of(self.stream, taken) if taken else None


class LiveFleet:
    """All streams from one instant on; the same plan gives the same samples at the same instants."""

    def __init__(self, streams: tuple[Stream, ...], plan: Plan, *, start_at: datetime, end_at: datetime) -> None:
        self._next_at = start_at
        self._end_at = end_at
        self._streams = [
            _LiveStream(
                stream=stream,
                coming=samples(
                    stream,
                    start_at=start_at,
                    end_at=end_at,
                    interval_s=INTERVAL_S,
                    fault=plan.faults.get(stream.stream_id),
                    benign=plan.benign.get(stream.stream_id),
                ),
                first_full_at=start_at + timedelta(seconds=index / len(streams) * BATCH_SAMPLES * INTERVAL_S),
            )
            for index, stream in enumerate(streams)
        ]
        for live in self._streams:
            _teach_usual(live, start_at)

    @property
    def next_at(self) -> datetime:
        """When the next samples are due."""
        return self._next_at

    def advance(self, now: datetime) -> Iterator[Batch]:
        """The batches to send by `now`; instants that were missed are caught up."""
        while self._next_at <= now and self._next_at < self._end_at:
            for live in self._streams:
                live.holding.add(next(live.coming))
                if batch := live.take_due(self._next_at):
                    yield batch
            self._next_at += timedelta(seconds=INTERVAL_S)

    def rest(self) -> Iterator[Batch]:
        """Whatever has not been sent yet."""
        for live in self._streams:
            if taken := live.holding.take(self._next_at.timestamp()):
                yield batch_of(live.stream, taken)


def _teach_usual(live: _LiveStream, start_at: datetime) -> None:
    """An agent that has run for a while knows what is usual; these samples are in the history already."""
    past_at = start_at - timedelta(seconds=WARM_UP_SAMPLES * HISTORY_INTERVAL_S)
    for sample in samples(live.stream, start_at=past_at, end_at=start_at, interval_s=HISTORY_INTERVAL_S):
        live.holding.add(sample)
    live.holding.take(start_at.timestamp() - 3600)  # long ago, so that the first bad sample is not held back
