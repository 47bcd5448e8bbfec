"""When a device's samples are sent, and in which bodies."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.batch import Holding
from agent.body import BODY_BYTES, pack_bodies
from iops import contract
from iops.telemetry import Batch, Sample

AT = datetime(2026, 11, 23, 2, 39, tzinfo=UTC)


def a_sample(**changes: Any) -> Sample:
    usual: dict[str, Any] = {
        "at": AT, "interval_s": 2.0, "read_iops": 200.0, "write_iops": 90.0, "read_bytes_s": 819_200.0,
        "write_bytes_s": 368_640.0, "read_await_ms": 1.0, "write_await_ms": 1.0, "queue_depth": 0.3,
        "utilization_ratio": 0.1, "in_flight": 0,
    }  # fmt: skip
    return Sample(**{**usual, **changes})


def holding_with_a_past(*, samples: int = 20) -> Holding:
    holding = Holding(limit=100)
    for _ in range(samples):
        holding.add(a_sample())
    holding.take(0.0)
    return holding


def test_the_first_sample_of_a_device_is_sent_at_once() -> None:
    holding = Holding(limit=30)
    holding.add(a_sample())

    assert holding.is_due(0.0)


def test_later_samples_wait_until_the_batch_is_full() -> None:
    holding = Holding(limit=3)
    holding.add(a_sample())
    holding.take(0.0)

    dues = []
    for _ in range(3):
        holding.add(a_sample())
        dues.append(holding.is_due(0.0))

    assert dues == [False, False, True]
    assert len(holding.take(0.0)) == 3


def test_nothing_held_is_never_due() -> None:
    assert not Holding(limit=1).is_due(0.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"read_await_ms": 4.1},
        {"write_await_ms": 4.1},
        {"io_errors": 1},
        {"read_iops": 0.0, "write_iops": 0.0, "read_await_ms": None, "write_await_ms": None, "in_flight": 1},
    ],
)
def test_a_sample_that_looks_bad_is_sent_at_once(bad: dict[str, Any]) -> None:
    holding = holding_with_a_past()
    holding.add(a_sample(**bad))

    assert holding.is_due(1.0)


@pytest.mark.parametrize(
    "fine",
    [
        {"read_await_ms": 3.9},
        {"read_await_ms": 400.0, "read_iops": 1.0},  # two slow requests are chance
        {"queue_depth": 64.0, "utilization_ratio": 1.0, "in_flight": 64},  # busy is not bad
        {"read_iops": 0.0, "write_iops": 0.0, "read_await_ms": None, "write_await_ms": None},  # idle
    ],
)
def test_a_sample_that_does_not_look_bad_waits(fine: dict[str, Any]) -> None:
    holding = holding_with_a_past()
    holding.add(a_sample(**fine))

    assert not holding.is_due(1.0)


def test_latency_is_not_judged_before_something_is_usual() -> None:
    holding = holding_with_a_past(samples=14)
    holding.add(a_sample(read_await_ms=400.0))

    assert not holding.is_due(1.0)


def test_four_times_a_tiny_latency_is_no_hurry() -> None:
    holding = Holding(limit=100)
    for _ in range(20):
        holding.add(a_sample(read_await_ms=0.1))
    holding.take(0.0)
    holding.add(a_sample(read_await_ms=1.9))

    assert not holding.is_due(1.0)


def test_a_lasting_fault_is_sent_every_ten_seconds() -> None:
    holding = holding_with_a_past()
    sent_at_s = []
    for second in range(30):
        holding.add(a_sample(io_errors=1))
        if holding.is_due(second):
            holding.take(second)
            sent_at_s.append(second)

    assert sent_at_s == [0, 10, 20]


def a_batch(stream: str, samples: int) -> Batch:
    return Batch(
        stream_id=stream, samples=tuple(a_sample(at=AT + timedelta(seconds=second)) for second in range(samples))
    )


def test_all_due_devices_share_one_body() -> None:
    [body] = pack_bodies([a_batch("web-1:sda", 30), a_batch("web-1:sdb", 2)])

    content = json.loads(gzip.decompress(body.content))
    assert [Batch.model_validate_json(json.dumps(batch)).stream_id for batch in content["batches"]] == [
        "web-1:sda",
        "web-1:sdb",
    ]
    assert (body.batches, body.samples) == (2, 32)


def test_the_same_batches_are_the_same_bytes() -> None:
    assert list(pack_bodies([a_batch("web-1:sda", 30)])) == list(pack_bodies([a_batch("web-1:sda", 30)]))


def test_many_batches_are_split_well_below_the_servers_limit() -> None:
    bodies = list(pack_bodies([a_batch(f"web-1:sd{number}", 100) for number in range(40)]))

    sizes_bytes = [len(gzip.decompress(body.content)) for body in bodies]
    assert len(bodies) == 3
    assert max(sizes_bytes) < BODY_BYTES * 1.01 < contract.BODY_LIMIT_BYTES
    assert sum(body.samples for body in bodies) == 4000


def test_no_batches_are_no_body() -> None:
    assert list(pack_bodies([])) == []
