"""How often strangers come, by address."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from iops.errors import Unavailable

ADDRESSES_LIMIT: Final = 10_000
MISSES_BURST: Final = 60  # unknown keys or tokens of one address, then one in two seconds
MISSES_RATE: Final = 0.5
MISSES_RETRY_S: Final = 30


class Misses:
    """How often an address came with something unknown: each costs a read of the table or a check of a signature."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # misses left, and when that was counted

    def check(self, address: str) -> None:
        """Raises Unavailable: 503, since telemetry that is answered with 429 is dropped by some who send it."""
        if self._left_of(address) < 1:
            raise Unavailable("too many unknown keys came from your address", retry_after_s=MISSES_RETRY_S)

    def note(self, address: str) -> None:
        """One more."""
        self._left[address] = (self._left_of(address) - 1, self._monotonic_s())
        self._left.move_to_end(address)
        if len(self._left) > ADDRESSES_LIMIT:
            self._left.popitem(last=False)

    def _left_of(self, address: str) -> float:
        now_s = self._monotonic_s()
        left, at_s = self._left.get(address, (float(MISSES_BURST), now_s))
        return min(float(MISSES_BURST), left + (now_s - at_s) * MISSES_RATE)
