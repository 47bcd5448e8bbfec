"""The page of one stream: what it did, what is usual for it and its peers, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.responses import HTMLResponse

from iops import items
from iops.clock import from_epoch_ms
from iops.contract import INSIGHT_RISK_SCORE
from iops.errors import NotFound, Unavailable
from iops.insight import Insight
from iops.items import Stream
from iops.table import readable
from services.insights.chart import SCORED_WITHIN, Chart, Charts, TheCharts, chart_steps
from services.insights.fleet import sort_fleet
from services.insights.fleet_routes import TheWatch, Watch
from services.insights.pages.plot import chart_data, pictures
from services.insights.pages.render import error_page, instant, render, retry_later
from services.insights.recent import list_insights_of
from services.insights.routes import StreamPath, find_stream
from services.insights.session.desk import PageViewer

router = APIRouter(include_in_schema=False)

RANGES: Final = {
    "15m": ("15 min", timedelta(minutes=15)),
    "1h": ("1 h", timedelta(hours=1)),
    "6h": ("6 h", timedelta(hours=6)),
    "24h": ("24 h", timedelta(hours=24)),
    "7d": ("7 d", timedelta(days=7)),
    "30d": ("30 d", timedelta(days=30)),
    "90d": ("90 d", timedelta(days=90)),
}
DEFAULT: Final = "1h"
INSIGHTS_SHOWN: Final = 10
LATE: Final = timedelta(minutes=6)  # an agent that samples every 10 s sends every 5 minutes
SPARK_RANGE: Final = timedelta(hours=1)


@router.get("/ui/streams/{stream_id}")
async def show_stream(
    request: Request,
    charts: TheCharts,
    watch: TheWatch,
    caller: PageViewer,
    stream_id: StreamPath,
    range: str = DEFAULT,  # noqa: A002 - as the address spells it
    hx_target: Annotated[str | None, Header()] = None,
) -> HTMLResponse:
    """The whole page; where a script renews its live part, that without the charts, which it renews by itself."""
    chosen = range if range in RANGES else DEFAULT
    try:
        stream = await find_stream(charts.table, stream_id, caller)
        chart, why_unread = (None, None) if hx_target == "live" else await _chart(charts, stream, RANGES[chosen][1])
        rows, _ = await list_insights_of(charts.table, stream_id, limit=INSIGHTS_SHOWN)
        insights = readable(rows, items.item_to_insight)
        about, strip = await _about(stream, watch, insights), await watch.strip(caller)
    except (NotFound, Unavailable) as error:
        return error_page(request, error)
    page = render(
        request,
        "stream.html",
        status=200 if why_unread is None else why_unread.status,  # whoever tries again sees that it was not all
        stream=stream,
        **about,
        outage=strip.outage,
        insights=insights,
        chart=chart,
        why_unread=why_unread,
        pictures=pictures(chart) if chart else [],
        data=chart_data(chart) if chart else "",
        chosen=chosen,
        ranges=RANGES,
        now=watch.clock(),
        at=lambda epoch_s: instant(from_epoch_ms(1_000 * epoch_s)),
    )
    return page if why_unread is None else retry_later(page, why_unread)


async def _chart(charts: Charts, stream: Stream, span: timedelta) -> tuple[Chart | None, Unavailable | None]:
    """That of the last `span`; or why it cannot be read: what was found stands without it."""
    now = charts.clock()
    try:
        return await charts.read(stream, chart_steps(now - span, now, now=now)), None
    except Unavailable as error:
        return None, error


async def _about(stream: Stream, watch: Watch, insights: Sequence[Insight]) -> dict[str, Any]:
    """How it stands now, and what is wrong: the alert that most needs somebody, else what was found last."""
    (seen,) = sort_fleet([stream], watch.fleet.alerts.values())
    sparks = await watch.sparks.of([stream.stream_id])
    spark, is_read = sparks.get(stream.stream_id), stream.stream_id in sparks
    quiet_for = watch.clock() - spark.last_at if spark else SPARK_RANGE
    unscored_for = watch.clock() - (stream.scored_at or watch.clock())
    return {
        "alert": seen.alert,
        "wrong": seen.alert or _newest_of(stream, insights),
        "is_silent": seen.is_silent(spark.last_at if spark else None),
        "alerts": [alert for alert in watch.fleet.alerts.values() if alert.stream_id == stream.stream_id],
        "spark": spark,
        "is_read": is_read,
        "not_scored_s": unscored_for.total_seconds() if unscored_for > SCORED_WITHIN else None,
        "quiet_s": quiet_for.total_seconds() if is_read and quiet_for > LATE else None,
    }


def _newest_of(stream: Stream, insights: Sequence[Insight]) -> Insight | None:
    """The insight of what is found of it now; None where nothing is, or nobody has written of that yet."""
    if (stream.risk_score or 0.0) < INSIGHT_RISK_SCORE:
        return None
    newest = next((each for each in insights if each.insight_id == stream.insight_id), None)
    return newest if newest is not None and newest.prediction_type is stream.prediction_type else None
