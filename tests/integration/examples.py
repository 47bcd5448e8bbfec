"""Small valid things for tests: each says only what matters to the test that asks for it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ulid import ULID

from iops.alert import Alert, AlertState
from iops.auth import Caller, Role
from iops.insight import Fact, Finding, Insight, PredictionType
from iops.telemetry import Batch, Sample

AT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
EVERYBODY = Caller("somebody who sees all", Role.ADMIN)


def a_sample(**fields: Any) -> Sample:
    """A busy, healthy second."""
    usual: dict[str, Any] = {
        "at": AT,
        "interval_s": 1.0,
        "read_iops": 210.0,
        "write_iops": 95.0,
        "read_bytes_s": 3_440_640.0,
        "write_bytes_s": 1_556_480.0,
        "read_await_ms": 0.41,
        "write_await_ms": 0.92,
        "queue_depth": 0.17,
        "utilization_ratio": 0.14,
        "in_flight": 0,
    }
    return Sample(**usual | fields)


def some_samples(count: int, *, begin: datetime = AT, **fields: Any) -> tuple[Sample, ...]:
    """One a second from `begin` on."""
    return tuple(a_sample(at=begin + timedelta(seconds=second), **fields) for second in range(count))


def a_batch(stream_id: str = "web-1:nvme0n1", *, samples: Sequence[Sample] = (), **fields: Any) -> Batch:
    """One sample where none are given."""
    return Batch(stream_id=stream_id, samples=tuple(samples) or (a_sample(),), **fields)


def a_finding(risk_score: float = 90.0, prediction_type: PredictionType = PredictionType.STALL) -> Finding:
    """Something is wrong."""
    return Finding(risk_score=risk_score, prediction_type=prediction_type)


def an_insight(stream_id: str = "web-1:nvme0n1", **fields: Any) -> Insight:
    """A stall of a minute ago."""
    created_at = fields.get("created_at", AT)
    usual: dict[str, Any] = {
        "insight_id": str(ULID()),
        "stream_id": stream_id,
        "peer_group": stream_id.partition(":")[0],
        "created_at": created_at,
        "prediction_type": PredictionType.STALL,
        "risk_score": 90.0,
        "title": f"{stream_id} has stalled",
        "explanation": "Requests are in flight and none completes.",
        "recommendations": ("Look for a lost path.", "Move the workload."),
        "confidence": 0.9,
        "facts": (Fact(name="stalled_s", value=20, unit="s", sentence="nothing completed for 20 s"),),
        "window_from": created_at - timedelta(minutes=10),
        "window_to": created_at,
        "began_at": created_at - timedelta(minutes=1),
        "is_hard_rule": True,
        "warming_up": False,
        "scored_by": "rules",
        "explained_by": "template",
    }
    return Insight(**usual | fields)


def an_alert(stream_id: str = "web-1:nvme0n1", **fields: Any) -> Alert:
    """A firing alert, as it was opened."""
    usual: dict[str, Any] = {
        "alert_id": stream_id.replace(":", "-"),
        "stream_id": stream_id,
        "peer_group": stream_id.partition(":")[0],
        "prediction_type": PredictionType.STALL,
        "state": AlertState.FIRING,
        "risk_score": 90.0,
        "opened_at": AT,
        "updated_at": AT,
        "insight_id": "01",
        "opened_by": "01",
        "title": f"{stream_id} has stalled",
        "explanation": "Requests are in flight and none completes.",
        "recommendations": ("Look for a lost path.",),
        "facts": (),
        "version": 1,
    }
    return Alert(**usual | fields)
