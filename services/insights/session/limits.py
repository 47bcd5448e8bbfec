"""How often the session doors may be asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iops.allowance import Allowance
from iops.errors import SlowDown

POLL_INTERVAL_S: Final = 5  # as RFC 8628 has it


class Limits:
    """Of everything here that a stranger may ask, and of what somebody could guess."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self.addresses = Allowance(monotonic_s, burst=60, every_s=0.5)  # what costs a read or a write of the table
        self.devices = Allowance(monotonic_s, burst=10, every_s=30)  # machines that one address makes wait
        self.polls = Allowance(monotonic_s, burst=2, every_s=POLL_INTERVAL_S - 1, error=SlowDown)  # clocks differ
        self.wrong_codes = Allowance(monotonic_s, burst=5, every_s=12)  # of one approver: 5 a minute of 2.6e10
