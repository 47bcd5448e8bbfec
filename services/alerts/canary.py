"""The daily canary on its way out: one a day of all replicas, in one hour of the day."""

from __future__ import annotations

import asyncio
import random
from datetime import date, datetime, timedelta
from typing import Final

import structlog
from ulid import ULID

from iops import items
from iops.alert import Event, EventKind
from iops.clock import Clock
from iops.errors import Conflict, Unavailable
from iops.table import Table
from services.alerts.event_bus import BusTarget

log = structlog.get_logger()

LOOK_INTERVAL_S: Final = 60.0  # at the clock only; one write a day


class Canary:
    """Sends it in the given hour (UTC) only: a service that starts later waits for the next day, and says nothing."""

    def __init__(self, table: Table, clock: Clock, *, hour_utc: int) -> None:
        self._table = table
        self._clock = clock
        self._hour_utc = hour_utc
        self._sent_on: date | None = None  # the last day of which we know that somebody sent it

    async def run(self) -> None:
        """Looks at the clock until it is cancelled."""
        while True:
            try:
                await self.send_when_due()
            except Unavailable as error:
                log.warning("canary_waited", reason=error.detail)
            except Exception:  # the listener tells of its absence; a loop that died would keep it away for good
                log.exception("canary_failed")
            await asyncio.sleep(LOOK_INTERVAL_S * random.uniform(0.8, 1.2))  # noqa: S311 - replicas drift apart

    async def send_when_due(self) -> bool:
        """Whether this replica sent it now; the courier brings it to the bus. Raises TableUnavailable."""
        now = self._clock()
        if now.hour != self._hour_utc or now.date() == self._sent_on:
            return False
        event = Event(event_id=str(ULID.from_datetime(now)), kind=EventKind.CANARY, at=now)
        delivery = items.delivery_item(event, BusTarget.name, not_before=now)
        try:
            await self._table.transact([{"Put": items.canary_day_put(now.date(), now)}, {"Put": {"Item": delivery}}])
        except Conflict:
            is_ours = False
        else:
            is_ours = True
            log.info("canary_sent", event_id=event.event_id)
        self._sent_on = now.date()
        return is_ours


def canary_hour_before(now: datetime, hour_utc: int) -> datetime:
    """The last full hour of canaries that is over, by its beginning.

    >>> from datetime import UTC
    >>> canary_hour_before(datetime(2026, 11, 23, 10, tzinfo=UTC), 9).isoformat()
    '2026-11-23T09:00:00+00:00'
    >>> canary_hour_before(datetime(2026, 11, 23, 9, 59, tzinfo=UTC), 9).isoformat()
    '2026-11-22T09:00:00+00:00'
    """
    today = now.replace(hour=hour_utc, minute=0, second=0, microsecond=0)
    return today if today + timedelta(hours=1) <= now else today - timedelta(days=1)
