"""What insights answers to whoever draws one stream: columns of equal steps, what is usual, and what was said of it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from iops import items
from iops.baseline import Baseline
from iops.clock import Clock, from_epoch_ms, to_epoch_ms
from iops.contract import SAMPLE_AGE_LIMIT_S
from iops.errors import InvalidQuery, NotFound, Unavailable
from iops.evidence import WARM_UP_MS
from iops.gate import Viewer
from iops.insight import PredictionType
from iops.items import Stream
from iops.problems import error_responses
from iops.table import Table
from services.insights.fleet import Fleet
from services.insights.past import Band, peers_of, read_band, read_means
from services.insights.routes import LONGEST_RANGE, YEARS, StreamPath, find_stream
from services.insights.steps import MINUTE_S, STEPS_S, Column, Steps, round_step_s, steps_of, to_lists
from services.insights.story import Episode, RiskStep, read_episodes, read_risk

router = APIRouter(tags=["insights"])

POINTS: Final = 480
LEAST_POINTS, MOST_POINTS = 100, 1_000  # of 90 days the longest step makes 91
DEFAULT_RANGE: Final = timedelta(hours=1)
SAMPLES_RANGE: Final = timedelta(hours=6)
PEERS_RANGE: Final = timedelta(hours=24)  # longer, 12 peers would be seconds of work
SCORED_WITHIN: Final = timedelta(minutes=75)  # a stream that sends is scored hourly
CHARTS_AT_ONCE: Final = 4  # each up to 0.5 s of one core, which scoring has too

USUAL: Final = ("iops", "bytes_s", "await_ms", "queue_depth", "utilization_ratio")


class Quantiles(BaseModel):
    """Of the means of minutes."""

    p10: float
    p50: float
    p90: float


class PeerBand(BaseModel):
    """Of the other streams of the peer group that are of the same kind, whoever's they are: 10 %, median and 90 % of
    each step; null below 3 of them."""

    streams: int = Field(description="that it was made of, at most 12")
    low: dict[str, Column]
    median: dict[str, Column]
    high: dict[str, Column]


class EpisodeView(BaseModel):
    """Some trouble that people were told of, or would have been."""

    model_config = ConfigDict(populate_by_name=True)

    alert_id: str
    prediction_type: PredictionType
    from_: int = Field(alias="from", description="epoch s; that of the chart where it began before")
    to: int | None = Field(description="epoch s; null: it goes on")


class Chart(BaseModel):
    """One stream in equal steps. Instants are epoch seconds; null is a gap; numbers have four digits."""

    model_config = ConfigDict(populate_by_name=True)

    from_: int = Field(alias="from", description="where the first step begins")
    to: int
    step_s: int
    at: list[int] = Field(description="where each step begins")
    series: dict[str, Column] = Field(
        description="means by channel; `iops`, `bytes_s` and `await_ms` are of both directions together"
    )
    maxima: dict[str, Column] = Field(description="the largest sample of a step; null where it has only one")
    baseline: dict[str, Quantiles] | None = Field(
        description="of its last 24 h, minute by minute; null below 3 h of history"
    )
    peers: PeerBand | None = Field(description="null below 3 peers, and for more than 24 h")
    risk: list[RiskStep] = Field(description="from when on, and what; null: not scored")
    episodes: list[EpisodeView]
    provisioned_iops: float | None
    damaged: int = Field(description="stored rows of it that could not be read and are missing here")


@dataclass(frozen=True, slots=True)
class Charts:
    """What the route works with; the lifespan makes it."""

    table: Table
    fleet: Fleet
    clock: Clock
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CHARTS_AT_ONCE))

    async def read(self, stream: Stream, steps: Steps) -> Chart:
        """Raises Unavailable."""
        span = {"from_ms": steps.from_ms, "to_ms": min(steps.to_ms, to_epoch_ms(self.clock()))}
        async with self.slots:
            (means, damaged), band, baseline, risk, episodes = await asyncio.gather(
                read_means(self.table, stream.stream_id, steps),
                self._read_band(stream, steps),
                self.table.get_readable(items.key_of(stream.stream_id, "baseline"), items.item_to_baseline),
                read_risk(self.table, stream.stream_id, **span, step_ms=1_000 * steps.step_s),
                read_episodes(self.table, stream.stream_id, **span),
            )
        return Chart(
            from_=steps.first_s,
            to=steps.first_s + steps.count * steps.step_s,
            step_s=steps.step_s,
            at=steps.at_s,
            series=to_lists(means.columns()),
            maxima=to_lists(means.maxima()),
            baseline=None if baseline is None else _usual(baseline),
            peers=None if band is None else _band_view(band),
            risk=risk,
            episodes=[_episode_view(episode) for episode in episodes],
            provisioned_iops=stream.provisioned_iops,
            damaged=damaged,
        )

    async def _read_band(self, stream: Stream, steps: Steps) -> Band | None:
        if (steps.count - 2) * steps.step_s > PEERS_RANGE.total_seconds():
            return None
        since = from_epoch_ms(steps.from_ms) - SCORED_WITHIN
        return await read_band(self.table, peers_of(stream, self.fleet.streams.values(), since=since), steps)


async def _charts(request: Request) -> Charts:
    charts: Charts = request.app.state.charts
    return charts


TheCharts = Annotated[Charts, Depends(_charts)]


@router.get("/streams/{stream_id}/chart", responses=error_responses(NotFound, Unavailable))
async def get_chart(
    charts: TheCharts,
    caller: Viewer,
    stream_id: StreamPath,
    from_: Annotated[AwareDatetime | None, Query(alias="from", description="an hour before `to` where absent")] = None,
    to: Annotated[AwareDatetime | None, Query(description="now where absent")] = None,
    points: Annotated[int, Query(ge=LEAST_POINTS, le=MOST_POINTS, description="at most, in a round step")] = POINTS,
    step_s: Annotated[int | None, Query(description="the step itself, to go on with a chart")] = None,
) -> Chart:
    """What a chart of a stream shows from `from` to `to`, at most 90 days. Steps below a minute are made of samples,
    longer ones of minutes; what ended before 7 days ago has only minutes. The peers' band is of all of the group,
    also of disks that are not the caller's: it names none of them, and a disk is slow only beside its peers."""
    steps = chart_steps(from_, to, points=points, step_s=step_s, now=charts.clock())
    return await charts.read(await find_stream(charts.table, stream_id, caller), steps)


def chart_steps(
    from_: datetime | None, to: datetime | None, *, points: int = POINTS, step_s: int | None = None, now: datetime
) -> Steps:
    """The steps of a chart. Raises InvalidQuery."""
    end = to or now
    if end.year not in YEARS or (from_ is not None and from_.year not in YEARS):
        raise InvalidQuery(f"from, to: must lie in the years {YEARS.start} to {YEARS.stop - 1}")
    start, end = from_ or end - DEFAULT_RANGE, min(end, now)
    if start >= end or end - start > LONGEST_RANGE:
        raise InvalidQuery("from: must lie before now and `to`, and at most 90 days before it")
    has_samples = end - start <= SAMPLES_RANGE and now - start < timedelta(seconds=SAMPLE_AGE_LIMIT_S)
    least_s = 1 if has_samples else MINUTE_S
    if step_s is None:
        step_s = round_step_s((end - start).total_seconds(), points, least_s=least_s)
    elif step_s not in STEPS_S or step_s < least_s:
        shown = ", ".join(str(step) for step in STEPS_S if step >= least_s)
        raise InvalidQuery(f"step_s: of this range it can be {shown}")
    steps = steps_of(from_s=start.timestamp(), to_s=end.timestamp(), step_s=step_s)
    if steps.count > MOST_POINTS + 1:
        raise InvalidQuery(f"step_s: it makes {steps.count} points, and {MOST_POINTS} is the most")
    return steps


def _usual(baseline: Baseline) -> dict[str, Quantiles] | None:
    if baseline.made_at_ms - baseline.from_ms < WARM_UP_MS:
        return None
    usual = {name: getattr(baseline, name) for name in USUAL}
    return {name: Quantiles(**asdict(each)) for name, each in usual.items() if each is not None}


def _band_view(band: Band) -> PeerBand:
    low, median, high = map(to_lists, (band.low, band.median, band.high))
    return PeerBand(streams=band.streams, low=low, median=median, high=high)


def _episode_view(episode: Episode) -> EpisodeView:
    to = None if episode.to_ms is None else episode.to_ms // 1_000
    kind = episode.prediction_type
    return EpisodeView(alert_id=episode.alert_id, prediction_type=kind, from_=episode.from_ms // 1_000, to=to)
