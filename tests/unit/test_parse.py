"""The quick way to read a body: what it takes the models take alike, and the rest it leaves to them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iops.clock import to_epoch_ms
from iops.errors import IopsError
from iops.telemetry import CHANNELS, Batch, Sample, Window
from services.ingest.admit import admit
from services.ingest.arrival import arrival_of
from services.ingest.parse import OPTIONAL, QuickBatch, QuickSample, parse
from tests.unit.builders import AT, examples

ANY_TIME = {"earliest_ms": 0, "latest_ms": 10**13}
GOOD: dict[str, Any] = {
    "at": "2026-11-23T02:39:00Z", "interval_s": 1, "read_iops": 210.5, "write_iops": 95, "read_bytes_s": 3440640,
    "write_bytes_s": 1556480, "read_await_ms": 0.41, "write_await_ms": None, "queue_depth": 0.17,
    "utilization_ratio": 0.14, "in_flight": 3, "latency_p95_ms": None, "latency_p99_ms": 2.5, "io_errors": None,
}  # fmt: skip
ODD: st.SearchStrategy[object] = st.sampled_from(
    [None, True, 0, -0.0, -1, 1, 1.0, 1.2, 1e9, 1e300, 10**400, float("nan"), float("inf"), "1", "", [], {}, [1],
     "2026-11-23T02:39:00", "2026-11-23t02:39:00+05:30", "2026-11-23 02:39:01Z", "2026-11-23T02:39:60Z", 1795401540,
     "0001-01-01T00:00:00Z", "a#b", "a/b", "a" * 201, "\u202e", "Ünïcode", "a\nb", "web-1:sda\n"]
)  # fmt: skip


def columns(window: Window) -> dict[str, list[float | None]]:
    return {name: [None if v != v else v for v in column] for name, column in window.columns.items()}


def test_the_quick_fields_are_those_of_the_models() -> None:
    assert set(QuickSample.__struct_fields__) == set(Sample.model_fields)
    assert set(QuickBatch.__struct_fields__) == set(Batch.model_fields)
    assert {"at", *(channel.name for channel in CHANNELS)} == set(Sample.model_fields)
    assert set(OPTIONAL) == {name for name, field in Sample.model_fields.items() if not field.is_required()}


def test_a_good_body_is_read_at_once_and_alike() -> None:
    samples = [GOOD | {"at": f"2026-11-23T02:39:{second:02d}.5Z"} for second in range(60)]
    batch = {"stream_id": "web-1:nvme0n1", "samples": samples, "labels": {"volume_type": "gp3"}, "provisioned_iops": 3}

    one = parse(json.dumps(batch).encode(), **ANY_TIME)
    many = parse(json.dumps({"batches": [batch, batch]}).encode(), **ANY_TIME)

    expected = arrival_of(Batch.model_validate_json(json.dumps(batch)))
    assert one is not None
    assert many is not None
    assert len(many) == 2
    for quick in (*one, *many):
        assert (quick.stream_id, quick.group, quick.labels) == (expected.stream_id, "web-1", {"volume_type": "gp3"})
        assert quick.window.at_ms == expected.window.at_ms
        assert columns(quick.window) == columns(expected.window)


@pytest.mark.parametrize(
    "change",
    [{"labels": {"x y": "1"}}, {"labels": {"x": "\u202e"}}, {"labels": {"x": "y" * 129}}, {"stream_id": "a/b"}],
)
def test_what_is_not_certainly_right_is_left_to_the_models(change: dict[str, object]) -> None:
    assert parse(json.dumps({"stream_id": "web-1:sda", "samples": [GOOD]} | change).encode(), **ANY_TIME) is None


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_whatever_is_changed_it_takes_nothing_that_the_models_refuse(data: st.DataObject) -> None:
    samples = [GOOD | {"at": f"2026-11-23T02:39:0{number}Z"} for number in range(2)]
    batch: dict[str, Any] = {"stream_id": "web-1:sda", "samples": samples}
    target = data.draw(st.sampled_from([batch, samples[0], samples[1]]))
    known = [*Sample.model_fields, *Batch.model_fields, "unknown"]
    for field in data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=2)):
        target[field] = data.draw(ODD)
    body = json.dumps(data.draw(st.sampled_from([batch, {"batches": [batch]}]))).encode()

    quick = parse(body, **ANY_TIME)

    if quick is not None:
        model = Batch.model_validate_json(json.dumps(batch))
        assert columns(quick[0].window) == columns(arrival_of(model).window)
        assert (quick[0].stream_id, quick[0].group, quick[0].labels) == (model.stream_id, model.group, model.labels)


@settings(max_examples=examples(100), deadline=None)
@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_refused_with_a_reason(body: bytes) -> None:
    assert parse(body, earliest_ms=0, latest_ms=to_epoch_ms(AT)) is None
    with pytest.raises(IopsError):
        admit(body, now=AT)
