"""The door for a person who asks about one stream now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request

from iops import items
from iops.auth import Caller
from iops.clock import Clock, from_epoch_ms, to_epoch_ms
from iops.errors import NotFound, QueueFull
from iops.gate import Operator
from iops.insight import Insight
from iops.problems import error_responses
from iops.request_line import note
from iops.table import Table
from services.insights.explainer import Explainer
from services.insights.improve import reworded
from services.insights.record import worded
from services.insights.routes import StreamPath, find_stream
from services.insights.score import Scorer
from services.insights.tell import Teller
from services.insights.template import explain

router = APIRouter(tags=["insights"])

ANALYSED_AT_ONCE: Final = 32  # at 30 ms each in front of a group's scoring, and a megabyte of memory
DEADLINE_S: Final = 20.0
LEAST_WORDS_S: Final = 2.0  # with less left no model is asked


@dataclass(frozen=True, slots=True)
class Analyst:
    """What the door works with; the lifespan makes it."""

    table: Table
    scorer: Scorer
    teller: Teller
    explainer: Explainer
    clock: Clock
    sets_risk: Callable[[], bool]
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ANALYSED_AT_ONCE))

    async def analyse(self, stream_id: str, caller: Caller) -> Insight:
        """A new insight of the stream as it is now, stored. Raises NotFound, TableUnavailable, and QueueFull where too
        many ask or it took too long."""
        if self.places.locked():
            raise QueueFull(f"{ANALYSED_AT_ONCE} streams are being analysed; ask again in a moment")
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + DEADLINE_S
        try:
            async with self.places, asyncio.timeout_at(deadline_s):
                return await self._analyse(stream_id, caller, lambda: deadline_s - loop.time() - LEAST_WORDS_S)
        except TimeoutError as error:
            raise QueueFull(f"scoring {stream_id!r} took longer than {DEADLINE_S:g} s; ask again") from error

    async def _analyse(self, stream_id: str, caller: Caller, left_s: Callable[[], float]) -> Insight:
        examined = await self.scorer.examine(await find_stream(self.table, stream_id, caller))
        if examined is None:
            raise NotFound(f"{stream_id!r} sent nothing in the last half hour, so there is nothing to analyse")
        now = from_epoch_ms(to_epoch_ms(self.clock()))
        evidence = await self.teller.gather(examined.stream, examined.findings, examined.window, now=now)
        insight = worded(examined.findings[stream_id], evidence, explain(evidence), now=now)
        wording = await self.explainer.explain(evidence, within_s=left_s())
        insight = reworded(insight, wording, sets_risk=self.sets_risk()).model_copy(update={"is_asked_for": True})
        await self.table.put(items.insight_item(insight))
        return insight


async def _analyst(request: Request) -> Analyst:
    analyst: Analyst = request.app.state.analyst
    return analyst


@router.post("/streams/{stream_id}/insight", status_code=201, responses=error_responses(NotFound, QueueFull))
async def analyse_stream(
    request: Request, analyst: Annotated[Analyst, Depends(_analyst)], caller: Operator, stream_id: StreamPath
) -> Insight:
    """Scores a stream as it is now and explains what is found, also where nothing is wrong (`prediction_type` null).
    A language model is asked where one may be, for at most 18 s; else, or if it does not answer, the words are the
    template's and `explainers_asked` says why. Nobody is alerted of it; what is news is told with the next samples."""
    insight = await analyst.analyse(stream_id, caller)
    note(request, insight_id=insight.insight_id, explained_by=insight.explained_by)
    return insight
