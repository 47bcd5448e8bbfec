"""How often one name may do something: kept in this process, so each replica allows as much."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from iops.errors import RateExceeded

NAMES_LIMIT: Final = 10_000  # remembered, the oldest out


class Allowance:
    """`burst` at once for each name, then one more each `every_s`."""

    def __init__(
        self, monotonic_s: Callable[[], float], *, burst: int, every_s: float, error: type[RateExceeded] = RateExceeded
    ) -> None:
        self._monotonic_s, self._burst, self._every_s, self._error = monotonic_s, float(burst), every_s, error
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and when that was counted

    def has(self, name: str) -> bool:
        """Whether something is left."""
        return self._left_of(name) >= 1

    def take(self, name: str) -> None:
        """Raises RateExceeded where nothing is left."""
        left = self._left_of(name)
        if left < 1:
            wait_s = (1 - left) * self._every_s
            raise self._error("that was too often; wait a little", retry_after_s=max(1, round(wait_s)))
        self._keep(name, left - 1)

    def use(self, name: str) -> None:
        """Takes one also where nothing is left: of those who asked before it was used up, some come later."""
        self._keep(name, self._left_of(name) - 1)

    def give_back(self, name: str) -> None:
        """For one that turned out to be none of those that are counted."""
        self._keep(name, min(self._burst, self._left_of(name) + 1))

    def _left_of(self, name: str) -> float:
        now_s = self._monotonic_s()
        left, at_s = self._left.get(name, (self._burst, now_s))
        return min(self._burst, left + (now_s - at_s) / self._every_s)

    def _keep(self, name: str, left: float) -> None:
        self._left[name] = (left, self._monotonic_s())
        self._left.move_to_end(name)
        if len(self._left) > NAMES_LIMIT:
            self._left.popitem(last=False)
