"""The bench of the dashboard itself, on a fleet so small that it takes a minute."""

import pytest

from bench.pages import measure
from local.errors import CannotRun


@pytest.mark.slow
def test_a_small_fleet_is_filled_browsed_and_judged() -> None:
    try:
        figures = measure(streams=50)
    except CannotRun as error:
        if "needs Docker" in str(error):
            pytest.skip(str(error))
        raise

    assert figures["fleet page"]["all"]["count"] >= 200
    assert figures["stream page, 24 h"]["page"]["count"] == 60
    assert figures["fault to browser"]["count"] == 10
    assert sorted(figures["limits"]) == [
        "GET /fleet, p95 ms",
        "fault to browser, max ms",
        "fleet page, first look, p95 ms",
        "fleet page, p95 ms",
        "stream page with its files, bytes",
        "stream page, p95 ms",
    ]
