"""Whether a body may be stored: parsed, in range, in time; a bad one is refused whole, each problem with its index."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from iops.clock import to_epoch_ms
from iops.contract import REQUEST_BATCHES_LIMIT, SAMPLE_AGE_LIMIT_S, SAMPLE_AHEAD_LIMIT_S
from iops.errors import InvalidInput, Problem
from iops.telemetry import Batch
from services.ingest.arrival import Arrival, arrival_of
from services.ingest.parse import parse
from services.ingest.refuse import PROBLEMS_SHOWN, refusal_of


class Batches(BaseModel):
    """Several batches in one body."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # As for samples: the first bad batch is enough, and a million of them must not take the memory of a million.
    batches: Annotated[tuple[Batch, ...], Field(min_length=1, max_length=REQUEST_BATCHES_LIMIT, fail_fast=True)]


# Twice what 8 MiB of samples can hold. To say what is wrong, pydantic copies what it refuses: of 8 MiB of `{},` half a
# gigabyte.
CONTAINERS_LIMIT: Final = 100_000

# The key that says which of the two a body is. It is the only key of its object, so it comes first or not at all, and
# a look at the first bytes spares a copy of the whole body as Python objects.
MANY: Final = re.compile(rb'\s*\{\s*"batches"\s*:')
ONE_BATCH: Final = TypeAdapter(Batch)
MANY_BATCHES: Final = TypeAdapter(Batches)
METRICS_BODY: Final[TypeAdapter[Batch | Batches]] = TypeAdapter(Batch | Batches)  # for the OpenAPI document


def admit(body: bytes, *, now: datetime) -> Sequence[Arrival]:
    """What a body holds. Raises MalformedBody for what is not JSON, InvalidInput for what breaks the contract."""
    now_ms = to_epoch_ms(now)
    earliest_ms, latest_ms = now_ms - SAMPLE_AGE_LIMIT_S * 1000, now_ms + SAMPLE_AHEAD_LIMIT_S * 1000
    arrivals = parse(body, earliest_ms=earliest_ms, latest_ms=latest_ms)
    return arrivals if arrivals is not None else [arrival_of(batch) for batch in _admit_batches(body, now=now)]


def _admit_batches(body: bytes, *, now: datetime) -> Sequence[Batch]:
    if body.count(b"{") + body.count(b"[") > CONTAINERS_LIMIT:
        raise InvalidInput(
            [Problem("body", f"has more than {CONTAINERS_LIMIT} objects and lists: not batches of samples")]
        )
    is_many = MANY.match(body) is not None
    try:
        batches = MANY_BATCHES.validate_json(body).batches if is_many else (ONE_BATCH.validate_json(body),)
    except ValidationError as error:
        raise refusal_of(body, error) from error
    problems = [
        problem
        for index, batch in enumerate(batches)
        for problem in _time_problems(batch, f"batches[{index}]." if is_many else "", now)
    ]
    if problems:
        raise InvalidInput(problems[:PROBLEMS_SHOWN], total=len(problems))
    return batches


def _time_problems(batch: Batch, prefix: str, now: datetime) -> list[Problem]:
    now_ms = to_epoch_ms(now)
    earliest_ms, latest_ms = now_ms - SAMPLE_AGE_LIMIT_S * 1000, now_ms + SAMPLE_AHEAD_LIMIT_S * 1000
    seen: set[int] = set()
    problems = []
    for index, sample in enumerate(batch.samples):
        at_ms = to_epoch_ms(sample.at)
        if not earliest_ms <= at_ms <= latest_ms:
            limits = f"{SAMPLE_AGE_LIMIT_S // 86_400} days back and {SAMPLE_AHEAD_LIMIT_S // 60} minutes ahead"
            problems.append(Problem(f"{prefix}samples[{index}].at", f"must lie within {limits} of the server's clock"))
        elif at_ms in seen:
            problems.append(Problem(f"{prefix}samples[{index}].at", "another sample of the batch has the same instant"))
        seen.add(at_ms)
    return problems
