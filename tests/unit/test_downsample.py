"""Fewer points, no extreme lost."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from iops.telemetry import window_from_samples
from services.insights.downsample import worst_of_buckets
from tests.unit.builders import AT, AT_MS, a_sample, a_window


def test_few_samples_stay_all() -> None:
    assert worst_of_buckets(a_window(5), from_ms=0, to_ms=AT_MS, buckets=5) == [0, 1, 2, 3, 4]


def test_no_samples_are_no_points() -> None:
    assert worst_of_buckets(window_from_samples([]), from_ms=0, to_ms=AT_MS, buckets=1) == []


def test_of_each_part_the_slowest_stays() -> None:
    awaits = [1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 7.0, 1.0]
    window = window_from_samples(
        a_sample(at=AT + timedelta(seconds=second), read_await_ms=value, write_await_ms=None)
        for second, value in enumerate(awaits)
    )

    assert worst_of_buckets(window, from_ms=AT_MS, to_ms=AT_MS + 7_000, buckets=2) == [1, 6]


def test_where_nothing_completed_the_deepest_queue_stays() -> None:
    window = window_from_samples(
        a_sample(at=AT + timedelta(seconds=second), read_iops=0.0, write_iops=0.0, read_await_ms=None,
                 write_await_ms=None, queue_depth=depth)
        for second, depth in enumerate([1.0, 64.0, 2.0])
    )  # fmt: skip

    assert worst_of_buckets(window, from_ms=AT_MS, to_ms=AT_MS + 2_000, buckets=1) == [1]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=50, unique=True), st.integers(1, 20))
def test_there_are_never_more_points_than_asked_for_and_the_slowest_of_all_is_there(
    offsets_ms: list[int], buckets: int
) -> None:
    window = window_from_samples(
        a_sample(at=AT + timedelta(milliseconds=offset_ms), read_await_ms=1.0 + offset_ms % 97, write_await_ms=None)
        for offset_ms in offsets_ms
    )

    kept = worst_of_buckets(window, from_ms=AT_MS, to_ms=AT_MS + 10_000, buckets=buckets)

    assert len(kept) <= buckets
    assert kept == sorted(set(kept))
    assert max(window["read_await_ms"]) in [window["read_await_ms"][index] for index in kept]
