"""What language models have cost today, all replicas together, read once a minute for whoever watches the budget."""

import asyncio
import math
from typing import Final

import structlog

from iops import items
from iops.clock import Clock
from iops.errors import Unavailable
from iops.observability import Metrics
from iops.table import Table

log = structlog.get_logger()

EVERY_S: Final = 60.0  # half a read unit each: 22,000 a month and replica, a third of a cent


class Spending:
    """The loop that shows what is settled or reserved of the day's money."""

    def __init__(self, table: Table, clock: Clock, metrics: Metrics) -> None:
        self._table = table
        self._clock = clock
        self._usd = metrics.gauge("iops_llm_today_usd", "Dollars settled or reserved since midnight UTC, all replicas")
        self._usd.set(math.nan)  # 0 would say that somebody looked

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            try:
                await self.look_once()
            except Unavailable as error:
                log.warning("spending_unread", reason=error.detail)
            except Exception:  # a loop that dies would make the service unready for a number
                log.exception("spending_unread")
            await asyncio.sleep(EVERY_S)

    async def look_once(self) -> None:
        """Raises Unavailable, and the last number stays."""
        row = await self._table.get(items.day_key(self._clock().date()))
        cost = items.item_to_day_cost(row) if row else None
        self._usd.set(items.nano_to_usd(cost.settled.nano + cost.reserved_nano) if cost else 0.0)
