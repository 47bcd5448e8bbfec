"""The recordings of a real device say what their README says of them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import pytest

from iops.telemetry import Batch, Sample

FOLDER = Path(__file__).parents[1] / "recordings"


def read_stream(name: str, stream: str) -> list[Sample]:
    with gzip.open(FOLDER / name, "rt", encoding="utf-8") as file:
        batches = [Batch.model_validate_json(line) for line in file]
    return sorted(
        (sample for batch in batches if batch.stream_id == stream for sample in batch.samples),
        key=lambda sample: sample.at,
    )


def await_ms(samples: list[Sample], *, start: str, end: str) -> float:
    start_at, end_at = (datetime.fromisoformat(f"2026-11-23T{text}").replace(tzinfo=UTC) for text in (start, end))
    return median(sample.read_await_ms or 0.0 for sample in samples if start_at < sample.at < end_at)


def test_the_slow_disk_is_slow_while_its_peers_are_not() -> None:
    slow, peer = read_stream("slow.jsonl.gz", "lab-1:loop1"), read_stream("slow.jsonl.gz", "lab-1:loop2")

    assert await_ms(slow, start="04:29:06", end="04:32:05") == pytest.approx(0.35, abs=0.01)
    assert await_ms(slow, start="04:32:08", end="04:33:05") == pytest.approx(8.1, abs=0.1)
    assert await_ms(peer, start="04:32:08", end="04:33:05") == pytest.approx(0.27, abs=0.01)


def test_the_stalled_disk_has_requests_in_flight_and_completes_none() -> None:
    stalled = [
        sample
        for sample in read_stream("stall.jsonl.gz", "lab-1:loop1")
        if sample.in_flight > 0 and sample.read_iops == sample.write_iops == 0
    ]

    assert len(stalled) in (19, 20)
    assert all(sample.read_await_ms is None for sample in stalled)
