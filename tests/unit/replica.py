"""Processes that take counters, each with its own memory, on a table that they share."""

import time
from collections.abc import Callable, Iterable
from datetime import timedelta

import numpy as np

from iops import items
from iops.errors import TableUnavailable
from iops.observability import Metrics
from iops.telemetry import Window, merge_windows
from services.ingest.arrival import Arrival
from services.ingest.counters import FIELDS, Counters
from services.ingest.readings import Readings
from services.ingest.track import Tracker
from tests.unit.builders import AT, AT_MS, DISK
from tests.unit.door_bodies import counters_at
from tests.unit.fakes import FakeTable


class Replica:
    """A process with its own memory on a shared table."""

    def __init__(
        self,
        table: FakeTable | None = None,
        *,
        limit: int = 100,
        wait_s: float = 20,  # for a machine that does much else; a test of waiting has its own
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table = table or FakeTable()
        self.metrics = Metrics()
        self.tracker = Tracker(self.table.table(), self.metrics, limit=limit, wait_s=wait_s, monotonic_s=monotonic_s)

    async def take(
        self, *readings: Counters, stream_id: str = DISK, fields: Iterable[str] = FIELDS, is_away: bool = False
    ) -> list[Arrival]:
        """What one request with these readings stores; raises where the table `is_away`."""
        async with self.tracker.taking(read(stream_id, readings, fields)) as arrivals:
            self.store(arrivals, is_away=is_away)
        return arrivals

    def store(self, arrivals: list[Arrival], *, is_away: bool = False) -> None:
        if is_away:
            raise TableUnavailable("away")
        for arrival in arrivals:
            self.table.add(*items.chunk_items(arrival.stream_id, arrival.window, counters=arrival.counters))

    def stored(self, stream_id: str = DISK) -> Window:
        rows = sorted(self.table.of_type("chunk"), key=lambda row: str(row["entity_type"]["S"]))
        return merge_windows([items.item_to_window(row) for row in rows if row["entity_id"]["S"] == stream_id])

    def lapses(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("iops_counter_lapses_total", {"reason": reason}) or 0.0


def read(stream_ids: str | Iterable[str], readings: Iterable[Counters], fields: Iterable[str] = FIELDS) -> Readings:
    """What a parser makes of the fields of these counters."""
    request = Readings.at(AT + timedelta(days=2))
    for stream_id in [stream_ids] if isinstance(stream_ids, str) else stream_ids:
        for reading in readings:
            for field in fields:
                request.add(stream_id, FIELDS.index(field), reading.at_ms, getattr(reading, field))
    return request


def read_columns(readings: Iterable[Counters]) -> Readings:
    """The same of one disk, as a block."""
    request, listed = Readings.at(AT + timedelta(days=2)), list(readings)
    instants = np.array([reading.at_ms for reading in listed])
    assert request.add_block(DISK, instants, np.array(listed, dtype=float).T[1:])
    return request


def second(number: float) -> Counters:
    return counters_at(AT_MS + round(number * 1000), number)


def seconds(window: Window) -> list[tuple[float, float]]:
    """When each sample ended, and how long it was."""
    return [((at - AT_MS) / 1000, dt) for at, dt in zip(window.at_ms, window["interval_s"], strict=True)]
