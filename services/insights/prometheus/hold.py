"""What is in memory as samples, and what the risk of a stream was before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import numpy as np

from iops import items
from iops.items import Item
from iops.table import Table, readable
from services.insights.prometheus.matrix import Instants, Series
from services.insights.prometheus.read import MINUTES_HOURS_LIMIT, STREAMS_LIMIT, all_of, hours_of
from services.insights.prometheus.samples import Range
from services.insights.prometheus.series import Held
from services.insights.story import RISK_LASTS_MS

EVERY_MS: Final = 15_000  # a sample so often
NO_PAST: Final = (
    f"risk is shown from when it was last scored: before that it is read for at most {STREAMS_LIMIT} streams "
    f"and {MINUTES_HOURS_LIMIT:,} hours of all"
)


def hold(found: Sequence[Held], wanted: Range) -> list[Series]:
    """Values as samples, from when they were known on; they share their instants."""
    instants = _instants(found, wanted)
    made = []
    for held in found:
        begin, end = np.searchsorted(instants, held.since_ms), np.searchsorted(instants, held.until_ms, side="right")
        at_ms = instants[begin:end]
        made.append(Series(held.labels, at_ms, np.broadcast_to(held.value, at_ms.shape)))
    return made


async def recall(table: Table, found: Sequence[Held], wanted: Range) -> tuple[list[Series], list[str]]:
    """Risks as samples, from before they were last scored; and what had to be left out. Raises TableUnavailable."""
    if len(found) > STREAMS_LIMIT or len(found) * hours_of(wanted) > MINUTES_HOURS_LIMIT:
        return await asyncio.to_thread(hold, found, wanted), [NO_PAST]
    instants = _instants(found, wanted)

    async def one(held: Held) -> Series:
        assert held.risk_of is not None
        rows = await table.query(
            items.risks_query(held.risk_of, from_ms=wanted.from_ms - RISK_LASTS_MS, to_ms=held.since_ms)
        )
        return await asyncio.to_thread(_series, held, rows, instants)

    return await all_of(partial(one, held) for held in found), []


def _instants(found: Iterable[Held], wanted: Range) -> Instants:
    first_ms = -(-wanted.from_ms // EVERY_MS) * EVERY_MS
    last_ms = min(wanted.to_ms, max((held.until_ms for held in found), default=0))
    return np.arange(first_ms, last_ms + 1, EVERY_MS, dtype=np.int64)


def _series(held: Held, rows: Iterable[Item], instants: Instants) -> Series:
    """Each risk until the next one, or until nobody knows any more."""
    risks = [risk for entries in readable(rows, items.item_to_risks) for risk in entries]
    known = [(risk.at_ms, risk.risk_score) for risk in risks if risk.at_ms < held.since_ms]
    at_ms = np.array([*(at for at, _ in known), held.since_ms])
    values = np.array([*(value for _, value in known), held.value])
    until_ms = np.minimum(at_ms + RISK_LASTS_MS, held.until_ms)
    place = np.searchsorted(at_ms, instants, side="right") - 1
    is_known = (place >= 0) & (instants <= until_ms[place])
    return Series(held.labels, instants[is_known], values[place[is_known]])
