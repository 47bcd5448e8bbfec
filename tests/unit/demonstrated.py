"""What a demonstration meets: its moment, an alert of the server, and a disk that stalls."""

from datetime import UTC, datetime

from cli.server import Row
from ml.fault import Fault, FaultKind

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def an_alert(stream_id: str, *, opened_at: datetime, updated_at: datetime | None = None) -> Row:
    return {
        "alert_id": f"{stream_id}/stall",
        "stream_id": stream_id,
        "prediction_type": "stall",
        "state": "firing",
        "risk_score": 95.0,
        "opened_at": opened_at.isoformat(),
        "updated_at": (updated_at or opened_at).isoformat(),
        "title": "Stalled",
        "facts": [{"name": "in_flight", "value": 3.0, "sentence": "3 in flight, none completed."}],
    }


def a_stall(begins_at: datetime = NOW) -> Fault:
    return Fault(kind=FaultKind.STALL, begins_at=begins_at)
