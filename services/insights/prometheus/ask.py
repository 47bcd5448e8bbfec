"""Answers questions of Prometheus's kind: reads what they need, and computes off the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np

from iops.auth import Caller
from iops.clock import Clock, to_epoch_ms
from iops.errors import QueryRefused
from iops.table import Table
from services.insights.fleet import Fleet
from services.insights.prometheus import answer
from services.insights.prometheus.evaluate import LOOKBACK_MS, evaluate
from services.insights.prometheus.hold import hold, recall
from services.insights.prometheus.matrix import Instants, Labels, Matrix, Series
from services.insights.prometheus.parse import parse, parse_selector
from services.insights.prometheus.query import Selector, selector_of
from services.insights.prometheus.read import part_kept, read
from services.insights.prometheus.samples import Range
from services.insights.prometheus.series import Held, Sight, Stored, select
from services.insights.prometheus.times import Steps

QUERIES_AT_ONCE: Final = 4  # each may hold 100 MB
LISTED_LIMIT: Final = 20_000  # label sets in an answer, 5 MB
MATCHES_LIMIT: Final = 10  # selectors of a list: each goes through the whole fleet, in a thread that nothing ends


@dataclass(frozen=True, slots=True)
class ReadApi:
    """What the routes work with; the lifespan makes it."""

    table: Table
    fleet: Fleet
    clock: Clock
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(QUERIES_AT_ONCE))

    async def instant(self, text: str, at_ms: int, caller: Caller) -> tuple[str, list[str]]:
        """A query at one instant, as JSON; and what was left out. Raises IopsError."""
        async with self.slots:
            found, left_out = await self._evaluate(text, np.array([at_ms]), caller)
            return await asyncio.to_thread(answer.vector, found, at_ms), left_out

    async def range(self, text: str, steps: Steps, caller: Caller) -> tuple[str, list[str]]:
        """The same at many."""
        async with self.slots:
            found, left_out = await self._evaluate(text, steps.at_ms, caller)
            return await asyncio.to_thread(answer.matrix, found, steps), left_out

    async def series(self, matches: Sequence[str], caller: Caller) -> list[Labels]:
        """The labels of the series that fit one of the selectors, or of all. Raises QueryRefused for too many."""
        async with self.slots:
            found = await asyncio.to_thread(_series, matches, self._sight(caller))
        if len(found) > LISTED_LIMIT:
            raise QueryRefused(f"match[]: it fits more than {LISTED_LIMIT:,} series; select fewer")
        return found

    async def values(self, label: str, matches: Sequence[str], caller: Caller) -> list[str]:
        """What those series have as one label."""
        async with self.slots:
            return await asyncio.to_thread(_values, label, matches, self._sight(caller))

    async def names(self, matches: Sequence[str], caller: Caller) -> list[str]:
        """What their labels are called."""
        async with self.slots:
            return await asyncio.to_thread(_names, matches, self._sight(caller))

    def _sight(self, caller: Caller) -> Sight:
        return Sight(
            [stream for stream in self.fleet.streams.values() if caller.may_see(stream.stream_id)],
            [alert for alert in self.fleet.alerts.values() if caller.may_see(alert.stream_id)],
            to_epoch_ms(self.clock()),
        )

    async def _evaluate(self, text: str, at_ms: Instants, caller: Caller) -> tuple[Matrix | float, list[str]]:
        expression = await asyncio.to_thread(parse, text)
        selector = selector_of(expression)
        series, left_out = await self._read(selector, at_ms, caller) if selector is not None else ([], [])
        return await asyncio.to_thread(evaluate, expression, series, at_ms), left_out

    async def _read(self, selector: Selector, at_ms: Instants, caller: Caller) -> tuple[list[Series], list[str]]:
        sight = self._sight(caller)
        found = await asyncio.to_thread(lambda: list(select(selector.matchers, sight)))
        first_ms, last_ms = int(at_ms[0]) - selector.offset_ms, int(at_ms[-1]) - selector.offset_ms
        begin_ms = first_ms - (selector.range_ms or 0)
        wanted = part_kept(Range(first_ms - (selector.range_ms or LOOKBACK_MS), last_ms), sight.now_ms)
        older, held, stored = _sorted(found, begin_ms)
        series = await asyncio.to_thread(hold, held, wanted)
        recalled, no_past = await recall(self.table, older, wanted)
        samples, left_out = await read(self.table, stored, wanted, now_ms=sight.now_ms)
        return [*series, *recalled, *samples], [*no_past, *left_out]


def _sorted(found: Sequence[Held | Stored], begin_ms: int) -> tuple[list[Held], list[Held], list[Stored]]:
    """Risks that are asked for before they were last scored, what else is in memory, and what is not."""
    older: list[Held] = []
    held: list[Held] = []
    stored: list[Stored] = []
    for each in found:
        if isinstance(each, Stored):
            stored.append(each)
        else:
            (older if each.risk_of is not None and each.since_ms > begin_ms else held).append(each)
    return older, held, stored


def _each(matches: Sequence[str], sight: Sight) -> Iterator[Labels]:
    if len(matches) > MATCHES_LIMIT:
        raise QueryRefused(f"match[]: {len(matches)} are too many, {MATCHES_LIMIT} the limit; select by a pattern")
    asked = [parse_selector(text) for text in matches] or [()]
    return (series.labels for matchers in asked for series in select(matchers, sight))


def _series(matches: Sequence[str], sight: Sight) -> list[Labels]:
    found = {frozenset(labels.items()): labels for labels in islice(_each(matches, sight), 2 * LISTED_LIMIT)}
    return sorted(found.values(), key=lambda labels: sorted(labels.items()))


def _values(label: str, matches: Sequence[str], sight: Sight) -> list[str]:
    return sorted({labels[label] for labels in _each(matches, sight) if label in labels})


def _names(matches: Sequence[str], sight: Sight) -> list[str]:
    return sorted({name for labels in _each(matches, sight) for name in labels})
