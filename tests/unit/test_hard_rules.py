"""A stall and an I/O error page, whatever else is said."""

from datetime import timedelta

import pytest

from iops.insight import PredictionType
from iops.telemetry import merge_windows
from tests.unit.builders import AT, a_window
from tests.unit.test_rules import IDLE, a_minute_with, judge


class TestStall:
    """In flight, and nothing completes."""

    HANGS = IDLE | {"in_flight": 4, "utilization_ratio": 1.0}

    def test_ten_seconds_page(self) -> None:
        finding = judge(a_minute_with(self.HANGS, at=range(50, 60)))

        assert (finding.risk_score, finding.prediction_type) == (91.7, PredictionType.STALL)
        assert finding.is_hard_rule
        assert finding.facts[0].sentence == "nothing completed for 10 s with 4 requests in flight"
        assert finding.began_at == AT - timedelta(seconds=10)

    def test_what_was_in_flight_before_it_is_not_its_evidence(self) -> None:
        busy = a_minute_with(self.HANGS, at=range(50, 60), in_flight=64)

        assert judge(busy).facts[0].sentence == "nothing completed for 10 s with 4 requests in flight"

    def test_one_request_is_told_in_the_singular(self) -> None:
        hangs = self.HANGS | {"in_flight": 1}

        sentence = judge(a_minute_with(hangs, at=range(50, 60))).facts[0].sentence

        assert sentence == "nothing completed for 10 s with 1 request in flight"

    def test_three_seconds_do_not(self) -> None:
        assert judge(a_minute_with(self.HANGS, at=range(50, 53))).prediction_type is not PredictionType.STALL

    def test_one_that_never_ends_is_seen_when_no_request_is_left_in_the_window(self) -> None:
        finding = judge(a_window(1_200, **self.HANGS))

        assert (finding.risk_score, finding.prediction_type) == (100, PredictionType.STALL)

    def test_a_disk_that_shows_no_time_until_requests_complete_stalls_too(self) -> None:
        hangs = self.HANGS | {"utilization_ratio": 0.0}

        assert judge(a_minute_with(hangs, at=range(50, 60))).prediction_type is PredictionType.STALL

    def test_two_lone_requests_minutes_apart_are_none(self) -> None:
        caught = IDLE | {"in_flight": 1, "utilization_ratio": 0.01}
        lone = [a_window(1, end=AT - timedelta(minutes=ago), interval_s=2.0, **caught) for ago in (7, 0)]

        assert judge(merge_windows(lone)).risk_score == 0

    def test_one_that_is_over_for_ten_minutes_is_over(self) -> None:
        hung = a_window(6, end=AT - timedelta(minutes=10), **self.HANGS)

        assert judge(merge_windows([hung, a_window(590, **IDLE)])).risk_score == 0

    def test_two_intervals_of_a_minute_are_one(self) -> None:
        finding = judge(a_window(2, interval_s=60.0, **self.HANGS))

        assert finding.facts[0].sentence == "nothing completed for 120 s with 4 requests in flight"

    def test_it_needs_no_history(self) -> None:
        finding = judge(a_minute_with(self.HANGS, at=range(50, 60)), baseline=None)

        assert (finding.prediction_type, finding.warming_up) == (PredictionType.STALL, True)


class TestErrors:
    """A healthy device has none."""

    @pytest.mark.parametrize(
        ("count", "risk", "said"),
        [
            (1, 85, "1 I/O error in"),
            (10, 90, "10 I/O errors in"),
            (1_000, 100, "1000 I/O errors in"),
            (10**9, 100, "1000000000 I/O errors in"),
        ],
    )
    def test_each_pages_and_many_more_so(self, count: int, risk: float, said: str) -> None:
        finding = judge(a_minute_with({"io_errors": count}, at=[5], io_errors=0))

        assert (finding.risk_score, finding.prediction_type) == (risk, PredictionType.IO_ERRORS)
        assert finding.is_hard_rule
        assert finding.facts[0].sentence.startswith(f"{said} the last 15 min")

    def test_those_of_an_hour_ago_are_over(self) -> None:
        old = a_window(5, end=AT - timedelta(minutes=16), io_errors=7)

        assert judge(merge_windows([old, a_window(io_errors=0)])).risk_score == 0
