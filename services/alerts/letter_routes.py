"""What alerts answers about dead letters: how many there are, what they say, and their replay."""

from __future__ import annotations

from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from iops.body import body_schema, read_body
from iops.errors import BodyTooLarge, BusUnavailable, Forbidden, InvalidInput, SlowBody
from iops.gate import Operator
from iops.problems import error_responses
from services.alerts.letters import LetterQueue, LetterView, view_letter
from services.alerts.redrive import KEPT_LIMIT, Redrive

log = structlog.get_logger()
router = APIRouter(prefix="/alerts/dead-letters", tags=["dead letters"])

LOOKED_AT: Final = 10  # letters of each queue, to say how old they are
REDRIVE_LIMIT: Final = 1_000
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
    responses=error_responses(Forbidden, SlowBody, BodyTooLarge, InvalidInput, BusUnavailable),
    openapi_extra=body_schema(RedriveRequest),
)
async def redrive(request: Request, service: Service, caller: Operator) -> RedriveReport:
    """Sends dead letters where they were bound for: a dry run unless the body says `"dry_run": false`.

    A scoring goes to its queue, an event to the bus, a message to the topic and so to all its subscribers.
    """
    caller.check_sees_all(DEAD_LETTERS)
    asked = await read_body(request, RedriveRequest)
    if asked.dry_run:
        return await _dry_run(service, asked)
    done = await service.run(asked.queue, limit=asked.limit)
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
