"""The loop that brings events to one target: claim, send, and only then let the row go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from iops import items
from iops.clock import Clock, to_epoch_ms
from iops.contract import PARTITION_KEY, SORT_KEY
from iops.errors import Conflict, Unavailable
from iops.items import Item
from iops.observability import Metrics
from iops.table import Table
from services.alerts.notice import Notice, compose

log = structlog.get_logger()

ROWS_AT_ONCE: Final = 50
LONGEST_PAUSE_S: Final = 15.0
FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 900.0
ORDER_RETRY_S: Final = 1.0  # an event whose predecessor is still on its way


class Target(Protocol):
    """Where events go."""

    @property
    def name(self) -> str:
        """Lower-case letters, digits and dashes; part of a row's key."""
        ...

    @property
    def limit(self) -> int:
        """Notices it takes at once."""
        ...

    async def send(self, notices: Sequence[Notice]) -> list[bool]:
        """Says of each whether it was accepted. Raises Unavailable where none was, with the least time to rest."""
        ...


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A claimed row with what it says."""

    key: Item
    notice: Notice
    attempts: int


class CourierMetrics:
    """Shared by all couriers: a registry takes each name once."""

    def __init__(self, metrics: Metrics) -> None:
        self.sent = metrics.counter("iops_deliveries", "Events by target and what became of them", "target", "outcome")
        self.age_s = metrics.histogram("iops_delivery_age_seconds", "Age of an event when it was accepted", "target")


class Courier:
    """Delivers at least once, whatever dies in between; safe with any number of replicas.

    A row is claimed for a lease, which another replica takes over when it has run out. It goes only after the target
    accepted it; a target knows a repetition by the event's id.
    """

    def __init__(
        self,
        table: Table,
        target: Target,
        clock: Clock,
        metrics: CourierMetrics,
        *,
        owner: str,
        poll_s: float,
        lease_s: float,
        public_url: str,
    ) -> None:
        self._table = table
        self._target = target
        self._clock = clock
        self._owner = owner
        self._poll_s = poll_s
        self._lease_s = lease_s
        self._public_url = public_url
        self._metrics = metrics

    async def run(self) -> None:
        """Passes until it is cancelled; pauses longer while the table or the target is away."""
        pause_s = self._poll_s
        while True:
            try:
                is_settled = await self.deliver_once()
                pause_s = self._poll_s if is_settled else min(2 * pause_s, LONGEST_PAUSE_S)
            except Unavailable as error:
                log.warning("courier_waited", target=self._target.name, reason=error.detail)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception:  # a loop that dies would tell nobody anything any more
                log.exception("courier_failed", target=self._target.name)
                pause_s = LONGEST_PAUSE_S
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - replicas drift apart

    async def deliver_once(self) -> bool:
        """One pass over the rows whose time has come; False where some are to be tried again. Raises Unavailable."""
        began_at = self._clock()
        request = items.overdue_query(f"delivery#{self._target.name}", now_ms=to_epoch_ms(began_at), limit=ROWS_AT_ONCE)
        rows, _ = await self._table.query_page(request)
        parcels = [parcel for row in rows if (parcel := await self._claim(row)) is not None]
        is_settled = len(parcels) == len(rows)
        for start in range(0, len(parcels), self._target.limit):
            if (self._clock() - began_at).total_seconds() > self._lease_s / 2:
                return False  # a table or a target this slow may cost us the lease: another replica must not send too
            is_settled &= await self._deliver(parcels[start : start + self._target.limit])
        return is_settled

    async def _claim(self, row: Item) -> _Parcel | None:
        """None where another replica has it, or what has to be told before it is still on its way."""
        key = items.key_of(row[PARTITION_KEY]["S"], row[SORT_KEY]["S"])
        now_ms = to_epoch_ms(self._clock())
        try:
            await self._table.update(
                items.claim_update(key, owner=self._owner, now_ms=now_ms, lease_ms=round(self._lease_s * 1000))
            )
        except Conflict:
            return None
        event, attempts = items.item_to_event(row), int(row.get("attempts", {}).get("N", "0"))
        parcel = _Parcel(key, await compose(self._table, event, public_url=self._public_url), attempts)
        if event.after and await self._table.get(items.delivery_key(event.after, self._target.name)):
            await self._put_off(parcel, ORDER_RETRY_S, attempts=attempts)
            return None
        return parcel

    async def _deliver(self, parcels: list[_Parcel]) -> bool:
        rest_s = 0
        try:
            outcomes = await self._target.send([parcel.notice for parcel in parcels])
        except Unavailable as error:
            log.warning("events_waited", target=self._target.name, events=len(parcels), reason=error.detail)
            outcomes, rest_s = [False] * len(parcels), error.retry_after_s
        for parcel, is_accepted in zip(parcels, outcomes, strict=True):
            await (self._let_go(parcel) if is_accepted else self._try_later(parcel, rest_s))
        return all(outcomes)

    async def _let_go(self, parcel: _Parcel) -> None:
        await self._table.delete(parcel.key)
        event = parcel.notice.event
        self._metrics.sent.labels(self._target.name, "accepted").inc()
        self._metrics.age_s.labels(self._target.name).observe((self._clock() - event.at).total_seconds())
        log.info("event_delivered", target=self._target.name, event_id=event.event_id, kind=event.kind)

    async def _try_later(self, parcel: _Parcel, rest_s: int) -> None:
        """Never given up: what people have to hear waits for them, and its age is an alarm."""
        self._metrics.sent.labels(self._target.name, "refused").inc()
        longest_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2**parcel.attempts)
        wait_s = max(rest_s, random.uniform(longest_s / 2, longest_s))  # noqa: S311 - replicas drift apart
        await self._put_off(parcel, wait_s, attempts=parcel.attempts + 1)

    async def _put_off(self, parcel: _Parcel, wait_s: float, *, attempts: int) -> None:
        until_ms = to_epoch_ms(self._clock()) + round(wait_s * 1000)
        try:
            await self._table.update(
                items.put_off_update(parcel.key, owner=self._owner, until_ms=until_ms, attempts=attempts)
            )
        except Conflict:
            log.warning("lease_lost", target=self._target.name, event_id=parcel.notice.event.event_id)
