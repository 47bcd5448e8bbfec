"""What is usual: means that weigh as they should, and quantiles of minutes."""

from datetime import timedelta

import pytest

from iops.baseline import make_baseline, minutes_of, quantile, summarize
from iops.telemetry import empty_window, merge_windows, window_from_samples
from tests.unit.builders import AT, AT_MS, a_sample, a_window


def test_the_await_is_a_mean_over_requests_not_over_samples() -> None:
    window = window_from_samples(
        [
            a_sample(at=AT, read_iops=90.0, read_await_ms=1.0, write_iops=0.0, write_await_ms=None),
            a_sample(
                at=AT + timedelta(seconds=1), read_iops=0.0, read_await_ms=None, write_iops=10.0, write_await_ms=11.0
            ),
        ]
    )

    row = summarize(window)

    assert row is not None
    assert row.await_ms == pytest.approx(2.0)  # (90 * 1 + 10 * 11) / 100
    assert (row.completions, row.span_s, row.iops) == (100.0, 2.0, 50.0)


def test_a_longer_interval_weighs_more() -> None:
    window = window_from_samples(
        [a_sample(at=AT, queue_depth=1.0), a_sample(at=AT + timedelta(seconds=9), interval_s=9.0, queue_depth=11.0)]
    )

    row = summarize(window)

    assert row is not None
    assert row.queue_depth == pytest.approx(10.0)
    assert row.span_s == 10.0


def test_requests_whose_time_is_unknown_do_not_count_as_fast() -> None:
    window = a_window(read_await_ms=4.0, write_iops=200.0, write_await_ms=None)

    row = summarize(window)

    assert row is not None
    assert row.await_ms == pytest.approx(4.0)


def test_where_nothing_completed_there_is_no_await_and_no_size() -> None:
    row = summarize(a_window(read_iops=0.0, read_await_ms=None, read_bytes_s=0.0))

    assert row is not None
    assert (row.await_ms, row.request_bytes, row.iops) == (None, None, 0.0)


def test_of_nothing_nothing_is_known() -> None:
    assert summarize(empty_window()) is None
    assert minutes_of(empty_window()) == []
    assert make_baseline(empty_window(), made_at_ms=AT_MS) is None


def test_minutes_are_those_of_the_clock_and_gaps_are_left_out() -> None:
    window = merge_windows([a_window(30, end=AT + timedelta(seconds=10)), a_window(5, end=AT + timedelta(hours=1))])

    rows = minutes_of(window)

    assert [(row.samples, row.ends_ms - AT_MS) for row in rows] == [
        (19, -1_000), (11, 10_000), (4, 3_599_000), (1, 3_600_000)
    ]  # fmt: skip


def test_a_baseline_knows_the_quantiles_of_the_minutes() -> None:
    minutes = [
        a_window(1, end=AT + timedelta(minutes=number), interval_s=60.0, read_await_ms=float(number))
        for number in range(101)
    ]

    baseline = make_baseline(merge_windows(minutes), made_at_ms=AT_MS)

    assert baseline is not None
    assert baseline.await_ms is not None
    assert (
        baseline.await_ms.p10,
        baseline.await_ms.p50,
        baseline.await_ms.p90,
        baseline.await_ms.p99,
    ) == pytest.approx((10, 50, 90, 99))
    assert (baseline.minutes, baseline.from_ms) == (101, AT_MS)


def test_a_day_without_requests_has_no_usual_await() -> None:
    baseline = make_baseline(a_window(read_iops=0.0, read_await_ms=None), made_at_ms=AT_MS)

    assert baseline is not None
    assert baseline.await_ms is None


def test_a_quantile_lies_between_its_neighbours() -> None:
    assert quantile([7.0], 0.99) == 7.0
    assert quantile([1.0, 3.0], 0.5) == 2.0
    assert quantile([1.0, 3.0], 1.0) == 3.0
