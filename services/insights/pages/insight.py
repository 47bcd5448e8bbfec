"""The page of one insight: what was found, what to do, what proves it, who said so, and what people said of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from iops import items
from iops.alert import Alert, alert_id_of
from iops.auth import Caller
from iops.contract import INSIGHT_RISK_SCORE
from iops.errors import DamagedRow, InvalidQuery, IopsError, NotFound, Unavailable
from iops.insight import DISK_TROUBLES, Insight
from iops.table import Table
from services.insights.chart import Chart, Charts, TheCharts, chart_steps
from services.insights.hear import read_insight, read_words
from services.insights.pages.plot import PLOTS, chart_data, pictures
from services.insights.pages.render import error_page, render
from services.insights.routes import Service, find_stream
from services.insights.session.desk import PageViewer

router = APIRouter(include_in_schema=False)

SHOWN: Final = tuple(plot for plot in PLOTS if plot.name in ("latency", "iops", "queue", "busy"))
USUAL_HOLDS: Final = timedelta(hours=24)


@router.get("/ui/insights/{insight_id}")
async def show_insight(
    request: Request,
    service: Service,
    charts: TheCharts,
    caller: PageViewer,
    insight_id: Annotated[str, Path(max_length=64)],
) -> HTMLResponse:
    """One insight with the chart of its window, and what was said of it."""
    try:
        insight = await read_insight(service.table, insight_id, caller)
        words = await read_words(service.table, insight_id)
        chart = await _read_chart(charts, insight, caller)
        alert = await _alert_of(service.table, insight)
    except IopsError as error:
        return error_page(request, error)
    return render(
        request,
        "insight.html",
        insight=insight,
        words=[word.feedback for word in words],
        chart=chart,
        pictures=pictures(chart, SHOWN) if chart else [],
        data=chart_data(chart, SHOWN) if chart else "",
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


async def _read_chart(charts: Charts, insight: Insight, caller: Caller) -> Chart | None:
    """What the disk did in exactly the window that was judged; None where nothing of it can be shown: words stand."""
    now = charts.clock()
    try:
        stream = await find_stream(charts.table, insight.stream_id, caller)
        chart = await charts.read(stream, chart_steps(insight.window_from, insight.window_to, now=now))
    # A host has no samples; a clock that was ahead makes no window; a newer program may have written the stream.
    except (NotFound, InvalidQuery, Unavailable, DamagedRow):
        return None
    if all(value is None for value in chart.series["iops"]):
        return None
    # What is usual is known of now only, which is another disk than that of last week.
    return chart if now - insight.window_to < USUAL_HOLDS else chart.model_copy(update={"baseline": None})
