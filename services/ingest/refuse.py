"""Why a body is refused: each problem with its field and index, without taking the memory that a million would."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from iops.contract import BATCH_SAMPLES_LIMIT
from iops.errors import InvalidInput, MalformedBody, Problem
from iops.telemetry import Batch, Sample

PROBLEMS_SHOWN: Final = 20
PROBLEMS_LISTED: Final = 20_000  # more than a batch of 1,000 samples can have; beyond, nobody reads them


PATIENCE_BYTES: Final = 1024 * 1024  # of a body; a larger one is told its first bad sample only


class _PatientBatch(Batch):
    """A batch that does not stop at its first bad sample; how many it has is judged apart."""

    samples: tuple[Sample, ...]


PATIENT_BATCH: Final = TypeAdapter(_PatientBatch)


def refusal_of(body: bytes, error: ValidationError) -> MalformedBody | InvalidInput:
    """What to answer; `error` is what the first, hasty look found, which ended at the first bad sample."""
    hasty = _listed(error)
    if hasty and hasty[0]["type"] == "json_invalid":
        return MalformedBody(f"the body is not JSON: {hasty[0]['msg'].removeprefix('Invalid JSON: ')}")
    problems: list[Problem] = []
    total = 0
    for of_batch in _batch_problems(from_json(body)) if len(body) <= PATIENCE_BYTES else ():
        problems += of_batch[: PROBLEMS_SHOWN - len(problems)]
        total += len(of_batch)
        if total > PROBLEMS_LISTED:
            break
    if not problems:  # not of a batch but of what holds them
        told = [found for found in hasty if found["type"] != "too_short"] or hasty  # a list that ended early is short
        problems = [Problem(_field(found["loc"]) or "body", _message(found)) for found in told[:PROBLEMS_SHOWN]]
        total = len(told)
    return InvalidInput(problems or [Problem("body", "is not of this contract")], total=total)


def _batch_problems(document: Any) -> Iterator[list[Problem]]:
    """The problems of each batch of a parsed body that has some."""
    if not isinstance(document, dict) or "batches" not in document:
        yield _problems_of(document, "")
    elif isinstance(document["batches"], list):
        for index, batch in enumerate(document["batches"]):
            yield _problems_of(batch, f"batches[{index}]")


def _problems_of(batch: Any, prefix: str) -> list[Problem]:
    dot = f"{prefix}." if prefix else ""
    if isinstance(batch, dict) and isinstance(batch.get("samples"), list):
        count = len(batch["samples"])
        if not 1 <= count <= BATCH_SAMPLES_LIMIT:
            return [Problem(f"{dot}samples", f"has {count} samples; a batch has 1 to {BATCH_SAMPLES_LIMIT}")]
    try:
        PATIENT_BATCH.validate_json(to_json(batch, inf_nan_mode="constants"))
    except ValidationError as error:
        return [
            Problem((dot + field) if (field := _field(found["loc"])) else prefix or "body", _message(found))
            for found in _listed(error)
        ] or [Problem(prefix or "body", f"has {error.error_count()} problems, too many to list")]
    return []


def _listed(error: ValidationError) -> list[Any]:
    """The problems as pydantic tells them; none where listing them would take too long."""
    if error.error_count() > PROBLEMS_LISTED:
        return []
    return error.errors(include_url=False, include_context=False, include_input=False)


def _field(location: tuple[int | str, ...]) -> str:
    """Where a problem is, as a person writes it.

    >>> _field(("batches", 0, "samples", 3, "read_iops"))
    'batches[0].samples[3].read_iops'
    """
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:80]}"
    return path.removeprefix(".")


def _message(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "is not a field of the contract"
    return str(problem["msg"])
