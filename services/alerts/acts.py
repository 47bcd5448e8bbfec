"""What a person does about one alert: acknowledge, silence or resolve it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from iops import items
from iops.alert import Alert
from iops.audit import Deed, DeedKind
from iops.auth import Caller
from iops.body import OptionalWords, body_schema, read_body
from iops.errors import BodyTooLarge, Conflict, InvalidInput, NotFound, SlowBody, TableUnavailable
from iops.gate import Operator
from iops.items import Item
from iops.problems import error_responses
from iops.request_line import note
from iops.story import read_alert, unknown
from iops.table import Table
from iops.witness import deed_of
from services.alerts import episode
from services.alerts.docket import Docket
from services.alerts.episode import Step, Wish
from services.alerts.routes import AlertId, Alerts, Service
from services.alerts.span import SpanBody

log = structlog.get_logger()
router = APIRouter(tags=["alerts"])

ATTEMPTS: Final = 5  # where the scorer, time or another person changes it at the same instant
LONGEST_WAIT_S: Final = 0.05
ERRORS: Final = error_responses(NotFound, SlowBody, Conflict, BodyTooLarge, InvalidInput, TableUnavailable)

Decide = Callable[[Alert, datetime], Step | None]
Witness = Callable[[Alert, datetime], Deed]  # of the alert as it was before


class ReasonBody(BaseModel):
    """Why, in a person's own words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: OptionalWords = Field(default=None, description="why, for a person")


@router.post(
    "/alerts/{alert_id}/acknowledge", responses=ERRORS, openapi_extra=body_schema(ReasonBody, is_required=False)
)
async def acknowledge_alert(request: Request, service: Service, caller: Operator, alert_id: AlertId) -> Alert:
    """Says that somebody is at it: no reminders. Twice is once; what is resolved is a 422."""
    body, by = await read_body(request, ReasonBody, or_none=True), caller.name
    await read_alert(service.table, alert_id, caller)  # NotFound where it is not theirs
    note(request, deed="acknowledge", alert_id=alert_id, by=by)
    return await act(
        service,
        alert_id,
        lambda alert, now: episode.acknowledge(alert, by=by, reason=body.reason, now=now),
        witness=_witness(request, caller, DeedKind.ALERT_ACKNOWLEDGED, reason=body.reason),
    )


@router.post("/alerts/{alert_id}/silence", responses=ERRORS, openapi_extra=body_schema(SpanBody))
async def silence_alert(request: Request, service: Service, caller: Operator, alert_id: AlertId) -> Alert:
    """Nobody wants to hear of it until then; where it still fires then, people are reminded. A silence that is as long
    already stays; what is resolved is a 422."""
    body, by = await read_body(request, SpanBody), caller.name
    until = body.span(service.clock()).ends_at
    await read_alert(service.table, alert_id, caller)  # NotFound where it is not theirs
    note(request, deed="silence", alert_id=alert_id, by=by, until=until.isoformat())
    return await act(
        service,
        alert_id,
        lambda alert, now: episode.silence(alert, until=until, by=by, reason=body.reason, now=now),
        witness=_witness(request, caller, DeedKind.ALERT_SILENCED, reason=body.reason, until=until.isoformat()),
    )


@router.post("/alerts/{alert_id}/resolve", responses=ERRORS, openapi_extra=body_schema(ReasonBody, is_required=False))
async def resolve_alert(request: Request, service: Service, caller: Operator, alert_id: AlertId) -> Alert:
    """Says that it is over. Twice is once. Where the trouble is still found, it opens again after two more scorings,
    and people are told of it again, at most every 30 minutes."""
    body, by = await read_body(request, ReasonBody, or_none=True), caller.name
    await read_alert(service.table, alert_id, caller)  # NotFound where it is not theirs
    note(request, deed="resolve", alert_id=alert_id, by=by)
    return await act(
        service,
        alert_id,
        lambda alert, now: episode.resolve(alert, by=by, reason=body.reason, now=now),
        witness=_witness(request, caller, DeedKind.ALERT_RESOLVED, reason=body.reason),
    )


def _witness(request: Request, caller: Caller, kind: DeedKind, **said: str | None) -> Witness:
    def tell(alert: Alert, now: datetime) -> Deed:
        told = {"stream_id": alert.stream_id, "prediction_type": alert.prediction_type, "was": alert.state, **said}
        return deed_of(request, caller, kind, about=alert.alert_id, now=now, detail=told)

    return tell


async def _forgets(table: Table, step: Step) -> list[Item]:
    """The scorer writes of a disk only what is news: it must not take for told what a person has ended."""
    row = await table.get(items.key_of(step.alert.stream_id, "stream")) if step.wish is Wish.END else None
    return [{"Update": items.stream_forget_update(items.item_to_stream(row))}] if row else []


async def act(service: Alerts, alert_id: str, decide: Decide, *, witness: Witness | None = None) -> Alert:
    """The alert after what `decide` says of it, in one transaction; as it is where that is nothing.

    `witness` says what the audit is to hold of it; None where that holds a silence of many instead.
    Raises NotFound, what `decide` raises, TableUnavailable, and Conflict where others kept changing it.
    """

    async def once() -> Alert:
        docket = Docket(service.table, service.targets, now=service.clock())
        alert = await docket.alert(alert_id)
        if alert is None:
            raise unknown(alert_id)
        step = decide(alert, docket.now)
        if step is None:
            return alert
        await docket.take(step)
        audit: list[Item] = [{"Put": items.deed_put(witness(alert, docket.now))}] if witness else []
        await docket.commit(*await _forgets(service.table, step), *audit)
        for change in docket.changes:
            log.info("episode_changed", **change.model_dump(mode="json", exclude_none=True))
        return await docket.alert(alert_id) or alert

    return await AsyncRetrying(
        retry=retry_if_exception_type(Conflict),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random(0, LONGEST_WAIT_S),
        reraise=True,
    )(once)
