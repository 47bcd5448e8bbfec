"""The words for how a service stands: by what its replicas said, how long ago, and who came in place of whom."""

from datetime import timedelta

import pytest

from iops.items import Pulse
from services.insights.verdict import State, view_service
from tests.unit.builders import AT, a_pulse

MINUTE = timedelta(minutes=1)


def said(*pulses: Pulse, service: str = "alerts") -> tuple[State, str]:
    view = view_service(service, pulses, AT)
    return view.state, view.says


def test_a_replica_that_was_heard_a_minute_ago_is_well() -> None:
    assert said(a_pulse(at=AT - MINUTE)) == ("ok", "ok")


@pytest.mark.parametrize(
    ("age_s", "state", "says"),
    [
        (90, "ok", "ok"),
        (91, "not_heard_of", "not heard of for 2 min"),
        (180, "not_heard_of", "not heard of for 3 min"),
        (3_599, "not_heard_of", "not heard of for 60 min"),
        (3_600, "not_heard_of", "not heard of for an hour or more"),
    ],
)
def test_a_replica_that_says_nothing_is_not_heard_of(age_s: float, state: State, says: str) -> None:
    assert said(a_pulse(started_at=AT - 99 * MINUTE, at=AT - timedelta(seconds=age_s))) == (state, says)


def test_a_service_of_which_there_is_nothing_is_not_heard_of_either() -> None:
    assert said() == ("not_heard_of", "not heard of for an hour or more")


def test_what_fails_is_said_with_its_reason() -> None:
    failing = a_pulse(failed={"table": "away", "loops": "ended: intake"})

    assert said(failing) == ("degraded", "degraded: loops (ended: intake); table (away)")


def test_one_of_two_that_is_lost_degrades_the_service() -> None:
    lost = a_pulse(replica="b2", started_at=AT - 50 * MINUTE, at=AT - 3 * MINUTE)

    assert said(a_pulse(), lost) == ("degraded", "degraded: 1 of 2 replicas not heard of for 3 min")


def test_a_replica_that_began_since_is_in_place_of_the_one_that_was_lost() -> None:
    lost = a_pulse(replica="b2", at=AT - 3 * MINUTE)
    successor = a_pulse(replica="c3", started_at=AT - 2 * MINUTE)

    view = view_service("alerts", [lost, successor], AT)

    assert (view.state, [each.replica for each in view.replicas]) == ("ok", ["c3"])


def test_a_successor_that_is_lost_too_is_the_one_that_is_missed() -> None:
    first = a_pulse(replica="b2", at=AT - 9 * MINUTE)
    successor = a_pulse(replica="c3", started_at=AT - 8 * MINUTE, at=AT - 3 * MINUTE)

    view = view_service("alerts", [first, successor], AT)

    assert (view.says, [each.replica for each in view.replicas]) == ("not heard of for 3 min", ["c3"])


def test_one_successor_is_in_place_of_one_only() -> None:
    lost = [a_pulse(replica=name, at=AT - 3 * MINUTE) for name in ("a1", "b2")]
    successor = a_pulse(replica="c3", started_at=AT - 2 * MINUTE)

    assert said(*lost, successor)[1] == "degraded: 1 of 2 replicas not heard of for 3 min"


def test_a_clock_that_is_ahead_is_heard_all_the_same() -> None:
    assert said(a_pulse(at=AT + MINUTE)) == ("ok", "ok")


@pytest.mark.parametrize(
    ("service", "says"),
    [
        ("alerts", "alerts has not been heard of for 3 min: nobody is told of anything"),
        ("insights", "insights has not been heard of for 3 min: nothing is scored"),
        ("ingest", "ingest has not been heard of for 3 min: samples may not be taken, and agents keep them"),
    ],
)
def test_the_trouble_says_what_it_means(service: str, says: str) -> None:
    trouble = view_service(service, [a_pulse(service, at=AT - 3 * MINUTE)], AT).trouble

    assert trouble is not None
    assert (trouble.says, trouble.section) == (says, "unhealthy-targets")
    assert view_service(service, [a_pulse(service)], AT).trouble is None
