"""The page of one insight: what was found, what to do, what proves it, who said so, and what people said of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from iops import contract, items
from iops.alert import Alert, alert_id_of
from iops.clock import Clock, to_epoch_ms
from iops.contract import INSIGHT_RISK_SCORE
from iops.errors import DamagedChunk, IopsError
from iops.insight import DISK_TROUBLES, Insight
from iops.table import Table
from iops.telemetry import Window
from services.insights.hear import read_insight, read_words
from services.insights.history import Span, read_minutes, read_samples
from services.insights.pages.figure import POINTS, Figure, Point, draw
from services.insights.pages.render import error_page, render
from services.insights.routes import Service
from services.insights.session.desk import PageViewer

router = APIRouter(include_in_schema=False)


@router.get("/ui/insights/{insight_id}")
async def show_insight(
    request: Request,
    service: Service,
    caller: PageViewer,
    insight_id: Annotated[str, Path(max_length=64)],
) -> HTMLResponse:
    """One insight with the chart of its window, and what was said of it."""
    try:
        insight = await read_insight(service.table, insight_id, caller)
        words = await read_words(service.table, insight_id)
        window = await _read_window(service.table, insight, service.clock)
        alert = await _alert_of(service.table, insight)
    except IopsError as error:
        return error_page(request, error)
    return render(
        request,
        "insight.html",
        insight=insight,
        words=[word.feedback for word in words],
        figures=list(_figures(insight, window)),
        alert=alert,
        takes_feedback=insight.risk_score >= INSIGHT_RISK_SCORE or insight.is_asked_for,
        kinds=[kind for kind in DISK_TROUBLES if kind is not insight.prediction_type],
        now=service.clock(),
    )


async def _alert_of(table: Table, insight: Insight) -> Alert | None:
    """The stream's alert of this type, which may be of another time; None where there is none."""
    if insight.prediction_type is None:
        return None
    alert_id = alert_id_of(insight.stream_id, insight.prediction_type)
    return await table.get_readable(items.key_of(f"alert#{alert_id}", "alert"), items.item_to_alert)


async def _read_window(table: Table, insight: Insight, clock: Clock) -> Window | None:
    """What the disk did in exactly the window that was judged; None where that is damaged: the words still stand."""
    span = Span(to_epoch_ms(insight.window_from), to_epoch_ms(insight.window_to), POINTS)
    has_chunks = (clock() - insight.window_from).total_seconds() < contract.SAMPLE_AGE_LIMIT_S
    try:
        if has_chunks:
            return (await read_samples(table, insight.stream_id, span))[0]
        return (await read_minutes(table, insight.stream_id, span))[0].mean
    except DamagedChunk:
        return None


def _figures(insight: Insight, window: Window | None) -> Iterator[Figure]:
    if window is None:
        return
    usual = {fact.name: fact.baseline for fact in insight.facts}
    awaits = [
        _slower(read, write) for read, write in zip(window["read_await_ms"], window["write_await_ms"], strict=True)
    ]
    iops = [read + write for read, write in zip(window["read_iops"], window["write_iops"], strict=True)]
    for name, title, unit, values in (
        ("await_ms", "Latency, the slower of reads and writes", "ms", awaits),
        ("iops", "IOPS", "/s", iops),
        ("queue_depth", "Queue depth", "requests", window["queue_depth"]),
    ):
        columns = zip(window.at_ms, window["interval_s"], values, strict=True)
        points = [Point(at_ms / 1000, interval_s, value) for at_ms, interval_s, value in columns]
        span = insight.window_from.timestamp(), insight.window_to.timestamp()
        if figure := draw(title, unit, points, span=span, usual=usual.get(name)):
            yield figure


def _slower(read_ms: float, write_ms: float) -> float:
    """NaN stands where nothing completed.

    >>> _slower(0.5, math.nan), _slower(math.nan, math.nan)
    (0.5, nan)
    """
    return write_ms if math.isnan(read_ms) else read_ms if math.isnan(write_ms) else max(read_ms, write_ms)
