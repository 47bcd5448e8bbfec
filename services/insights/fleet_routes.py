"""What insights answers of the whole fleet: the streams, the worst first, and what changes as it changes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from iops.alert import AlertState
from iops.auth import Caller, Role
from iops.baseline import Summary
from iops.clock import Clock
from iops.errors import Forbidden, RateExceeded, Unauthenticated, Unavailable
from iops.gate import Viewer, gate_of
from iops.insight import PredictionType
from iops.problems import error_responses
from services.insights.fleet import Fleet, Seen, State, Wanted
from services.insights.sparks import MINUTES, Spark, Sparks
from services.insights.strip import StripNumbers

router = APIRouter(tags=["fleet"])

PAGE_ROWS: Final = 50
TICK_S: Final = 5.0  # a browser that hears nothing for longer says so
LOOK_S: Final = 0.5
LISTEN_S: Final = 50.0  # then a browser comes again: balancers end what is long
AGAIN_MS: Final = 1_000
LISTENERS: Final = 64  # at once in a process; half of the connections that the laptop's gateway has to a service
LISTENERS_EACH: Final = LISTENERS // 2  # of one key or person: a wall of screens often shares one
NAMED: Final = 100  # of what changed; of more it is only said that much did


@dataclass(slots=True)
class Watch:
    """What the routes work with; the lifespan makes it."""

    fleet: Fleet
    sparks: Sparks
    clock: Clock
    strip: Callable[[Caller], Awaitable[StripNumbers]]
    _listeners: Counter[str] = field(default_factory=Counter, init=False)  # by name of the caller

    def age_s(self) -> float:
        """How old what the fleet shows is. Raises Unavailable where it is not read yet."""
        return round(max(0.0, (self.clock() - self.fleet.read_at).total_seconds()), 1)

    @asynccontextmanager
    async def a_seat(self, caller: Caller) -> AsyncIterator[None]:
        """For one who listens. Raises RateExceeded where they have enough seats, Unavailable where none is left."""
        instead = "ask for /fleet every few seconds instead"
        if self._listeners[caller.name] >= LISTENERS_EACH:
            raise RateExceeded(f"{caller.name} listens {LISTENERS_EACH} times already; {instead}", retry_after_s=30)
        if self._listeners.total() >= LISTENERS:
            raise Unavailable(f"{LISTENERS} listen already; {instead}", retry_after_s=30)
        self._listeners[caller.name] += 1
        try:
            yield
        finally:
            self._listeners -= Counter((caller.name,))  # keeps no name at 0


class AlertBrief(BaseModel):
    """The alert of a stream that most needs somebody."""

    alert_id: str
    state: AlertState
    prediction_type: PredictionType
    risk_score: float
    opened_at: datetime


class Latest(BaseModel):
    """Means of the newest half minute; null where nothing completed."""

    iops: float
    bytes_s: float
    await_ms: float | None
    queue_depth: float
    utilization_ratio: float


class FleetRow(BaseModel):
    """One stream."""

    stream_id: str
    peer_group: str
    labels: dict[str, str]
    provisioned_iops: float | None
    risk_score: float | None
    prediction_type: PredictionType | None
    scored_at: datetime | None
    insight_id: str | None
    warming_up: bool
    silent: bool = Field(
        description="its agent sends nothing, and people were told; not where most are silent at once: see `outage`"
    )
    alert: AlertBrief | None
    last_at: datetime | None = Field(
        description="its newest sample, of the last hour; null also where `is_read` is not"
    )
    latest: Latest | None
    spark: list[float | None] | None = Field(
        description=f"mean await in ms of each of the last {MINUTES} minutes, the newest last; null where there is none"
    )
    is_read: bool = Field(
        description="false: `last_at`, `latest` and `spark` are being read and come with the next look"
    )


class FleetPage(BaseModel):
    """Streams, the worst first: by risk, of equal ones those with an alert."""

    items: list[FleetRow]
    total: int = Field(description="streams that were asked for")
    page: int
    pages: int
    counts: dict[str, int] = Field(description="of all streams of the caller: streams, alerts, and each `state`")
    peer_groups: list[str]
    strip: StripNumbers = Field(
        description="the whole system; null is what cannot be known, is of all streams, or an `outage` there is none of"
    )
    read_at: datetime = Field(description="as of when this is")


async def _watch(request: Request) -> Watch:
    watch: Watch = request.app.state.watch
    return watch


async def _wanted(
    text: Annotated[str, Query(max_length=200, description="in the stream's id, or in a label as name=value")] = "",
    peer_group: Annotated[str, Query(max_length=200)] = "",
    min_risk: Annotated[float, Query(ge=0, le=100)] = 0,
    state: State | None = None,
) -> Wanted:
    return Wanted(text, peer_group, min_risk, state)


TheWatch = Annotated[Watch, Depends(_watch)]


async def _seat(watch: TheWatch, caller: Viewer) -> AsyncIterator[None]:
    watch.age_s()  # there is no telling what changed before the fleet is read, and no error in the middle of events
    async with watch.a_seat(caller):
        yield


Asked = Annotated[Wanted, Depends(_wanted)]
PageNumber = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/fleet", responses=error_responses(Unavailable))
async def get_fleet(
    watch: TheWatch,
    caller: Viewer,
    wanted: Asked,
    page: PageNumber = 1,
    limit: Annotated[int, Query(ge=1, le=200)] = PAGE_ROWS,
) -> FleetPage:
    """The caller's streams, the worst first, a page of them, at most some seconds old (`read_at`)."""
    return await read_fleet(watch, caller, wanted, page=page, limit=limit)


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses=error_responses(Unavailable, RateExceeded),
)
async def listen(
    request: Request, watch: TheWatch, caller: Viewer, _: Annotated[None, Depends(_seat)]
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `streams` and `alerts` with the ids of the caller's that changed (null: many did), `tick`
    every 5 s with how many seconds old that is. It ends after 50 s, or with the key; whoever listens comes again."""
    stopping: asyncio.Event = request.app.stopping
    yield ServerSentEvent(event="tick", data=watch.age_s(), retry=AGAIN_MS)
    seen, began_s = watch.fleet.version, time.monotonic()
    ticked_s = began_s
    while (now_s := time.monotonic()) - began_s < LISTEN_S and not stopping.is_set():
        if (version := watch.fleet.version) != seen:
            for event in _changes(watch.fleet, seen, caller):
                yield event
            seen = version
        if now_s - ticked_s >= TICK_S:
            if not await _is_let_in(request):
                return
            ticked_s = now_s
            yield ServerSentEvent(event="tick", data=watch.age_s())
        await asyncio.sleep(LOOK_S)


async def _is_let_in(request: Request) -> bool:
    """Whether the key still holds; where that cannot be told nothing has ended it."""
    try:
        await gate_of(request).admit(request.scope, Role.VIEWER)
    except (Unauthenticated, Forbidden):
        return False
    except Unavailable:
        pass
    return True


async def read_fleet(watch: Watch, caller: Caller, wanted: Wanted, *, page: int, limit: int = PAGE_ROWS) -> FleetPage:
    """A page of the fleet; of one that is beyond the last, the last. Raises Unavailable."""
    view = watch.fleet.view(wanted, caller)
    pages = max(1, ceil(len(view.found) / limit))
    page = min(page, pages)
    rows = view.found[(page - 1) * limit : page * limit]
    sparks = await watch.sparks.of([seen.stream.stream_id for seen in rows])
    return FleetPage(
        items=[_row(seen, sparks) for seen in rows],
        total=len(view.found),
        page=page,
        pages=pages,
        counts=dict(view.counts),
        peer_groups=list(view.peer_groups),
        strip=await watch.strip(caller),
        read_at=watch.fleet.read_at,
    )


def _changes(fleet: Fleet, seen: tuple[int, int], caller: Caller) -> list[ServerSentEvent]:
    streams, alerts = fleet.changed_since(seen)
    own_streams = streams if streams is None else [name for name in streams if caller.may_see(name)]
    own_alerts = alerts if alerts is None else _own_alerts(fleet, alerts, caller)
    return [
        ServerSentEvent(event=event, data=None if names is None or len(names) > NAMED else names)
        for event, names in (("streams", own_streams), ("alerts", own_alerts))
        if names is None or names
    ]


def _own_alerts(fleet: Fleet, names: list[str], caller: Caller) -> list[str] | None:
    """One that has ended is not in memory any more, so whose it was is not known: who sees some is told no name."""
    if caller.sees_all:
        return names
    if any(name not in fleet.alerts for name in names):
        return None
    return [name for name in names if caller.may_see(fleet.alerts[name].stream_id)]


def _row(seen: Seen, sparks: dict[str, Spark | None]) -> FleetRow:
    stream, spark = seen.stream, sparks.get(seen.stream.stream_id)
    return FleetRow(
        stream_id=stream.stream_id,
        peer_group=stream.peer_group,
        labels=dict(stream.labels),
        provisioned_iops=stream.provisioned_iops,
        risk_score=stream.risk_score,
        prediction_type=stream.prediction_type,
        scored_at=stream.scored_at,
        insight_id=stream.insight_id,
        warming_up=stream.is_warming_up,
        silent=seen.is_silent(spark.last_at if spark else None),
        alert=AlertBrief(**seen.alert.model_dump(include=BRIEF)) if seen.alert else None,
        last_at=spark.last_at if spark else None,
        latest=_latest(spark.latest) if spark else None,
        spark=list(spark.await_ms) if spark else None,
        is_read=stream.stream_id in sparks,
    )


BRIEF: Final = set(AlertBrief.model_fields)


def _latest(summary: Summary) -> Latest:
    return Latest(
        iops=summary.iops,
        bytes_s=summary.bytes_s,
        await_ms=summary.await_ms,
        queue_depth=summary.queue_depth,
        utilization_ratio=summary.utilization_ratio,
    )
