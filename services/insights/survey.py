"""What is asked of the whole system at once, and at most every ten seconds however many look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from iops import items
from iops.clock import Clock
from iops.errors import IopsError
from iops.items import DayCost, Pulse
from iops.table import Table, readable
from services.insights.tiers import Board, Tiers
from services.insights.verdict import SERVICES, heard

log = structlog.get_logger()

GOOD_FOR_S: Final = 10.0
READ_TIMEOUT_S: Final = 3.0  # a person waits


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found; where the table did not answer, what lies in it is empty, and `why_unread` says so."""

    at: datetime
    pulses: Mapping[str, Sequence[Pulse]]  # of each service, the newest hour's
    days: Sequence[DayCost]  # of this month, with what language models cost
    budget_usd: float  # of a day
    tiers: Tiers
    why_unread: str | None

    def heard(self) -> dict[str, list[Pulse]]:
        """The pulses that are new enough to say how it is now."""
        return {service: heard(pulses, self.at) for service, pulses in self.pulses.items()}


class Survey:
    """One reading for everybody who looks."""

    def __init__(
        self,
        table: Table,
        board: Board,
        clock: Clock,
        *,
        budget_usd: Callable[[], float],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._board = board
        self._clock = clock
        self._budget_usd = budget_usd
        self._monotonic_s = monotonic_s
        self._looking = asyncio.Lock()
        self._last: Reading | None = None
        self._read_at_s = 0.0

    async def read(self) -> Reading:
        """At most ten seconds old; four queries where it is older. It never fails for the table."""
        async with self._looking:
            if self._last is None or self._monotonic_s() - self._read_at_s >= GOOD_FOR_S:
                self._last = await self._look()
                self._read_at_s = self._monotonic_s()
            return self._last

    async def _look(self) -> Reading:
        why, tiers = None, await self._board.read()
        pulses: dict[str, list[Pulse]] = {service: [] for service in SERVICES}
        days: list[DayCost] = []
        try:
            async with asyncio.timeout(READ_TIMEOUT_S), asyncio.TaskGroup() as reads:
                asked = {service: reads.create_task(self._pulses(service)) for service in SERVICES}
                spent = reads.create_task(self._days())
            pulses, days = {service: read.result() for service, read in asked.items()}, spent.result()
        except* (IopsError, TimeoutError) as group:
            first = group.exceptions[0]
            why = first.detail if isinstance(first, IopsError) else f"no answer in {READ_TIMEOUT_S:g} s"
            log.warning("survey_unread", reason=why)
        return Reading(self._clock(), pulses, days, self._budget_usd(), tiers, why)

    async def _pulses(self, service: str) -> list[Pulse]:
        return readable(await self._table.query(items.pulses_query(service)), items.item_to_pulse)

    async def _days(self) -> list[DayCost]:
        rows = await self._table.query(items.month_days_query(self._clock().date()))
        return [day for day in readable(rows, items.item_to_day_cost) if day is not None]
