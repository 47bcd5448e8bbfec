"""What insights answers: streams, their samples, and insights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from iops import contract, items
from iops.auth import Caller
from iops.clock import Clock, to_epoch_ms
from iops.contract import SAMPLE_AHEAD_LIMIT_S
from iops.errors import DamagedChunk, InvalidQuery, NotFound
from iops.gate import Viewer
from iops.insight import Feedback, Insight, PredictionType
from iops.items import Item, Stream
from iops.problems import error_responses
from iops.rollup import Rollup
from iops.table import Table, read_row, readable
from iops.telemetry import Sample, Window, row_to_dict
from services.insights.hear import read_insight, read_words
from services.insights.history import Span, read_minutes, read_samples
from services.insights.recent import list_insights_of

router = APIRouter(tags=["insights"])

LATEST_READS_AT_ONCE: Final = 16
DEFAULT_RANGE: Final = timedelta(hours=1)
LONGEST_RANGE: Final = timedelta(seconds=contract.ROLLUP_TTL_S)
SAMPLES_RANGE: Final = timedelta(hours=6)  # 10,800 samples at one in 2 s, 27 read units; a week would be 750
YEARS: Final = range(2000, 2200)  # before and after, an instant is a slip and does not fit a key


def _nothing_usd() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Insights:
    """What the routes work with; the lifespan makes it."""

    table: Table
    clock: Clock
    dismissal_quiet: timedelta = timedelta(hours=24)
    llm_daily_usd: Callable[[], float] = _nothing_usd  # the flag, as it is now


async def _insights(request: Request) -> Insights:
    insights: Insights = request.app.state.insights
    return insights


Service = Annotated[Insights, Depends(_insights)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=2_000, description="the `cursor` of the page before")]
StreamPath = Annotated[str, Path(max_length=200)]


class Quiet(BaseModel):
    """A kind of trouble that an operator dismissed: no new insight of it before, unless its risk is 95 or more."""

    prediction_type: PredictionType
    until: datetime


class StreamView(BaseModel):
    """A stream as people and programs see it."""

    stream_id: str
    peer_group: str
    labels: dict[str, str]
    provisioned_iops: float | None
    first_seen_at: datetime
    warming_up: bool
    risk_score: float | None
    prediction_type: PredictionType | None
    scored_at: datetime | None
    insight_id: str | None
    quiet: list[Quiet]
    latest: Sample | None


class StreamPage(BaseModel):
    """Streams, those that changed last first."""

    items: list[StreamView]
    cursor: str | None


class InsightView(Insight):
    """An insight, and what operators said of it."""

    feedback: tuple[Feedback, ...] = Field(description="oldest first; the last one holds")


class InsightPage(BaseModel):
    """Insights, newest first."""

    items: list[Insight]
    cursor: str | None


class Maxima(BaseModel):
    """The largest value of each channel in a minute; null where it was not measured."""

    read_iops: float
    write_iops: float
    read_bytes_s: float
    write_bytes_s: float
    read_await_ms: float | None
    write_await_ms: float | None
    queue_depth: float
    utilization_ratio: float
    in_flight: int
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    io_errors: int | None


class Point(Sample):
    """A sample as it was sent, or a minute as one sample: means, and sums of `interval_s` and `io_errors`."""

    samples: int = Field(default=1, description="how many samples it is made of")
    max: Maxima | None = Field(default=None, description="of the minute's samples; null where this is one sample")


class SamplePage(BaseModel):
    """Samples or minutes, oldest first."""

    items: list[Point]
    stored: int = Field(description="samples or minutes in the range before any were left out")
    resolution_s: Literal[60] | None = Field(description="60: each item is a minute; null: each is a sample as sent")


@router.get("/streams")
async def list_streams(service: Service, caller: Viewer, limit: Limit = 100, cursor: Cursor = None) -> StreamPage:
    """Every stream that is the caller's, with its risk and its latest sample."""
    rows, next_cursor = await service.table.list_page("stream", caller=caller, limit=limit, cursor=cursor)
    slots = asyncio.Semaphore(LATEST_READS_AT_ONCE)

    async def view(stream: Stream) -> StreamView:
        async with slots:
            return await _view(service, stream)

    streams = readable(rows, items.item_to_stream)
    return StreamPage(items=list(await asyncio.gather(*map(view, streams))), cursor=next_cursor)


@router.get("/streams/{stream_id}", responses=error_responses(NotFound))
async def get_stream(service: Service, caller: Viewer, stream_id: StreamPath) -> StreamView:
    """One stream; 404 where nothing was ever received from it."""
    return await _view(service, await find_stream(service.table, stream_id, caller))


@router.get("/streams/{stream_id}/samples", responses=error_responses(NotFound))
async def get_samples(
    service: Service,
    caller: Viewer,
    stream_id: StreamPath,
    from_: Annotated[AwareDatetime | None, Query(alias="from", description="an hour before `to` where absent")] = None,
    to: Annotated[AwareDatetime | None, Query(description="whatever is newest where absent")] = None,
    max_points: Annotated[int, Query(ge=1, le=20_000)] = 2_000,
) -> SamplePage:
    """A stream's samples from `from` to `to`, both included, at most 90 days. Up to 6 hours of the last 7 days are
    answered with the samples as they were sent (`resolution_s` null), anything else with minutes (`resolution_s` 60).
    Of more than `max_points`, the slowest of each of as many equal parts of the range are kept, so that no extreme is
    lost; of minutes, the one with the slowest sample."""
    end = to or service.clock() + timedelta(seconds=SAMPLE_AHEAD_LIMIT_S)
    if end.year not in YEARS:
        raise InvalidQuery(f"to: must lie in the years {YEARS.start} to {YEARS.stop - 1}")
    start = from_ or end - DEFAULT_RANGE
    length = (to or service.clock()) - start
    if start > end or length > LONGEST_RANGE:
        raise InvalidQuery("from: must lie before `to`, and at most 90 days before it")
    await find_stream(service.table, stream_id, caller)
    span = Span(from_ms=to_epoch_ms(start), to_ms=to_epoch_ms(end), points=max_points)
    has_chunks = service.clock() - start < timedelta(seconds=contract.SAMPLE_AGE_LIMIT_S)
    if length <= SAMPLES_RANGE and has_chunks:
        window, stored = await read_samples(service.table, stream_id, span)
        points = [_point(window, index) for index in range(len(window))]
        return SamplePage(items=points, stored=stored, resolution_s=None)
    minutes, stored = await read_minutes(service.table, stream_id, span)
    points = [_minute(minutes, index) for index in range(len(minutes))]
    return SamplePage(items=points, stored=stored, resolution_s=60)


@router.get("/insights/recent")
async def list_insights(
    service: Service,
    caller: Viewer,
    limit: Limit = 50,
    cursor: Cursor = None,
    min_risk: Annotated[float, Query(ge=0, le=100)] = 0,
    stream_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> InsightPage:
    """Insights of all streams that are the caller's, or of one of them, newest first. Their evidence names disks of the
    same peer group, whoever's they are: without them it proves nothing. A rare match may leave a page short or empty,
    with a cursor."""
    where = ("risk_score >= :min", {":min": {"N": f"{min_risk:.3f}"}}) if min_risk else None
    if stream_id is not None:
        if not caller.may_see(stream_id):
            return InsightPage(items=[], cursor=None)
        found = await list_insights_of(service.table, stream_id, limit=limit, cursor=cursor, min_risk=min_risk)
    else:
        found = await service.table.list_page("insight", caller=caller, limit=limit, cursor=cursor, where=where)
    rows, next_cursor = found
    return InsightPage(items=readable(rows, items.item_to_insight), cursor=next_cursor)


@router.get("/insights/{insight_id}", responses=error_responses(NotFound))
async def get_insight(service: Service, caller: Viewer, insight_id: Annotated[str, Path(max_length=64)]) -> InsightView:
    """One insight with what was said of it."""
    insight = await read_insight(service.table, insight_id, caller)
    words = await read_words(service.table, insight_id)
    return InsightView(**dict(insight), feedback=tuple(word.feedback for word in words))


async def find_stream(table: Table, stream_id: str, caller: Caller) -> Stream:
    """A stream's row; raises NotFound where nothing was ever received from it, or it is not the caller's,
    and DamagedRow."""
    row = await table.get_own(items.key_of(stream_id, "stream"), caller)
    if row is None:
        raise NotFound(f"nothing was ever received from a stream {stream_id!r}")
    return read_row(row, items.item_to_stream)


async def _view(service: Insights, stream: Stream) -> StreamView:
    now = service.clock()
    quiet = [Quiet(prediction_type=kind, until=at) for kind, at in stream.quiet_until.items() if now < at]
    rows = await service.table.query_page(items.newest_chunk_query(stream.stream_id))
    return StreamView(
        stream_id=stream.stream_id,
        peer_group=stream.peer_group,
        labels=dict(stream.labels),
        provisioned_iops=stream.provisioned_iops,
        first_seen_at=stream.first_seen_at,
        warming_up=stream.is_warming_up,
        risk_score=stream.risk_score,
        prediction_type=stream.prediction_type,
        scored_at=stream.scored_at,
        insight_id=stream.insight_id,
        quiet=quiet,
        latest=_latest(rows[0]),
    )


def _latest(rows: list[Item]) -> Sample | None:
    """The newest sample of the newest chunk. A damaged chunk must not hide the stream: the scorer reports it."""
    try:
        window = items.item_to_window(rows[0]) if rows else None
    except DamagedChunk:
        return None
    return _sample(window, -1) if window else None


def _sample(window: Window, index: int) -> Sample:
    return Sample.model_validate(row_to_dict(window, index), strict=False)


def _point(window: Window, index: int) -> Point:
    return Point.model_validate(row_to_dict(window, index), strict=False)


def _minute(minutes: Rollup, index: int) -> Point:
    largest = row_to_dict(minutes.maximum, index)
    counted = {"samples": minutes.count["interval_s"][index], "max": Maxima.model_validate(largest)}
    return Point.model_validate(row_to_dict(minutes.mean, index) | counted, strict=False)
