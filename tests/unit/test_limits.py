"""How much one stream and one caller may send."""

import pytest

from iops.errors import RateExceeded
from services.ingest.limits import Limits
from services.ingest.settings import IngestSettings


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused(limits: Limits, *stream_ids: str, caller: str = "10.0.0.1") -> RateExceeded | None:
    try:
        limits.take(caller, stream_ids)
    except RateExceeded as error:
        return error
    return None


def test_a_burst_of_20_passes_and_then_ten_a_second(clock: Clock) -> None:
    limits = Limits(IngestSettings(), clock)

    assert [refused(limits, "a") for _ in range(20)] == [None] * 20
    error = refused(limits, "a")
    assert error is not None
    assert (error.status, error.retry_after_s) == (429, 1)
    clock.now_s += 0.1
    assert refused(limits, "a") is None
    assert refused(limits, "a") is not None


def test_one_streams_haste_is_not_anothers(clock: Clock) -> None:
    limits = Limits(IngestSettings(stream_burst=1), clock)

    assert refused(limits, "a") is None
    assert refused(limits, "b") is None


def test_a_request_that_is_refused_takes_nothing(clock: Clock) -> None:
    limits = Limits(IngestSettings(stream_burst=1), clock)
    refused(limits, "a")

    assert refused(limits, "a", "b") is not None
    assert refused(limits, "b") is None


def test_many_batches_of_a_stream_in_one_request_are_one(clock: Clock) -> None:
    limits = Limits(IngestSettings(stream_burst=1), clock)

    assert refused(limits, *["a"] * 100) is None


def test_ten_thousand_new_streams_of_one_caller_are_not_taken(clock: Clock) -> None:
    limits = Limits(IngestSettings(), clock)

    outcomes = [refused(limits, f"s{number}") for number in range(10_000)]

    assert outcomes.count(None) == 2_000
    assert refused(limits, "s1") is None, "what it sent before it may go on sending"
    assert refused(limits, "s9999", caller="10.0.0.2") is None


def test_streams_that_are_gone_do_not_count_for_ever(clock: Clock) -> None:
    limits = Limits(IngestSettings(streams_per_caller=2), clock)
    for stream_id in ("a", "b"):
        assert refused(limits, stream_id) is None
    assert refused(limits, "c") is not None

    clock.now_s += 3_600

    assert refused(limits, "c") is None
