"""The protocol by which scores are judged."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import ml.calibration
import ml.protocol
from ml.calibration import bootstrap, brier, calibration_error, reliability
from ml.protocol import Interval, Truth, average_precision, pages, tally, threshold_for_budget, vus_pr


def alarms(*minutes: int, count: int = 200) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[list(minutes)] = True
    return mask


def a_truth(*events: Interval, ignored: Interval = (0, 0), count: int = 200) -> Truth:
    target, is_ignored = np.zeros(count), np.zeros(count, bool)
    for start, stop in events:
        target[start:stop] = 1
    is_ignored[slice(*ignored)] = True
    return Truth(target, is_ignored, events)


@pytest.mark.parametrize("module", [ml.protocol, ml.calibration])
def test_the_examples_in_the_text_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "events", "digits", "expected"),
    [
        (600, [(100, 130), (300, 303), (310, 320)], 6, 0.3165357760658187),
        (400, [(0, 5), (200, 260), (393, 400)], 1, 0.6609920436153659),
    ],
)
def test_vus_pr_is_what_tsb_ad_gives(count: int, events: list[Interval], digits: int, expected: float) -> None:
    target, at = a_truth(*events, count=count).target, np.arange(count)
    score = np.round(np.sin(0.37 * at) + np.cos(0.011 * at * at) + 1.2 * target, digits)
    assert vus_pr(target, score) == pytest.approx(expected, abs=1e-9)


def test_a_score_that_says_the_same_of_all_minutes_is_worth_the_base_rate() -> None:
    target = np.array([1.0, 0, 0, 0])
    assert average_precision(target, np.zeros(4)) == 0.25


def test_a_host_drawn_twice_weighs_twice() -> None:
    target, score = np.array([1.0, 0.0, 1.0]), np.array([3.0, 2.0, 1.0])
    twice = average_precision(np.repeat(target, [1, 2, 1]), np.repeat(score, [1, 2, 1]))
    assert average_precision(target, score, np.array([1.0, 2.0, 1.0])) == pytest.approx(twice)


def test_without_events_a_curve_is_unknown() -> None:
    assert np.isnan(average_precision(np.zeros(30), np.arange(30.0)))
    assert np.isnan(vus_pr(np.zeros(30), np.arange(30.0)))


@pytest.mark.parametrize(("minute", "found"), [(99, 0), (100, 1), (109, 1), (114, 1), (115, 0)])
def test_an_event_is_found_until_five_minutes_after_its_end(minute: int, found: int) -> None:
    assert tally(alarms(minute), a_truth((100, 110))).found == found


@pytest.mark.parametrize(("minute", "false_pages"), [(94, 1), (95, 0), (114, 0), (115, 1)])
def test_a_page_within_five_minutes_of_an_event_is_not_false(minute: int, false_pages: int) -> None:
    assert tally(alarms(minute), a_truth((100, 110))).false_pages == false_pages


def test_a_page_is_not_false_if_any_of_its_minutes_touches_an_event() -> None:
    assert tally(alarms(85, 95), a_truth((100, 110))).false_pages == 0
    assert tally(alarms(84, 95), a_truth((100, 110))).false_pages == 1


def test_an_alarm_in_an_ignored_minute_is_no_alarm() -> None:
    assert tally(alarms(25), a_truth((100, 110), ignored=(20, 30))).pages == 0


def test_an_alarm_that_lasts_pages_again_every_hour() -> None:
    result = tally(alarms(*range(130)), a_truth())
    assert (result.pages, result.false_pages) == (3, 3)


def test_the_delay_is_counted_from_the_start_of_the_event() -> None:
    assert tally(alarms(107, 150), a_truth((100, 110), (150, 160))).delays == (7, 0)


def test_no_alarm_sends_no_page() -> None:
    assert pages(np.flatnonzero(alarms())).shape == (0, 2)


def test_a_budget_buys_the_lowest_threshold_that_keeps_it() -> None:
    score = np.zeros(1440)
    score[[100, 300, 500]] = 3, 2, 1
    truth = a_truth((300, 301), count=1440)
    assert threshold_for_budget([score], [truth], 1.0, np.array([1.0, 2.0, 3.0])) == 2.0
    assert threshold_for_budget([score], [truth], 0.5, np.array([1.0, 2.0, 3.0])) == np.inf


def test_calibration_is_judged_by_bins() -> None:
    target, p = np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.25, 0.25, 0.25, 1.0])
    bins = reliability(target, p)
    assert [(part.minutes, part.mean_p) for part in bins] == [(3, 0.25), (1, 1.0)]
    assert calibration_error(bins) == pytest.approx(0.3125)  # 3/4 of the minutes are 5/12 off
    assert brier(target, p) == pytest.approx(1.1875 / 4)


def test_the_bootstrap_draws_machines() -> None:
    low, high = bootstrap(np.array([0.0, 1.0]), np.ones(2), np.random.default_rng(0))
    assert (low, high) == (0.0, 1.0)
    low, high = bootstrap(np.full(8, 0.5), np.ones(8), np.random.default_rng(0))
    assert (low, high) == (0.5, 0.5)
