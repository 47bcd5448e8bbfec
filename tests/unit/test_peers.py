"""How a disk stands beside the others of its host."""

import math
from typing import Final

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from iops.peers import log_ratios, median_of_others, quantile, standing
from tests.unit.builders import examples

VALUES: Final = st.lists(st.sampled_from([math.nan, 0.5, 1.0, 2.0, 3.0, 7.0, 100.0]), min_size=1, max_size=9)


@settings(max_examples=examples(100), deadline=None)
@given(values=VALUES)
def test_the_median_of_the_others_is_that_of_a_plain_loop(values: list[float]) -> None:
    made = median_of_others(np.array(values))

    for place, value in enumerate(values):
        others = [other for index, other in enumerate(values) if index != place and not math.isnan(other)]
        is_known = not math.isnan(value) and len(others) >= 3
        assert made[place] == np.median(others) if is_known else math.isnan(made[place])


@settings(max_examples=examples(60), deadline=None)
@given(values=VALUES, share=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_a_quantile_is_that_of_the_known(values: list[float], share: float) -> None:
    known = [value for value in values if not math.isnan(value)]

    made = float(quantile(np.array(values), share))

    assert math.isclose(made, np.quantile(known, share)) if known else math.isnan(made)


def test_a_disk_that_answers_in_no_time_is_not_compared() -> None:
    assert np.isnan(log_ratios(np.array([0.0, 1.0, 1.0, 1.0]))).all()
    assert log_ratios(np.array([0.0, 1.0, 1.0, 1.0, 1.0])).tolist()[1:] == [0.0] * 4


def stand(mean: list[float], *, minutes: float = 60, deviation: float = 0.0, usual: float | None = None) -> list[float]:
    """Of disks with these means of r over the hour."""
    some = np.full(len(mean), minutes)
    usual_r = np.array([math.nan if usual is None else usual] * len(mean))
    made: list[float] = standing(some, np.array(mean), np.full(len(mean), deviation), usual_r).tolist()
    return made


def test_a_disk_twice_as_slow_for_an_hour_stands_out_by_units_and_the_others_do_not() -> None:
    *others, slow = stand([0.0, 0.0, 0.0, 0.0, math.log(2)])

    assert others == [0.0] * 4
    assert math.isclose(slow, math.log(2) * 60 / 65 / 0.1)


def test_where_disks_scatter_it_takes_more_to_stand_out() -> None:
    assert stand([0.0, 0.0, 0.0, 0.7], deviation=0.8)[-1] < stand([0.0, 0.0, 0.0, 0.7])[-1] / 4


def test_a_repaired_disk_stops_standing_out_although_its_day_was_slow() -> None:
    assert stand([0.0] * 5, usual=1.0) == [0.0] * 5
    assert stand([0.0] * 5, usual=1.0, minutes=10)[0] > 1


def test_a_disk_that_did_not_answer_for_an_hour_stands_nowhere() -> None:
    assert all(math.isnan(value) for value in stand([math.nan] * 4, minutes=0, usual=1.0))
