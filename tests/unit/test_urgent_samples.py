"""Which samples cannot wait for the next scoring of their group."""

from datetime import timedelta
from typing import Any

import pytest

from iops.telemetry import Window, merge_windows
from services.ingest.arrival import is_urgent
from tests.unit.builders import AT, a_window

IDLE: dict[str, Any] = {"read_iops": 0.0, "write_iops": 0.0, "read_await_ms": None, "write_await_ms": None}


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (a_window(3), False),
        (a_window(3, **IDLE, in_flight=0), False),
        (a_window(3, **IDLE, in_flight=1), True),
        (a_window(3, **(IDLE | {"write_iops": 1.0}), in_flight=64), False),
        (a_window(3, io_errors=0), False),
        (a_window(3, io_errors=1), True),
        (a_window(3, io_errors=None), False),
    ],
)
def test_errors_and_requests_that_do_not_end_are_urgent(window: Window, expected: bool) -> None:
    assert is_urgent(window) is expected


def test_one_bad_sample_of_sixty_is_urgent() -> None:
    before = a_window(59, end=AT - timedelta(seconds=1))

    assert is_urgent(merge_windows([before, a_window(1, **IDLE, in_flight=8)]))
