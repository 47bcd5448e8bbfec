"""Which findings a language model is asked about."""

import pytest

from iops.insight import PredictionType
from services.insights.trigger import lasting_type, should_explain
from tests.unit.builders import a_finding, a_stream, nothing_wrong
from tests.unit.test_record import an_ill_stream

FAIL_SLOW = PredictionType.FAIL_SLOW
THROTTLED = PredictionType.THROUGHPUT_THROTTLING
STALL = PredictionType.STALL


@pytest.mark.parametrize(("risk_score", "expected"), [(59.9, False), (60, True), (100, True)])
def test_a_new_episode_is_worth_words_from_60_on(risk_score: float, expected: bool) -> None:
    assert should_explain(a_finding(risk_score), a_stream()) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(70, 79.9, False), (70, 80, True), (90, 70, False), (59.9, 60, True)]
)
def test_an_episode_that_goes_on_is_worth_words_when_it_jumps_by_10(
    before: float, after: float, expected: bool
) -> None:
    assert should_explain(a_finding(after), an_ill_stream(before)) is expected


def test_another_type_is_worth_words_and_another_name_of_one_slowness_is_not() -> None:
    assert should_explain(a_finding(90, FAIL_SLOW), an_ill_stream(90, STALL))
    assert not should_explain(a_finding(90, FAIL_SLOW), an_ill_stream(90, THROTTLED))


def test_a_step_to_a_page_is_told_and_worth_no_new_words() -> None:
    assert not should_explain(a_finding(85), an_ill_stream(79))


def test_an_episode_keeps_its_name_and_the_next_one_has_its_own() -> None:
    assert lasting_type(an_ill_stream(90, FAIL_SLOW), a_finding(90, THROTTLED)) is FAIL_SLOW
    assert lasting_type(an_ill_stream(20, FAIL_SLOW), a_finding(90, THROTTLED)) is THROTTLED
    assert lasting_type(a_stream(), nothing_wrong()) is None
