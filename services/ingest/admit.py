"""Whether a body may be stored: parsed, in range, in time; a bad one is refused whole, each problem with its index."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from iops.clock import to_epoch_ms
from iops.contract import REQUEST_BATCHES_LIMIT, SAMPLE_AGE_LIMIT_S, SAMPLE_AHEAD_LIMIT_S
from iops.errors import InvalidInput, MalformedBody, Problem
from iops.telemetry import Batch

PROBLEMS_SHOWN: Final = 20
PROBLEMS_LISTED: Final = 10_000  # beyond, a list of them takes a gigabyte and a second that others wait for


class Batches(BaseModel):
    """Several batches in one body."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # As for samples: the first bad batch is enough, and a million of them must not take the memory of a million.
    batches: Annotated[tuple[Batch, ...], Field(min_length=1, max_length=REQUEST_BATCHES_LIMIT, fail_fast=True)]


def _one_or_many(body: object) -> str:
    return "many" if isinstance(body, dict) and "batches" in body else "one"


MetricsBody = Annotated[
    Annotated[Batch, Tag("one")] | Annotated[Batches, Tag("many")],
    Discriminator(_one_or_many),
]
METRICS_BODY: Final[TypeAdapter[Batch | Batches]] = TypeAdapter(MetricsBody)


def admit(body: bytes, *, now: datetime) -> Sequence[Batch]:
    """The batches of a body. Raises MalformedBody for what is not JSON, InvalidInput for what breaks the contract."""
    try:
        parsed = METRICS_BODY.validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from error
    batches = parsed.batches if isinstance(parsed, Batches) else (parsed,)
    problems = [
        problem
        for index, batch in enumerate(batches)
        for problem in _time_problems(batch, f"batches[{index}]." if isinstance(parsed, Batches) else "", now)
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


def _refusal(error: ValidationError) -> MalformedBody | InvalidInput:
    total = error.error_count()
    if total > PROBLEMS_LISTED:
        return InvalidInput([Problem("body", f"has {total} problems, too many to list; is it of this contract?")])
    found: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return MalformedBody(f"the body is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}")
    real = [problem for problem in found if not _is_echo(problem, found)]
    problems = [Problem(_field(problem["loc"]), _message(problem)) for problem in real[:PROBLEMS_SHOWN]]
    return InvalidInput(problems, total=len(real))


def _is_echo(problem: Any, found: Sequence[Any]) -> bool:
    """A list whose first item is bad ends there, and so is said to be too short as well."""
    location = problem["loc"]
    return problem["type"] == "too_short" and any(
        len(other["loc"]) > len(location) and other["loc"][: len(location)] == location for other in found
    )


def _field(location: tuple[int | str, ...]) -> str:
    """`("many", "batches", 0, "samples", 3, "read_iops")` as `batches[0].samples[3].read_iops`."""
    path = ""
    for part in location[1:]:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:80]}"
    return path.removeprefix(".") or "body"


def _message(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "is not a field of the contract"
    return str(problem["msg"])
