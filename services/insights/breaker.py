"""A circuit breaker: a provider that fails again and again is left in peace, then probed by one call at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from math import ceil
from typing import Final

import structlog

from services.insights.providers import Reason, Unanswered

log = structlog.get_logger()

# What speaks of the provider's health. A refusal speaks of the request, and a cancellation of the caller.
FAILURES: Final[frozenset[Reason]] = frozenset({"throttled", "failed", "timed_out", "unreachable", "garbled"})


class State(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"  # all
    OPEN = "open"  # none
    HALF_OPEN = "half_open"  # one at a time, as a probe


class Breaker:
    """Opens after `failures` in a row; each probe that fails doubles the rest, one that is answered closes.

    A call that began before the breaker opened says nothing afterwards.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        *,
        name: str,
        failures: int = 5,
        rest_s: float = 30.0,
        longest_rest_s: float = 300.0,
    ) -> None:
        """`name` is the provider's, for log lines."""
        self._now_s = now_s
        self._name = name
        self._failures_limit = failures
        self._first_rest_s = rest_s
        self._longest_rest_s = longest_rest_s
        self._failures = 0  # in a row
        self._rest_s = rest_s  # the last one
        self._rests_until_s: float | None = None  # None: closed
        self._reason: Reason | None = None  # of the failure that opened it
        self._is_probed = False

    @property
    def state(self) -> State:
        """As of now: the end of a rest is no event."""
        if self._rests_until_s is None:
            return State.CLOSED
        return State.OPEN if self._now_s() < self._rests_until_s else State.HALF_OPEN

    def why_not(self) -> str | None:
        """Why a call would not pass now, or None where it would."""
        if self._rests_until_s is None:
            return None
        left_s = self._rests_until_s - self._now_s()
        if left_s > 0:
            return f"rests for {ceil(left_s)} s more ({self._reason})"
        return f"is being probed ({self._reason})" if self._is_probed else None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call. Raises Unanswered("resting") where it may not be made, and whatever it raises."""
        if (problem := self.why_not()) is not None:
            raise Unanswered("resting", f"{self._name} {problem}")
        is_probe = self._is_probed = self.state is State.HALF_OPEN
        try:
            yield
        except Unanswered as error:
            if error.reason in FAILURES:
                self._take_failure(error.reason, is_probe=is_probe)
            raise
        else:
            self._take_answer(is_probe=is_probe)
        finally:
            if is_probe:
                self._is_probed = False

    def _take_failure(self, reason: Reason, *, is_probe: bool) -> None:
        if is_probe:
            self._open(reason, min(2 * self._rest_s, self._longest_rest_s))
        elif self._rests_until_s is None:
            self._failures += 1
            if self._failures >= self._failures_limit:
                self._open(reason, self._first_rest_s)

    def _take_answer(self, *, is_probe: bool) -> None:
        if is_probe:
            self._close()
        elif self._rests_until_s is None:
            self._failures = 0

    def _open(self, reason: Reason, rest_s: float) -> None:
        self._rest_s = rest_s
        self._rests_until_s = self._now_s() + rest_s
        self._reason = reason
        log.warning("breaker_opened", provider=self._name, reason=reason, rest_s=rest_s)

    def _close(self) -> None:
        self._failures = 0
        self._rests_until_s = None
        log.info("breaker_closed", provider=self._name)
