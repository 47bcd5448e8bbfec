"""Answers that were paid for, at hand for a while: bounded, and asked for once however many ask at the same time.

No library does all of it: cachetools knows time and order but nothing of asyncio, async-lru's waiters share the
fate of the call that it started, and neither says whether an answer was new.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from iops.observability import Metrics

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Flight(Generic[T]):
    """A call that is being made, and how many wait for it."""

    task: asyncio.Task[T]
    waiting: int = 0
    is_told: bool = False  # somebody has taken the answer as a new one


class AnswerCache(Generic[T]):
    """The `limit` answers that were used last, each for `ttl_s` after it came."""

    def __init__(
        self, now_s: Callable[[], float], metrics: Metrics, *, limit: int = 1_000, ttl_s: float = 3_600
    ) -> None:
        """`now_s` only grows, as `time.monotonic` does."""
        self._now_s = now_s
        self._limit = limit
        self._ttl_s = ttl_s
        self._answers: OrderedDict[str, tuple[float, T]] = OrderedDict()  # until when; the least recently used first
        self._flights: dict[str, _Flight[T]] = {}
        self._asked = metrics.counter("iops_explainer_cache", "Explanations that were looked up", "outcome")

    async def get_or(self, key: str, make: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The answer, and whether it cost nothing: it was at hand, or another asker's call brought it.

        Of all that ask meanwhile one calls `make`. What it raises all of them get, and it is not kept. The call goes
        on while anybody waits for it; when the last one is cancelled, so is the call, and it has ended.
        """
        if found := self._find(key):
            self._asked.labels("hit").inc()
            return found[0], True
        flight = self._flights.get(key)
        self._asked.labels("hit" if flight else "miss").inc()
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(self._make(key, make)))
        return await self._wait(key, flight)

    async def _wait(self, key: str, flight: _Flight[T]) -> tuple[T, bool]:
        flight.waiting += 1
        try:
            answer = await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                self._flights.pop(key, None)  # whoever asks now starts anew
                flight.task.cancel()
                await asyncio.wait([flight.task])  # it may pay and close what it holds; nobody else would wait for it
        is_cached, flight.is_told = flight.is_told, True
        return answer, is_cached

    async def _make(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        me = asyncio.current_task()
        try:
            answer = await make()
        finally:
            if (flight := self._flights.get(key)) and flight.task is me:
                del self._flights[key]
        self._keep(key, answer)
        return answer

    def _keep(self, key: str, answer: T) -> None:
        self._answers[key] = (self._now_s() + self._ttl_s, answer)
        self._answers.move_to_end(key)
        if len(self._answers) > self._limit:
            self._answers.popitem(last=False)

    def _find(self, key: str) -> tuple[T] | None:
        found = self._answers.get(key)
        if found is None:
            return None
        until_s, answer = found
        if self._now_s() >= until_s:
            del self._answers[key]
            return None
        self._answers.move_to_end(key)
        return (answer,)
