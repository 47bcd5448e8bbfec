"""Whether a body may be stored: a bad one is refused whole, and the refusal says where it is bad."""

import json
import tracemalloc
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from iops.errors import InvalidInput, MalformedBody
from services.ingest.admit import admit
from tests.unit.builders import AT, a_sample

SAMPLE: dict[str, Any] = json.loads(a_sample().model_dump_json())


def a_body(
    samples: int = 3, *, at: Mapping[int, Mapping[str, object]] | None = None, **fields: object
) -> dict[str, Any]:
    """A batch of samples a second apart; `at` changes fields of some of them."""
    rows = [
        SAMPLE | {"at": (AT - timedelta(seconds=index)).isoformat()} | dict((at or {}).get(index, {}))
        for index in range(samples)
    ]
    return {"stream_id": "web-1:sda", "samples": rows} | fields


def refusal(body: object) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        admit(body if isinstance(body, bytes) else json.dumps(body).encode(), now=AT)
    return refused.value


def problems(body: object) -> list[tuple[str, str]]:
    return [(problem.field, problem.message) for problem in refusal(body).problems]


def test_a_batch_and_several_batches_are_admitted() -> None:
    one = admit(json.dumps(a_body(2)).encode(), now=AT)
    many = admit(json.dumps({"batches": [a_body(1), a_body(2, stream_id="web-2:sda")]}).encode(), now=AT)

    assert [(batch.stream_id, len(batch.window)) for batch in one] == [("web-1:sda", 2)]
    assert [(batch.stream_id, len(batch.window)) for batch in many] == [("web-1:sda", 1), ("web-2:sda", 2)]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"not json", b'{"stream_id": "a",}', b"\xff\xfe", b'"\\ud800"', b"[" * 100_000, b"{} {}", b"\0"],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="the body is not JSON: "):
        admit(body, now=AT)


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b'"batches"'])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    assert [field for field, _ in problems(body)] == ["body"]


BAD_BATCHES = [
    (a_body(at={1: {"reads": 1}}), "samples[1].reads", "is not a field of the contract"),
    (a_body(host="web-1"), "host", "is not a field of the contract"),
    (a_body(at={2: {"read_iops": float("nan")}}), "samples[2].read_iops", "Input should be a finite number"),
    (a_body(at={2: {"write_iops": float("inf")}}), "samples[2].write_iops", "Input should be a finite number"),
    (a_body(at={0: {"read_iops": -1}}), "samples[0].read_iops", "Input should be greater than or equal to 0"),
    (a_body(at={1: {"utilization_ratio": 1.2}}), "samples[1].utilization_ratio",
     "Input should be less than or equal to 1"),
    (a_body(1_001), "samples", "has 1001 samples; a batch has 1 to 1000"),
    (a_body(0), "samples", "has 0 samples; a batch has 1 to 1000"),
    (a_body(stream_id="a" * 600), "stream_id", "String should have at most 200 characters"),
    (a_body(at={1: {"at": (AT + timedelta(days=7)).isoformat()}}), "samples[1].at",
     "must lie within 7 days back and 5 minutes ahead of the server's clock"),
    (a_body(at={1: {"at": (AT - timedelta(days=7, seconds=1)).isoformat()}}), "samples[1].at",
     "must lie within 7 days back and 5 minutes ahead of the server's clock"),
    (a_body(at={1: {"at": "0001-01-01T00:00:00+14:00"}}), "samples[1].at",
     "must lie within 7 days back and 5 minutes ahead of the server's clock"),
    (a_body(at={1: {"at": "9999-12-31T23:59:59-14:00"}}), "samples[1].at",
     "must lie within 7 days back and 5 minutes ahead of the server's clock"),
    (a_body(at={2: {"at": AT.isoformat()}}), "samples[2].at", "another sample of the batch has the same instant"),
    (a_body(at={2: {"read_iops": 0, "read_await_ms": 0}}), "samples[2]",
     "Value error, read_await_ms must be null, not 0, when read_iops is 0"),
    (a_body(labels={"a b": "x"}), "labels.a b.[key]",
     "String should match pattern '^[A-Za-z_][A-Za-z0-9_.-]*$'"),
]  # fmt: skip


@pytest.mark.parametrize(("batch", "field", "message"), BAD_BATCHES)
def test_a_bad_batch_is_refused_with_field_and_index(batch: dict[str, Any], field: str, message: str) -> None:
    assert problems(batch) == [(field, message)]


@pytest.mark.parametrize(("batch", "field", "message"), BAD_BATCHES)
def test_one_bad_batch_among_good_ones_refuses_the_body(batch: dict[str, Any], field: str, message: str) -> None:
    body = {"batches": [a_body(stream_id="web-2:sda"), batch, a_body(stream_id="web-3:sda")]}

    assert problems(body) == [(f"batches[1].{field}", message)]


def test_no_batches_or_too_many_are_refused() -> None:
    assert problems({"batches": []})[0][0] == "batches"
    assert problems({"batches": [a_body(1)] * 1_001})[0][0] == "batches"


def test_batches_and_a_batch_in_one_body_are_refused() -> None:
    assert {field for field, _ in problems({"batches": [a_body()], "stream_id": "web-1:sda"})} == {"stream_id"}


def test_the_last_instant_that_is_allowed_is_allowed() -> None:
    edges = {0: {"at": (AT + timedelta(minutes=5)).isoformat()}, 1: {"at": (AT - timedelta(days=7)).isoformat()}}

    assert len(admit(json.dumps(a_body(2, at=edges)).encode(), now=AT)) == 1


def test_at_most_20_problems_are_shown_and_all_are_counted() -> None:
    late = {index: {"at": (AT + timedelta(days=index)).isoformat()} for index in range(1, 31)}

    refused = refusal(a_body(40, at=late))

    assert len(refused.problems) == 20
    assert refused.detail.startswith("samples[1].at: must lie within")
    assert refused.detail.endswith("(and 29 more)")


def test_every_bad_sample_of_every_bad_batch_is_named() -> None:
    bad: dict[int, dict[str, object]] = {2: {"read_iops": -1}, 5: {"queue_depth": "deep", "utilization_ratio": 1.2}}

    assert [field for field, _ in problems({"batches": [a_body(6, at=bad), a_body(), a_body(3, at=bad)]})] == [
        "batches[0].samples[2].read_iops",
        "batches[0].samples[5].queue_depth",
        "batches[0].samples[5].utilization_ratio",
        "batches[2].samples[2].read_iops",
    ]


def test_unknown_fields_are_counted_too() -> None:
    refused = refusal(a_body(1, at={0: {f"field_{number}": 0 for number in range(30)}}))

    assert len(refused.problems) == 20
    assert refused.detail == "samples[0].field_0: is not a field of the contract (and 29 more)"


def test_a_hostile_field_name_is_cut_short() -> None:
    field, _ = problems(a_body() | {"x" * 5_000: 0})[0]

    assert field == "x" * 80


@pytest.mark.parametrize("size_bytes", [1_000_000, 4_000_000])
@pytest.mark.parametrize(
    ("start", "item", "end"),
    [
        (b'{"stream_id":"a","samples":[', b"{},", b"{}]}"),
        (b'{"batches":[', b'{"samples":[{}]},', b"{}]}"),
        (b"{", b'"a":0,', b'"b":0}'),
    ],
    ids=["empty samples", "empty batches", "unknown fields"],
)
def test_a_body_of_nothing_but_problems_takes_little_memory(
    start: bytes, item: bytes, end: bytes, size_bytes: int
) -> None:
    body = start + item * (size_bytes // len(item)) + end

    tracemalloc.start()
    refused = refusal(body)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 1 <= len(refused.problems) <= 20
    assert peak_bytes < 64 * 1024 * 1024
