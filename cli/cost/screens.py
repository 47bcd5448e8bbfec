"""What people who look make the table read in a month. A test meters each page against these units."""

from __future__ import annotations

from typing import Final

# Metered (tests/unit/test_cost_screens.py), with rows as large as the demonstration's.
STREAM_READ_UNITS: Final = 5.5  # the stream's page again: its row, its ten insights, its newest chunks
STREAM_EVERY_S: Final = 5.0
CHART_READ_UNITS: Final = (
    17.0  # its charts again: rows of eight kinds of alerts, its baseline, its peers' and own chunks
)
CHART_EVERY_S: Final = 20.0
ALERTS_READ_UNITS: Final = 3.5  # the list: what is over, and silences; what is open is in memory
STRIP_READ_UNITS: Final = 3.0  # pulses of three services, the days of a month, today's money
STRIP_EVERY_S: Final = 10.0  # however many look
KEY_READ_UNITS: Final = 1.0  # of who looks
KEY_EVERY_S: Final = 60.0
NEWEST_READ_UNITS: Final = 0.5  # a row of the fleet: the stream's newest chunks, where another replica scores it
NEWEST_EVERY_S: Final = 20.0
ROWS: Final = 50  # a page of the fleet

# Assumed.
SCREEN_H: Final = 176.0  # a month in which one screen shows the fleet: 8 h a working day
STREAM_H: Final = 44.0  # beside it somebody looks at one stream: 2 h a working day
ALERTS_EVERY_S: Final = 60.0  # the list is renewed where an alert changes, and looked at anew


def screen_reads(streams: int) -> float:
    """Read units of one screen and one person."""
    screen_s, stream_s = 3600 * SCREEN_H, 3600 * STREAM_H
    fleet = min(ROWS, streams) * NEWEST_READ_UNITS / NEWEST_EVERY_S
    strip = STRIP_READ_UNITS / STRIP_EVERY_S + KEY_READ_UNITS / KEY_EVERY_S
    alerts = ALERTS_READ_UNITS / ALERTS_EVERY_S
    stream = STREAM_READ_UNITS / STREAM_EVERY_S + CHART_READ_UNITS / CHART_EVERY_S
    return screen_s * (fleet + strip + alerts) + stream_s * stream
