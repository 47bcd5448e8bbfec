"""What alerts answers about dead letters: how many there are, what they say, and their replay."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from iops import items
from iops.audit import DeedKind
from iops.auth import Caller
from iops.body import body_schema, read_body
from iops.errors import BodyTooLarge, BusUnavailable, Conflict, Forbidden, InvalidInput, SlowBody, TableUnavailable
from iops.gate import Operator
from iops.items import Item
from iops.problems import error_responses
from iops.table import Table
from iops.witness import deed_of
from services.alerts.letters import LetterQueue, LetterView, view_letter
from services.alerts.redrive import KEPT_LIMIT, Redrive, Redriven
from services.alerts.routes import Alerts
from services.alerts.routes import Service as AlertsService

log = structlog.get_logger()
router = APIRouter(prefix="/alerts/dead-letters", tags=["dead letters"])

LOOKED_AT: Final = 10  # letters of each queue, to say how old they are
REDRIVE_LIMIT: Final = 1_000
LONGEST_WAIT_S: Final = 0.2  # between attempts to write down what was done
DEAD_LETTERS: Final = "dead letters are"


async def _redrive(request: Request) -> Redrive:
    redrive: Redrive = request.app.state.redrive
    return redrive


Service = Annotated[Redrive, Depends(_redrive)]


class QueueView(BaseModel):
    """One queue of what could not be delivered."""

    queue: LetterQueue
    count: int = Field(description="about; SQS counts so")
    oldest_at: AwareDatetime | None = Field(description="of the letters that were looked at; null: none was seen")
    letters: list[LetterView] = Field(description="empty unless the queue was asked for by name")


class DeadLetterList(BaseModel):
    """The queues that were asked for."""

    items: list[QueueView]


class RedriveRequest(BaseModel):
    """Nothing is sent unless it says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: LetterQueue
    dry_run: bool = True
    limit: int = Field(default=100, ge=1, le=REDRIVE_LIMIT)


class RedriveReport(BaseModel):
    """What was replayed; in a dry run, what would be, of the first 50."""

    queue: LetterQueue
    dry_run: bool
    replayed: list[LetterView] = Field(description="the first 50")
    replayed_total: int
    unreadable: list[LetterView] = Field(description="they stay; the first 50")
    unreadable_total: int
    left: int = Field(description="in the queue afterwards, about")
    stopped_by: str | None = Field(description="why it ended early; null: it did not")


@router.get("", responses=error_responses(Forbidden, BusUnavailable))
async def list_dead_letters(
    service: Service,
    caller: Operator,
    queue: Annotated[LetterQueue | None, Query(description="shows its letters; all queues without")] = None,
    limit: Annotated[int, Query(ge=1, le=KEPT_LIMIT)] = 20,
) -> DeadLetterList:
    """What could not be delivered and why. Looking takes nothing away.

    They are of all streams: only who sees all of them sees these, and sends them again.
    """
    caller.check_sees_all(DEAD_LETTERS)
    if queue is not None:
        return DeadLetterList(items=[await _view(service, queue, limit=limit, shows=True)])
    return DeadLetterList(items=[await _view(service, each, limit=LOOKED_AT, shows=False) for each in LetterQueue])


@router.post(
    "/redrive",
    responses=error_responses(Forbidden, SlowBody, BodyTooLarge, InvalidInput, BusUnavailable, TableUnavailable),
    openapi_extra=body_schema(RedriveRequest),
)
async def redrive(request: Request, service: Service, alerts: AlertsService, caller: Operator) -> RedriveReport:
    """Sends dead letters where they were bound for: a dry run unless the body says `"dry_run": false`.

    A scoring goes to its queue, an event to the bus, a message to the topic and so to all its subscribers.
    """
    caller.check_sees_all(DEAD_LETTERS)
    asked = await read_body(request, RedriveRequest)
    if asked.dry_run:
        return await _dry_run(service, asked)
    await alerts.table.check()  # nothing is sent that could not be written down
    done = await service.run(asked.queue, limit=asked.limit)
    if done.accepted.total:
        await _write_down(request, alerts, caller, asked.queue, done)
    left = await service.letters.count(asked.queue)
    log.info(
        "dead_letters_redriven",
        queue=asked.queue,
        replayed=done.accepted.total,
        unreadable=done.unreadable.total,
        stopped_by=done.stopped_by,
        left=left,
    )
    return RedriveReport(
        queue=asked.queue,
        dry_run=False,
        replayed=[view_letter(asked.queue, letter) for letter in done.accepted.first],
        replayed_total=done.accepted.total,
        unreadable=[view_letter(asked.queue, letter) for letter in done.unreadable.first],
        unreadable_total=done.unreadable.total,
        left=left,
        stopped_by=done.stopped_by,
    )


async def _write_down(request: Request, alerts: Alerts, caller: Caller, queue: LetterQueue, done: Redriven) -> None:
    """After the letters went: no transaction holds queues and the table. Raises TableUnavailable, loudly."""
    told = {"replayed": done.accepted.total, "unreadable": done.unreadable.total, "stopped_by": done.stopped_by}
    deed = deed_of(request, caller, DeedKind.LETTERS_REDRIVEN, about=queue, now=alerts.clock(), detail=told)
    try:
        await _insist(alerts.table, {"Put": items.deed_put(deed)})
    except TableUnavailable as error:
        log.error("deed_lost", **deed.model_dump(mode="json"))  # noqa: TRY400 - the reason is in the answer
        sent = f"{done.accepted.total} letters were sent again, and the audit could not be written: {error.detail}"
        raise TableUnavailable(sent) from error


async def _insist(table: Table, write: Item) -> None:
    """Three times, since the letters are gone already. Raises TableUnavailable."""
    with suppress(Conflict):  # an attempt whose answer was lost had stored it
        await AsyncRetrying(
            retry=retry_if_exception_type(TableUnavailable),
            stop=stop_after_attempt(3),
            wait=wait_random(0, LONGEST_WAIT_S),
            reraise=True,
        )(table.transact, [write])


async def _view(service: Redrive, queue: LetterQueue, *, limit: int, shows: bool) -> QueueView:
    count = await service.letters.count(queue)
    letters = await service.letters.look(queue, limit=min(limit, count))
    return QueueView(
        queue=queue,
        count=count,
        oldest_at=min((letter.sent_at for letter in letters), default=None),
        letters=[view_letter(queue, letter) for letter in letters] if shows else [],
    )


async def _dry_run(service: Redrive, asked: RedriveRequest) -> RedriveReport:
    view = await _view(service, asked.queue, limit=min(asked.limit, KEPT_LIMIT), shows=True)
    readable = [letter for letter in view.letters if letter.unreadable is None]
    unreadable = [letter for letter in view.letters if letter.unreadable is not None]
    return RedriveReport(
        queue=asked.queue,
        dry_run=True,
        replayed=readable,
        replayed_total=len(readable),
        unreadable=unreadable,
        unreadable_total=len(unreadable),
        left=view.count,
        stopped_by=None,
    )
