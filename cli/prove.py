"""Proves that people would be told: one synthetic fault goes in as a POST and has to come out as a delivered alert."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final
from urllib.parse import quote

from cli.body import pack_bodies
from cli.outcome import Outcome, Refused
from cli.screen import plain, print_json, print_line
from cli.server import Row, Server
from iops.telemetry import Batch, Sample

ERRORS: Final = 3  # of I/O: a hard rule, so one scoring is enough
DELIVERED_LIMIT_S: Final = 90.0  # 2 s of work; ingest asks for a group's scoring at most once in 10 s
POLL_S: Final = 0.5
REASON: Final = "synthetic fault of `iops doctor --alert`"


async def prove_alert(
    server: Server,
    now: datetime,
    *,
    as_json: bool,
    limit_s: float = DELIVERED_LIMIT_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Outcome:
    """Sends the fault, waits for its alert to be delivered, resolves it. Raises Refused where that does not come.

    It is a stream and a peer group of its own each second of a day: what was told is not told again for 30 minutes.
    """
    stream_id = f"iops-doctor-{now:%H%M%S}:proof"
    sent_s = time.monotonic()
    for body in pack_bodies([_fault(stream_id, now)]):
        await server.post_gzip("/metrics", body.packed)
    alert = await _delivered(server, stream_id, now, limit_s=limit_s, sleep=sleep)
    took_s = round(time.monotonic() - sent_s, 1)
    alert_id = quote(str(alert.get("alert_id")), safe="")
    await server.post_json(f"/alerts/{alert_id}/resolve", {"reason": REASON})
    if as_json:
        print_json({"stream_id": stream_id, "alert_id": alert_id, "delivered_s": took_s, "title": alert.get("title")})
    else:
        print_line(f"POST -> alert {alert_id} delivered to the bus in {took_s:g} s, and resolved")
        print_line(f"Look for two mails about {stream_id}: {plain(alert.get('title'))!r}, and that it is over")
    return Outcome.OK


def _fault(stream_id: str, now: datetime) -> Batch:
    sample = Sample(
        at=now,
        interval_s=1.0,
        read_iops=1.0,
        write_iops=1.0,
        read_bytes_s=4096.0,
        write_bytes_s=4096.0,
        queue_depth=0.01,
        utilization_ratio=0.01,
        in_flight=0,
        io_errors=ERRORS,
    )
    return Batch(stream_id=stream_id, labels={"source": "simulated"}, samples=(sample,))


async def _delivered(
    server: Server, stream_id: str, now: datetime, *, limit_s: float, sleep: Callable[[float], Awaitable[None]]
) -> Row:
    """The alert once everybody has it."""
    waited_s, stage = 0.0, "no alert opened: is insights scoring, and does the scoring queue move?"
    while waited_s <= limit_s:
        alert = await _opened(server, stream_id)
        if alert is not None:
            waiting = _waiting_for(alert, since=now)
            if waiting == []:
                return alert
            stage = f"alert {plain(alert.get('alert_id'))} opened; not delivered to {', '.join(waiting or ['anybody'])}"
        await sleep(POLL_S)
        waited_s += POLL_S
    raise Refused(
        f"{stream_id} was accepted, and {limit_s:g} s later {stage}. docs/troubleshooting.md goes on from here"
    )


async def _opened(server: Server, stream_id: str) -> Row | None:
    listed = await server.read_items("/alerts", limit=1, stream_id=stream_id)
    return await server.read(f"/alerts/{quote(str(listed[0].get('alert_id')), safe='')}") if listed else None


def _waiting_for(alert: Row, *, since: datetime) -> list[str] | None:
    """Who has not got it; None where nobody has been told since."""
    page, told_at = alert.get("page"), alert.get("told_at")
    if not isinstance(page, dict) or not isinstance(told_at, str) or datetime.fromisoformat(told_at) < since:
        return None
    waiting = page.get("waiting_for")
    return [plain(each) for each in waiting] if isinstance(waiting, list) else None
