"""POST /metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from iops import items
from iops.clock import Clock
from iops.errors import BodyTooLarge, InvalidInput, MalformedBody, SlowBody, TableUnavailable, UnknownEncoding
from iops.telemetry import Batch, window_from_samples
from iops.web import error_responses, note
from services.ingest.admit import METRICS_BODY, admit
from services.ingest.notify import ScoringNotifier
from services.ingest.receive import read_body
from services.ingest.register import Registry
from services.ingest.settings import IngestSettings
from services.ingest.store import GroupCommit

router = APIRouter(tags=["ingest"])


@dataclass(frozen=True, slots=True)
class Ingest:
    """What the routes work with; the lifespan makes it."""

    settings: IngestSettings
    clock: Clock
    commit: GroupCommit
    registry: Registry
    notifier: ScoringNotifier


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
    responses=error_responses(MalformedBody, SlowBody, BodyTooLarge, UnknownEncoding, InvalidInput, TableUnavailable),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "One batch, or several. Content-Encoding: gzip is understood. 1 MiB packed, 8 MiB unpacked.",
            "content": {"application/json": {"schema": {k: v for k, v in METRICS_SCHEMA.items() if k != "$defs"}}},
        }
    },
)
async def post_metrics(request: Request, ingest: Annotated[Ingest, Depends(_ingest)]) -> Accepted:
    """Stores one batch or several; 202 only after the table has them. Sending the same again stores it once."""
    body = await read_body(request, timeout_s=ingest.settings.body_timeout_s)
    batches = admit(body, now=ingest.clock())
    accepted = await store_batches(ingest, batches)
    note(request, batches=len(batches), samples=accepted, body_bytes=len(body))
    return Accepted(accepted=accepted)


async def store_batches(ingest: Ingest, batches: Sequence[Batch]) -> int:
    """Stores the samples and says how many; raises QueueFull or TableUnavailable."""
    windows = [(batch, window_from_samples(batch.samples)) for batch in batches]
    rows = [row for batch, window in windows for row in items.chunk_items(batch.stream_id, window)]
    samples = sum(len(window) for _, window in windows)
    await ingest.commit.store(rows, samples=samples)
    await ingest.registry.ensure(batches)
    for batch, window in windows:
        ingest.notifier.note(batch.group, window.at_ms[0])
    return samples
