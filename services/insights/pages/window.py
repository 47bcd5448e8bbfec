"""The chart of a time that is told of: what a stream did then."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from iops.auth import Caller
from iops.errors import DamagedRow, InvalidQuery, NotFound, Unavailable
from services.insights.chart import Chart, Charts, chart_steps
from services.insights.routes import find_stream

USUAL_HOLDS: Final = timedelta(hours=24)


async def read_chart(
    charts: Charts, stream_id: str, caller: Caller, *, from_at: datetime, to_at: datetime
) -> Chart | None:
    """What the disk did in exactly that time; None where nothing of it can be shown: words stand."""
    now = charts.clock()
    try:
        stream = await find_stream(charts.table, stream_id, caller)
        chart = await charts.read(stream, chart_steps(from_at, to_at, now=now))
    # A host has no samples; a clock that was ahead makes no window; a newer program may have written the stream.
    except (NotFound, InvalidQuery, Unavailable, DamagedRow):
        return None
    if all(value is None for value in chart.series["iops"]):
        return None
    # What is usual is known of now only, which is another disk than that of last week.
    return chart if now - to_at < USUAL_HOLDS else chart.model_copy(update={"baseline": None})
