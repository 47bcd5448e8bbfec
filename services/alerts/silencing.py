"""Silences of a stream, a peer group or a prediction type: make them, list them, end them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, Field, field_validator, model_validator
from ulid import ULID

from iops import items
from iops.alert import Silence, SilenceScope
from iops.audit import Deed, DeedKind
from iops.auth import Caller
from iops.body import body_schema, harmless, read_body
from iops.clock import to_epoch_ms
from iops.errors import BodyTooLarge, Conflict, Forbidden, InvalidInput, NotFound, Problem, SlowBody, TableUnavailable
from iops.gate import Operator, Viewer
from iops.insight import PredictionType
from iops.problems import error_responses
from iops.request_line import note
from iops.witness import deed_of
from services.alerts.quieten import Outcome, quieten, read_loud, read_quiet, wake
from services.alerts.routes import Alerts, Cursor, Limit, Service
from services.alerts.silences import read_silence
from services.alerts.span import SpanBody

router = APIRouter(tags=["alerts"])

SILENCES_LIMIT: Final = 500  # that have not ended: each replica reads all of them every 5 s
NAME_LIMIT: Final = 200  # characters


class SilenceBody(SpanBody):
    """What is silenced, for how long, and why."""

    scope: SilenceScope
    value: str = Field(max_length=NAME_LIMIT, description="a stream id, a peer group, or a prediction type")
    begins_at: AwareDatetime | None = Field(default=None, description="now, where it is absent or past")

    @field_validator("value")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not value or harmless(value) != value:
            raise ValueError("must be a name as the lists show it")
        return value

    @model_validator(mode="after")
    def _is_a_known_type(self) -> SilenceBody:
        if self.scope is SilenceScope.PREDICTION_TYPE and self.value not in list(PredictionType):
            raise ValueError(f"value must be one of {', '.join(PredictionType)}")
        return self


class SilencePage(BaseModel):
    """Silences, those that end last first."""

    items: list[Silence]
    cursor: str | None


class SilenceView(Silence):
    """A silence, and what became of the alerts it matches."""

    alerts_changed: int = Field(description="active alerts that were silenced, or fire again")
    alerts_missed: int = Field(
        description="active alerts that could not be changed in time: silence them one by one, or end it again"
    )


@router.post(
    "/alerts/silences",
    status_code=201,
    responses=error_responses(Forbidden, SlowBody, BodyTooLarge, InvalidInput, TableUnavailable),
    openapi_extra=body_schema(SilenceBody),
)
async def make_silence(request: Request, service: Service, caller: Operator) -> SilenceView:
    """Nobody hears of what it matches until it ends. Alerts that fire are silenced with it if it begins now, and
    not if it begins later; those that somebody acknowledged stay as they are. It holds everywhere within 5 s. Who
    sees some streams only may silence these, and groups whose names are theirs."""
    body = await read_body(request, SilenceBody)
    _check_theirs(caller, body)
    span = body.span(service.clock(), begins_at=body.begins_at)
    await _refuse_too_many(service)
    silence = Silence(
        silence_id=str(ULID.from_datetime(service.clock())),
        scope=body.scope,
        value=body.value,
        begins_at=span.begins_at,
        ends_at=span.ends_at,
        reason=body.reason,
        created_by=caller.name,
    )
    alerts = await read_loud(service, silence)  # before it is stored: a table that is away leaves nothing half done
    deed = _deed((request, caller, service.clock()), DeedKind.SILENCE_MADE, silence, alerts_to_silence=len(alerts))
    await service.table.transact([{"Put": {"Item": items.silence_item(silence)}}, {"Put": items.deed_put(deed)}])
    outcome = await quieten(service, silence, alerts)
    note(request, deed="make_silence", silence_id=silence.silence_id, by=silence.created_by, missed=outcome.missed)
    return _view(silence, outcome)


@router.get("/alerts/silences")
async def list_silences(
    service: Service,
    caller: Viewer,
    ended: Annotated[bool, Query(description="those that ended in the last 90 days too")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SilencePage:
    """Silences, those that end last first."""
    rows, next_cursor = await service.table.list_page("silence", caller=caller, limit=limit, cursor=cursor)
    silences = [silence for row in rows if (silence := read_silence(row)) is not None]
    if not ended:
        now = service.clock()
        kept = [silence for silence in silences if silence.ends_at > now]
        return SilencePage(items=kept, cursor=next_cursor if len(kept) == len(silences) else None)
    return SilencePage(items=silences, cursor=next_cursor)


@router.delete("/alerts/silences/{silence_id}", responses=error_responses(NotFound, Conflict, TableUnavailable))
async def end_silence(
    request: Request, service: Service, caller: Operator, silence_id: Annotated[str, Path(max_length=64)]
) -> SilenceView:
    """Ends it now: what it silenced fires again, and people are reminded of it. One that has ended stays as it is."""
    row = await service.table.get_own(items.key_of(f"silence#{silence_id}", "silence"), caller)
    if row is None:
        raise NotFound(f"there is no silence {silence_id!r}, or it ended more than 90 days ago")
    silence, now, by = items.item_to_silence(row), service.clock(), caller.name
    if silence.ends_at > now:
        was_to_end_at = silence.ends_at
        silence = silence.model_copy(update={"ends_at": now, "was_to_end_at": was_to_end_at, "ended_by": by})
        deed = _deed((request, caller, now), DeedKind.SILENCE_ENDED, silence)
        ending = {"Put": items.silence_end_put(silence, was_to_end_at=was_to_end_at)}
        await service.table.transact([ending, {"Put": items.deed_put(deed)}])
        alerts = await read_quiet(service, silence)  # after it: none opens in this silence any more
    elif alerts := await read_quiet(service, silence):  # that were missed when it ended
        deed = _deed((request, caller, now), DeedKind.SILENCE_ENDED, silence, alerts_missed_before=len(alerts))
        await service.table.transact([{"Put": items.deed_put(deed)}])
    outcome = await wake(service, silence, alerts, by=by)
    note(request, deed="end_silence", silence_id=silence_id, by=by, missed=outcome.missed)
    return _view(silence, outcome)


def _check_theirs(caller: Caller, body: SilenceBody) -> None:
    if body.scope is SilenceScope.PREDICTION_TYPE:
        caller.check_sees_all("a silence of a prediction type is")
    elif not caller.may_see(body.value):
        raise Forbidden(f"{caller.name} may silence {', '.join(caller.streams)}; {body.value} is none of these")


async def _refuse_too_many(service: Alerts) -> None:
    request = items.silences_query(now_ms=to_epoch_ms(service.clock()))
    rows, _ = await service.table.query_page(request | {"Limit": SILENCES_LIMIT})
    if len(rows) >= SILENCES_LIMIT:
        raise InvalidInput([Problem("scope", f"there are {SILENCES_LIMIT} silences already; end some of them first")])


def _deed(asked: tuple[Request, Caller, datetime], kind: DeedKind, silence: Silence, **counts: int) -> Deed:
    """What becomes of each alert stands in its own history, with the same name."""
    request, caller, now = asked
    told = {
        "scope": silence.scope,
        "value": silence.value,
        "begins_at": silence.begins_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
        "was_to_end_at": silence.was_to_end_at.isoformat() if silence.was_to_end_at else None,
        "reason": silence.reason,
        **counts,
    }
    return deed_of(request, caller, kind, about=silence.silence_id, now=now, detail=told)


def _view(silence: Silence, outcome: Outcome) -> SilenceView:
    return SilenceView(**dict(silence), alerts_changed=outcome.changed, alerts_missed=outcome.missed)
