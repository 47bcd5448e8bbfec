"""A simulated host with a day of samples, of which one disk is slow for a while, behind a server double."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

import httpx

from cli.server import Row
from iops.clock import to_epoch_ms
from iops.telemetry import Window, merge_windows, row_to_dict, window_from_samples
from ml.fault import Fault, FaultKind
from ml.simulate import Fleet, samples

FLEET: Final = Fleet(hosts=1, disks_per_host=4).streams
VICTIM: Final = FLEET[1]
FROM_AT: Final = datetime(2026, 11, 23, 3, 20, tzinfo=UTC)
FAULT_AT: Final = FROM_AT + timedelta(minutes=3)
ENDS_AT: Final = FAULT_AT + timedelta(minutes=9)
TO_AT: Final = FROM_AT + timedelta(minutes=45)
EVERY: Final = timedelta(minutes=1)
HISTORY_S, LIVE_S = 600.0, 20.0
SAMPLES_RANGE: Final = timedelta(hours=6)  # longer ones are minutes, of which the past has one sample at most


@cache
def stored() -> dict[str, Window]:
    """By stream: the past in coarse samples, then the present in finer ones."""
    fault = Fault(kind=FaultKind.FAIL_SLOW, begins_at=FAULT_AT, ends_at=ENDS_AT, severity=1.0)
    live_at = FROM_AT - timedelta(minutes=10)
    windows = {}
    for stream in FLEET:
        past = samples(stream, start_at=FROM_AT - timedelta(hours=20), end_at=live_at, interval_s=HISTORY_S)
        own = fault if stream is VICTIM else None
        live = samples(stream, start_at=live_at, end_at=TO_AT, interval_s=LIVE_S, fault=own)
        windows[stream.stream_id] = merge_windows([window_from_samples(past), window_from_samples(live)])
    return windows


def an_alert(kind: str = "fail_slow", *, opened_at: datetime = FAULT_AT, **changes: object) -> Row:
    """What the server says that fired in life."""
    instant = opened_at.isoformat()
    alert: Row = {
        "alert_id": "a1",
        "stream_id": VICTIM.stream_id,
        "peer_group": VICTIM.peer_group,
        "prediction_type": kind,
        "state": "firing",
        "risk_score": 91.0,
        "peak_risk_score": 91.0,
        "opened_at": instant,
        "updated_at": instant,
        "insight_id": "i1",
        "opened_by": "i1",
        "title": "Slow",
        "explanation": "It is slow.",
        "recommendations": [],
        "facts": [],
        "version": 1,
    }
    return alert | changes


class Dashboard:
    """Answers as the server does, and fails on anything but a GET."""

    def __init__(self, *alerts: Row, points_limit: int = 20_000, keeps_samples: bool = True) -> None:
        self._alerts = alerts
        self._points_limit = points_limit
        self._keeps_samples = keeps_samples

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.method == "GET", f"a replay sent {request.method} {request.url}"
        path = request.url.path
        if path.startswith("/alerts/"):
            return httpx.Response(200, json=next(each for each in self._alerts if path.endswith(str(each["alert_id"]))))
        if path.startswith("/streams/"):
            return self._samples(path.split("/")[2], request.url.params)
        listed = {"/streams": [_row(place) for place in range(len(FLEET))], "/alerts": list(self._alerts)}
        return httpx.Response(200, json={"items": listed[path], "cursor": None})

    def _samples(self, stream_id: str, params: httpx.QueryParams) -> httpx.Response:
        from_at, to_at = (datetime.fromisoformat(params[end]) for end in ("from", "to"))
        window = stored()[stream_id].since(to_epoch_ms(from_at)).until(to_epoch_ms(to_at) + 1)
        is_fine = self._keeps_samples and to_at - from_at <= SAMPLES_RANGE
        kept = min(len(window), self._points_limit if is_fine else len(window))
        items = [row_to_dict(window, index) for index in range(kept)]
        return httpx.Response(
            200, json={"items": items, "stored": len(window), "resolution_s": None if is_fine else 60}
        )


def _row(place: int) -> Row:
    stream = FLEET[place]
    return {
        "stream_id": stream.stream_id,
        "peer_group": stream.peer_group,
        "labels": stream.labels,
        "provisioned_iops": stream.provisioned_iops,
        "first_seen_at": "2026-01-01T00:00:00Z",
        "quiet": [],
    }
