"""What a sample may say, and how samples become a window."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from iops.telemetry import (
    CHANNELS,
    Batch,
    Sample,
    default_peer_group,
    empty_window,
    merge_windows,
    row_to_dict,
    window_from_samples,
)
from tests.unit.builders import AT, AT_MS, a_sample, a_window


def sample_json(**changes: object) -> str:
    return json.dumps(json.loads(a_sample().model_dump_json()) | changes)


def batch_json(**changes: object) -> str:
    return json.dumps({"stream_id": "web-1:sda", "samples": [json.loads(sample_json())]} | changes)


def largest_of(field: str) -> float:
    """The bound a field declares, wherever its annotation keeps it."""
    schema: dict[str, Any] = Sample.model_json_schema()["properties"][field]
    return max(float(part["maximum"]) for part in [schema, *schema.get("anyOf", [])] if "maximum" in part)


def test_the_channels_are_the_fields_of_a_sample() -> None:
    assert [channel.name for channel in CHANNELS] == [name for name in Sample.model_fields if name != "at"]


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_a_channel_is_as_large_as_its_field_may_be(channel: Any) -> None:
    assert largest_of(channel.name) == channel.maximum


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("read_iops", -0.1),
        ("read_iops", 1e8 + 1),
        ("read_iops", float("nan")),
        ("read_iops", float("inf")),
        ("read_iops", "210"),
        ("read_iops", True),
        ("read_iops", None),
        ("read_await_ms", -1),
        ("latency_p99_ms", float("-inf")),
        ("utilization_ratio", 1.2),
        ("queue_depth", [1]),
        ("in_flight", 1.5),
        ("in_flight", -1),
        ("in_flight", False),
        ("io_errors", 0.5),
        ("interval_s", 0),
        ("interval_s", 3_601),
        ("at", "2026-11-23T02:39:00"),
        ("at", "yesterday"),
        ("at", 1795401540),
        ("at", None),
        ("reads", 1),
    ],
)
def test_a_sample_that_cannot_be_true_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        Sample.model_validate_json(sample_json(**{field: value}))

    assert [problem["loc"] for problem in refusal.value.errors()] == [(field,)]


def test_an_integer_is_a_rate_too() -> None:
    assert Sample.model_validate_json(sample_json(read_iops=210)).read_iops == 210.0


def test_an_interval_too_short_to_be_stored_is_refused() -> None:
    with pytest.raises(ValidationError, match="interval_s"):
        a_sample(interval_s=0.0004)  # would be stored as 0, and everything divides by it


@pytest.mark.parametrize("direction", ["read", "write"])
def test_an_await_of_zero_without_requests_is_refused(direction: str) -> None:
    with pytest.raises(ValidationError, match=f"{direction}_await_ms must be null, not 0"):
        a_sample(**{f"{direction}_iops": 0.0, f"{direction}_await_ms": 0.0})


def test_a_fast_request_may_take_no_measurable_time() -> None:
    assert a_sample(read_iops=5.0, read_await_ms=0.0).read_await_ms == 0


@pytest.mark.parametrize(
    "stream_id",
    ["", "a" * 201, "web 1", "-web", "web/1", "group#web", "web\n", "web-1:sda\n", "wéb", "web\0", '"web"', 7, None],
)
def test_a_stream_id_that_would_break_a_key_or_a_path_is_refused(stream_id: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        Batch.model_validate_json(batch_json(stream_id=stream_id))

    assert refusal.value.errors()[0]["loc"] == ("stream_id",)


@pytest.mark.parametrize(
    "labels",
    [
        {"a b": "x"},
        {"": "x"},
        {"a" * 65: "x"},
        {"a": "x" * 129},
        {"a": "line\nbreak"},
        {"a": "\x1b[31mred"},
        {"a": "\u202ereversed"},
        {"a": 1},
        {f"label{number}": "x" for number in range(17)},
    ],
)
def test_a_label_that_could_harm_a_reader_is_refused(labels: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Batch.model_validate_json(batch_json(labels=labels))


@pytest.mark.parametrize("limit", [0, -1, 1e-300, 1e9, float("nan"), "3000"])
def test_a_provisioned_limit_that_no_volume_has_is_refused(limit: object) -> None:
    with pytest.raises(ValidationError, match="provisioned_iops"):
        Batch.model_validate_json(batch_json(provisioned_iops=limit))


def test_the_disks_of_a_host_are_peers_unless_the_batch_says_otherwise() -> None:
    assert Batch.model_validate_json(batch_json()).group == "web-1"
    assert Batch.model_validate_json(batch_json(peer_group="rack-7")).group == "rack-7"
    assert default_peer_group("a:b:c") == "a:b"


def test_a_window_is_sorted_and_has_one_sample_for_an_instant() -> None:
    later, earlier = a_sample(at=AT, read_iops=1.0), a_sample(at=AT - timedelta(seconds=1), read_iops=2.0)

    window = window_from_samples([later, earlier, a_sample(at=AT, read_iops=3.0)])

    assert list(window.at_ms) == [AT_MS - 1000, AT_MS]
    assert list(window["read_iops"]) == [2.0, 3.0]


def test_windows_that_overlap_keep_one_sample_for_an_instant_the_later_windows() -> None:
    first = a_window(4, end=AT, read_iops=1.0)
    second = a_window(4, end=AT + timedelta(seconds=2), read_iops=2.0)

    merged = merge_windows([first, empty_window(), second])

    assert list(merged.at_ms) == [AT_MS + 1000 * second for second in (-3, -2, -1, 0, 1, 2)]
    assert list(merged["read_iops"]) == [1, 1, 2, 2, 2, 2]
    assert {len(column) for column in merged.columns.values()} == {6}


def test_windows_in_any_order_become_one_in_time() -> None:
    parts = [a_window(2, end=AT + timedelta(seconds=second)) for second in (9, 3, 6)]

    assert list(merge_windows(parts).at_ms) == [AT_MS + 1000 * second for second in (2, 3, 5, 6, 8, 9)]


def test_merging_leaves_the_windows_as_they_were() -> None:
    first, second = a_window(2), a_window(2, end=AT + timedelta(seconds=5))

    merge_windows([first, second])

    assert (len(first), len(second)) == (2, 2)


def test_since_includes_its_instant_and_until_does_not() -> None:
    window = a_window(5)

    assert list(window.since(AT_MS - 1000).at_ms) == [AT_MS - 1000, AT_MS]
    assert list(window.until(AT_MS - 3000).at_ms) == [AT_MS - 4000]
    assert len(window.since(AT_MS + 1)) == len(window.until(AT_MS - 4000)) == 0


def test_a_row_shows_null_where_nothing_was_measured_and_counts_as_integers() -> None:
    row = row_to_dict(window_from_samples([a_sample(read_await_ms=None, in_flight=3, io_errors=None)]), 0)

    assert row["at"] == "2026-11-23T02:00:00.000Z"
    assert row["read_await_ms"] is None
    assert row["io_errors"] is None
    assert repr(row["in_flight"]) == "3"


def test_a_window_is_cut_at_the_minutes_of_the_clock_and_nothing_is_lost() -> None:
    window = merge_windows([a_window(90, end=AT + timedelta(seconds=29)), a_window(1, end=AT + timedelta(minutes=9))])

    parts = list(window.parts(60_000))

    assert [len(part) for part in parts] == [60, 30, 1]
    assert repr(merge_windows(parts)) == repr(window)  # NaN is not equal to itself
    assert list(empty_window().parts(60_000)) == []


def test_some_samples_of_a_window_are_a_window() -> None:
    window = a_window(5).take([0, 3])

    assert list(window.at_ms) == [AT_MS - 4_000, AT_MS - 1_000]
    assert list(window["read_iops"]) == [200.0, 200.0]
