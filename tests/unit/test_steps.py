"""Samples and minutes cut into steps, with numbers that can be done in the head."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from iops.rollup import roll_up
from iops.telemetry import Window, empty_window, merge_windows, window_from_samples
from services.insights.steps import Means, Steps, round_step_s, steps_of, to_lists
from tests.unit.builders import AT, a_sample, a_window

AT_S = int(AT.timestamp())  # a full hour


def samples(*fields: dict[str, Any], interval_s: float = 1.0, begin_s: float = 1.0) -> Window:
    """One after another, the first ending `begin_s` after AT."""
    made = [
        a_sample(at=AT + timedelta(seconds=begin_s + index * interval_s), **{"interval_s": interval_s, **each})
        for index, each in enumerate(fields)
    ]
    return window_from_samples(made)


def means(*windows: Window, step_s: int = 10, count: int = 2) -> Means:
    made = Means(Steps(AT_S, step_s, count))
    for window in windows:
        made.add_samples(window)
    return made


def column(made: Means, name: str) -> list[float | None]:
    return to_lists(made.columns())[name]


def test_a_mean_is_weighted_by_time() -> None:
    window = merge_windows([samples({"queue_depth": 1.0}), samples({"queue_depth": 4.0}, interval_s=3.0, begin_s=4.0)])

    assert column(means(window), "queue_depth")[0] == 3.25  # (1 * 1 + 4 * 3) / 4


def test_an_await_is_weighted_by_requests_and_nobody_waits_where_there_were_none() -> None:
    made = means(
        samples(
            {"read_iops": 90.0, "read_await_ms": 1.0, "write_iops": 0.0, "write_await_ms": None},
            {"read_iops": 10.0, "read_await_ms": 11.0, "write_iops": 100.0, "write_await_ms": 4.0},
        )
    )

    assert column(made, "read_await_ms")[0] == 2.0  # (90 * 1 + 10 * 11) / 100
    assert column(made, "write_await_ms")[0] == 4.0
    assert column(made, "await_ms")[0] == 3.0  # (200 + 400) / 200
    assert column(made, "iops")[0] == 100.0


def test_awaits_of_requests_too_few_to_have_a_rate_are_still_there() -> None:
    made = means(samples({"read_iops": 0.0, "read_await_ms": 7.0, "write_iops": 0.0, "write_await_ms": None}))

    assert (column(made, "read_await_ms")[0], column(made, "await_ms")[0]) == (7.0, 7.0)


def test_what_was_not_measured_is_null_and_never_0() -> None:
    made = means(samples({"latency_p99_ms": None}, {"latency_p99_ms": 8.0}))

    assert column(made, "latency_p99_ms") == [8.0, None]
    assert column(made, "latency_p95_ms") == [None, None]
    assert column(made, "queue_depth")[1] is None


def test_maxima_are_those_of_steps_with_more_than_one_sample() -> None:
    made = means(samples({"queue_depth": 1.0}, {"queue_depth": 64.0}), samples({"queue_depth": 9.0}, begin_s=12.0))

    assert to_lists(made.maxima())["queue_depth"] == [64.0, None]


def test_a_step_is_filled_by_the_interval_that_covers_its_middle_and_by_no_other() -> None:
    slow = means(samples({"queue_depth": 2.0}, interval_s=30.0, begin_s=30.0), step_s=10, count=5)
    lost = means(samples({"queue_depth": 2.0}, interval_s=10.0, begin_s=31.0), step_s=10, count=5)

    assert column(slow, "queue_depth") == [2.0, 2.0, 2.0, 2.0, None]
    assert column(lost, "queue_depth") == [None, None, 2.0, 2.0, None], "it ended at 31 s and began at 21 s"


def test_a_sample_that_came_a_moment_late_leaves_no_gap_and_one_that_was_lost_does() -> None:
    every = [9.9, 20.01, 29.95, 50.0]
    made = means(*(samples({"queue_depth": at}, interval_s=10.0, begin_s=at) for at in every), count=6)

    assert column(made, "queue_depth") == [9.9, 24.98, 24.98, None, 50.0, 50.0]  # (20.01 + 29.95) / 2


def test_minutes_say_what_their_samples_say() -> None:
    window = a_window(3600, end=AT + timedelta(seconds=3599))
    window.columns["read_await_ms"][:] = type(window.columns["read_await_ms"])("d", np.arange(3600) % 97 / 10 + 0.1)
    window.columns["queue_depth"][1234] = 500.0
    of_samples, of_minutes = means(window, step_s=120, count=30), means(step_s=120, count=30)
    of_minutes.add_minutes(roll_up(window))

    for name, expected in of_samples.columns().items():
        assert of_minutes.columns()[name] == pytest.approx(expected, rel=0.001, nan_ok=True), name
    for name, expected in of_samples.maxima().items():
        assert of_minutes.maxima()[name] == pytest.approx(expected, nan_ok=True), name


def test_what_comes_in_parts_and_in_any_order_is_the_same() -> None:
    window = a_window(60, end=AT + timedelta(seconds=60))
    window.columns["queue_depth"][:] = type(window.columns["queue_depth"])("d", range(60))

    whole, parts = means(window, count=6), means(*(window.cut(at, at + 7) for at in range(56, -1, -7)), count=6)

    assert to_lists(parts.columns()) == to_lists(whole.columns())
    assert to_lists(parts.maxima()) == to_lists(whole.maxima())


def test_what_lies_outside_counts_for_nothing() -> None:
    made = means(samples(*[{"queue_depth": 1.0}] * 60, begin_s=-30.0), samples({"queue_depth": 9.0}, begin_s=-30.0))

    assert column(made, "queue_depth") == [1.0, 1.0]
    assert column(means(empty_window()), "queue_depth") == [None, None]


@pytest.mark.parametrize(
    ("span_s", "points", "expected"),
    [(900, 480, 2), (3_600, 480, 10), (21_600, 480, 60), (86_400, 480, 300), (604_800, 480, 1_800), (1, 1_000, 1)],
)
def test_a_step_is_round_and_no_shorter_than_the_points_allow(span_s: float, points: int, expected: int) -> None:
    assert round_step_s(span_s, points) == expected


def test_steps_begin_where_the_clock_says_so_and_cover_both_ends() -> None:
    steps = steps_of(from_s=AT_S - 95, to_s=AT_S, step_s=60)

    assert steps.at_s == [AT_S - 120, AT_S - 60, AT_S]
    assert (steps.from_ms, steps.to_ms) == (1_000 * (AT_S - 120), 1_000 * (AT_S + 60) - 1)


def test_numbers_have_four_digits_whatever_their_size() -> None:
    values = np.array([1e12 / 3, 12.34567, 0.0012345678, 1e-9, -5.55555, 0.0, np.nan])

    assert to_lists({"x": values})["x"] == [333300000000.0, 12.35, 0.001235, 1e-9, -5.556, 0.0, None]
