"""When a provider is left in peace, and what brings it back."""

import asyncio
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from services.insights.breaker import Breaker, State
from services.insights.providers import Reason, Unanswered


class Hours:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Hours:
    return Hours()


@pytest.fixture
def breaker(clock: Hours) -> Breaker:
    return Breaker(clock, name="bedrock")


def fail(breaker: Breaker, reason: Reason = "throttled", *, times: int = 1) -> None:
    for _ in range(times):
        with suppress(Unanswered), breaker.call():
            raise Unanswered(reason, "for the test")


def answer(breaker: Breaker) -> None:
    with breaker.call():
        pass


def an_open_one(clock: Hours) -> Breaker:
    breaker = Breaker(clock, name="bedrock")
    fail(breaker, times=5)
    return breaker


def test_five_failures_in_a_row_open_it(breaker: Breaker) -> None:
    fail(breaker, times=4)
    assert breaker.why_not() is None
    fail(breaker)
    assert breaker.state is State.OPEN
    with pytest.raises(Unanswered, match=r"resting: bedrock rests for 30 s more \(throttled\)"):
        answer(breaker)


def test_an_answer_between_them_starts_the_count_again(breaker: Breaker) -> None:
    fail(breaker, times=4)
    answer(breaker)
    fail(breaker, times=4)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("reason", ["throttled", "failed", "timed_out", "unreachable", "garbled"])
def test_what_speaks_of_the_provider_counts(breaker: Breaker, reason: Reason) -> None:
    fail(breaker, reason, times=5)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("reason", ["refused", "over_budget", "budget_unknown"])
def test_what_speaks_of_the_request_or_of_us_does_not_count(breaker: Breaker, reason: Reason) -> None:
    fail(breaker, reason, times=50)
    assert breaker.state is State.CLOSED


def test_a_cancelled_call_does_not_count(breaker: Breaker) -> None:
    for _ in range(50):
        with suppress(asyncio.CancelledError), breaker.call():
            raise asyncio.CancelledError
    assert breaker.state is State.CLOSED


def test_an_answered_probe_closes_it(clock: Hours) -> None:
    breaker = an_open_one(clock)
    clock.now_s += 30
    assert (breaker.state, breaker.why_not()) == (State.HALF_OPEN, None)
    answer(breaker)
    assert breaker.state is State.CLOSED
    fail(breaker, times=4)
    assert breaker.state is State.CLOSED


def test_each_failed_probe_doubles_the_rest_up_to_300_s(clock: Hours) -> None:
    breaker = an_open_one(clock)
    rests_s = []
    for _ in range(5):
        began_s = clock.now_s
        while breaker.state is State.OPEN:
            clock.now_s += 1
        rests_s.append(clock.now_s - began_s)
        fail(breaker, "timed_out")
    assert rests_s == [30, 60, 120, 240, 300]


def test_after_a_good_probe_the_rest_is_short_again(clock: Hours) -> None:
    breaker = an_open_one(clock)
    clock.now_s += 30
    fail(breaker)
    clock.now_s += 60
    answer(breaker)
    fail(breaker, times=5)
    assert breaker.why_not() == "rests for 30 s more (throttled)"


def test_two_never_probe_at_once(clock: Hours) -> None:
    breaker = an_open_one(clock)
    clock.now_s += 30
    with breaker.call():
        assert breaker.why_not() == "is being probed (throttled)"
        with pytest.raises(Unanswered, match="resting"):
            answer(breaker)
    assert breaker.state is State.CLOSED


def test_a_cancelled_probe_gives_its_place_back(clock: Hours) -> None:
    breaker = an_open_one(clock)
    clock.now_s += 30
    with suppress(asyncio.CancelledError), breaker.call():
        raise asyncio.CancelledError
    assert (breaker.state, breaker.why_not()) == (State.HALF_OPEN, None)


def test_an_answer_to_a_call_that_began_before_closes_nothing(breaker: Breaker) -> None:
    with breaker.call():
        fail(breaker, times=5)
    assert breaker.state is State.OPEN


def test_a_failure_of_a_call_that_began_before_lengthens_nothing(breaker: Breaker, clock: Hours) -> None:
    with suppress(Unanswered), breaker.call():
        fail(breaker, times=5)
        clock.now_s += 12
        raise Unanswered("timed_out", "for the test")
    assert breaker.why_not() == "rests for 18 s more (throttled)"


def test_only_changes_are_logged(clock: Hours) -> None:
    with capture_logs() as lines:
        breaker = an_open_one(clock)
        fail(breaker, times=5)
        clock.now_s += 30
        fail(breaker, "timed_out")
        clock.now_s += 60
        answer(breaker)
        answer(breaker)
    told = [(line["event"], line.get("reason"), line.get("rest_s")) for line in lines]
    assert told == [
        ("breaker_opened", "throttled", 30.0),
        ("breaker_opened", "timed_out", 60.0),
        ("breaker_closed", None, None),
    ]
