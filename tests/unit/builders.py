"""Small valid things for unit tests: each says only what matters to the test that asks for it."""

import os
from array import array
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from iops.audit import Deed, DeedKind
from iops.auth import Role
from iops.baseline import Baseline, make_baseline
from iops.clock import to_epoch_ms
from iops.insight import Finding, PredictionType
from iops.items import Pulse, Stream
from iops.telemetry import Window, merge_windows, window_from_samples
from tests.integration.examples import AT, EVERYBODY, a_batch, a_finding, a_sample, an_alert, an_insight, some_samples

__all__ = [
    "AT",
    "AT_MS",
    "DISK",
    "EVERYBODY",
    "a_baseline",
    "a_batch",
    "a_finding",
    "a_pulse",
    "a_sample",
    "a_stream",
    "a_window",
    "an_alert",
    "an_insight",
    "clock_at",
    "nothing_wrong",
    "some_samples",
]

AT_MS = to_epoch_ms(AT)
DISK = "web-1:nvme0n1"


def a_window(count: int = 60, *, end: datetime = AT, interval_s: float = 1.0, **fields: Any) -> Window:
    """Equal samples, the last at `end`; a disk that takes 1 ms for each of 200 reads a second."""
    usual: dict[str, Any] = {
        "interval_s": interval_s,
        "read_iops": 200.0,
        "write_iops": 0.0,
        "read_bytes_s": 819_200.0,
        "write_bytes_s": 0.0,
        "read_await_ms": 1.0,
        "write_await_ms": None,
        "queue_depth": 0.2,
        "utilization_ratio": 0.2,
        "in_flight": 0,
    }
    one = window_from_samples([a_sample(at=end, **usual | fields)])
    step_ms = round(interval_s * 1000)
    instants = range(one.at_ms[0] - step_ms * (count - 1), one.at_ms[0] + 1, step_ms)
    return Window(array("q", instants), {name: column * count for name, column in one.columns.items()})


def a_baseline(*windows: Window, hours: float = 24, **fields: Any) -> Baseline:
    """What is usual after hours of `a_window`'s minutes (or of `fields`), with `windows` among them."""
    day = a_window(round(hours * 60), end=AT - timedelta(minutes=10), interval_s=60.0, **fields)
    baseline = make_baseline(merge_windows([day, *windows]), made_at_ms=AT_MS)
    assert baseline is not None
    return baseline


def a_stream(stream_id: str = DISK, **fields: Any) -> Stream:
    """A stream that was scored a minute ago and is well."""
    usual: dict[str, Any] = {
        "peer_group": stream_id.partition(":")[0],
        "labels": {},
        "provisioned_iops": None,
        "first_seen_at": AT - timedelta(days=2),
        "risk_score": 0.0,
        "scored_at": AT - timedelta(minutes=1),
        "is_warming_up": False,
    }
    return Stream(stream_id, **usual | fields)


def nothing_wrong(risk_score: float = 0.0) -> Finding:
    """A finding that is worth no insight."""
    kind = PredictionType.PERFORMANCE_DEGRADATION if risk_score else None
    return Finding(risk_score=risk_score, prediction_type=kind)


def clock_at(at: datetime = AT) -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: at


def examples(count: int) -> int:
    """So many examples where nobody waits; a quarter of them at a desk, where the layer takes less than 10 s."""
    return count if os.environ.get("CI") else max(10, count // 4)


def a_deed(deed_id: str = "d", **fields: Any) -> Deed:
    usual: dict[str, Any] = {"at": AT, "kind": DeedKind.KEY_REVOKED, "about": "k", "by": "ann", "role": Role.ADMIN}
    return Deed(deed_id=deed_id, **usual | {"address": "10.0.0.7", "request_id": "r"} | fields)


def a_pulse(service: str = "ingest", **fields: Any) -> Pulse:
    """Of a replica that is ready, and has been for an hour."""
    usual: dict[str, Any] = {"replica": "a1", "version": "v7", "started_at": AT - timedelta(hours=1), "at": AT}
    usual |= {"failed": {}, "counted_s": 300.0, "counts": {}, "levels": {}, "by_name": {}}
    return Pulse(service=service, **usual | fields)
