"""POST /metrics."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from iops.clock import Clock
from iops.errors import (
    BodyTooLarge,
    InvalidInput,
    MalformedBody,
    RateExceeded,
    SlowBody,
    TableUnavailable,
    UnknownEncoding,
)
from iops.gate import Agent, address_of
from iops.problems import error_responses
from iops.request_line import note
from services.ingest.admit import METRICS_BODY, admit
from services.ingest.arrival import check_streams, store_arrivals
from services.ingest.limits import Limits
from services.ingest.notify import ScoringNotifier
from services.ingest.receive import read_body
from services.ingest.register import Registry
from services.ingest.settings import IngestSettings
from services.ingest.store import GroupCommit

router = APIRouter(tags=["ingest"])
REFUSALS = (MalformedBody, SlowBody, BodyTooLarge, UnknownEncoding, InvalidInput, RateExceeded, TableUnavailable)


@dataclass(frozen=True, slots=True)
class Ingest:
    """What the routes work with; the lifespan makes it."""

    settings: IngestSettings
    clock: Clock
    commit: GroupCommit
    registry: Registry
    notifier: ScoringNotifier
    limits: Limits


async def _ingest(request: Request) -> Ingest:
    ingest: Ingest = request.app.state.ingest
    return ingest


class Accepted(BaseModel):
    """The table has the samples."""

    accepted: Annotated[int, Field(description="samples stored")]


METRICS_SCHEMA = METRICS_BODY.json_schema(ref_template="#/components/schemas/{model}")


@router.post(
    "/metrics",
    status_code=202,
    response_model=Accepted,
    responses=error_responses(
        MalformedBody, SlowBody, BodyTooLarge, UnknownEncoding, InvalidInput, RateExceeded, TableUnavailable
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "One batch, or several. Content-Encoding: gzip is understood. 1 MiB packed, 8 MiB unpacked.",
            "content": {"application/json": {"schema": {k: v for k, v in METRICS_SCHEMA.items() if k != "$defs"}}},
        }
    },
)
async def post_metrics(request: Request, caller: Agent) -> Response:
    """Stores one batch or several; 202 only after the table has them. Sending the same again stores it once."""
    ingest: Ingest = request.app.state.ingest
    body = await read_body(request, timeout_s=ingest.settings.body_timeout_s)
    ingest.commit.check_room()
    arrivals = admit(body, now=ingest.clock())
    check_streams(caller, arrivals)
    ingest.limits.take(address_of(request.scope), (arrival.stream_id for arrival in arrivals))
    accepted = await store_arrivals(ingest, arrivals)
    note(request, batches=len(arrivals), samples=accepted, body_bytes=len(body))
    return Response(b'{"accepted":%d}' % accepted, 202, media_type="application/json")
