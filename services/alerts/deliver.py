"""The loop that brings events to one target: claim, send, and only then let the row go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog

from iops import items
from iops.alert import Event, Telling
from iops.clock import Clock, to_epoch_ms
from iops.contract import PARTITION_KEY, SORT_KEY, TIME_KEY
from iops.errors import Conflict, Unavailable
from iops.items import Item
from iops.observability import Metrics
from iops.table import Table
from services.alerts.notice import Notice, compose

log = structlog.get_logger()

Outcome = TypeVar("Outcome")

ROWS_AT_ONCE: Final = 50
LONGEST_PAUSE_S: Final = 15.0
FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 900.0
DOUBLINGS: Final = 10  # beyond, the longest holds anyway
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

    def words(self, notice: Notice) -> tuple[str, ...]:
        """What a person reads there of a notice; empty where only programs read it."""
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
        self.waiting_s = metrics.gauge(
            "iops_delivery_waiting_seconds",
            "Age of the event that a target refused last; 0 after it took one",
            "target",
        )


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
        # Of claimed rows those that wait only for their deletion, with what is first to be noted (None: nothing).
        self._accepted: dict[str, Item | None] = {}

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
        """One pass over the rows whose time has come; False where some are to be tried again. Raises Unavailable.

        Rows are claimed as many at a time as the target takes, so that a slow target does not sit on the rest.
        """
        now_ms = to_epoch_ms(self._clock())
        request = items.overdue_query(f"delivery#{self._target.name}", now_ms=now_ms, limit=ROWS_AT_ONCE)
        rows, _ = await self._table.query_page(request)
        is_settled = True
        for start in range(0, len(rows), self._target.limit):
            some = rows[start : start + self._target.limit]
            claimed_at = self._clock()
            parcels = [parcel for parcel in await _all(map(self._claim, some)) if parcel is not None]
            if (self._clock() - claimed_at).total_seconds() > self._lease_s / 2:
                return False  # a table this slow may cost us the lease: another replica must not send too
            if parcels:
                accepted = await self._deliver(parcels)
                is_settled &= accepted == len(parcels)
                if accepted == 0:
                    return False  # the target rests: what was not claimed has lost no attempt
        return is_settled

    async def _claim(self, row: Item) -> _Parcel | None:
        """None where another replica has it, where it cannot be told yet, or not at all."""
        key = items.key_of(row[PARTITION_KEY]["S"], row[SORT_KEY]["S"])
        if _name(key) in self._accepted:
            await self._let_go(key)
            return None
        now_ms = to_epoch_ms(self._clock())
        try:
            await self._table.update(
                items.claim_update(key, owner=self._owner, now_ms=now_ms, lease_ms=round(self._lease_s * 1000))
            )
        except Conflict:
            return None
        attempts = int(row.get("attempts", {}).get("N", "0"))
        event = self._read(row)
        if event is None:
            await self._put_off(key, LONGEST_RETRY_S, attempts=attempts + 1)
            return None
        wait_s = await self._behind_s(event)
        if wait_s is not None:
            await self._put_off(key, wait_s, attempts=attempts)
            return None
        return _Parcel(key, await compose(self._table, event, public_url=self._public_url), attempts)

    def _read(self, row: Item) -> Event | None:
        """None for what cannot be read: it stays, for a person or a newer program, and is looked at now and then."""
        try:
            return items.item_to_event(row)
        except items.UNREADABLE:
            self._metrics.sent.labels(self._target.name, "unreadable").inc()
            log.exception("delivery_unreadable", target=self._target.name, key=row[PARTITION_KEY]["S"])
            return None

    async def _behind_s(self, event: Event) -> float | None:
        """How long to wait for the event that has to be told first; None where nothing is ahead of it."""
        first = await self._table.get(items.delivery_key(event.after, self._target.name)) if event.after else None
        if first is None or self._read(first) is None:
            return None
        return max(0.0, (int(first[TIME_KEY]["N"]) - to_epoch_ms(self._clock())) / 1000) + ORDER_RETRY_S

    async def _deliver(self, parcels: list[_Parcel]) -> int:
        """How many were accepted; the others are put off."""
        rest_s = 0
        try:
            outcomes = await self._target.send([parcel.notice for parcel in parcels])
        except Unavailable as error:
            log.warning("events_waited", target=self._target.name, events=len(parcels), reason=error.detail)
            outcomes, rest_s = [False] * len(parcels), error.retry_after_s
        except Exception:  # our own mistake about one event must not hold up the others
            log.exception("events_not_sent", target=self._target.name, events=[_name(parcel.key) for parcel in parcels])
            if len(parcels) > 1:
                return sum([await self._deliver([parcel]) for parcel in parcels])
            outcomes = [False]
        told = list(zip(parcels, outcomes, strict=True))
        for parcel, is_accepted in told:
            if is_accepted:
                self._note_accepted(parcel)
        await _all(
            self._let_go(parcel.key) if is_accepted else self._try_later(parcel, rest_s) for parcel, is_accepted in told
        )
        return sum(outcomes)

    def _note_accepted(self, parcel: _Parcel) -> None:
        """From now on its row is only to be deleted, even where that fails at first."""
        event = parcel.notice.event
        self._accepted[_name(parcel.key)] = self._telling(parcel.notice)
        self._metrics.sent.labels(self._target.name, "accepted").inc()
        self._metrics.age_s.labels(self._target.name).observe((self._clock() - event.at).total_seconds())
        self._metrics.waiting_s.labels(self._target.name).set(0)
        log.info("event_delivered", target=self._target.name, event_id=event.event_id, kind=event.kind)

    def _telling(self, notice: Notice) -> Item | None:
        """What people look up afterwards; None for what is told of no page."""
        event, target = notice.event, self._target
        if event.page_id is None:
            return None
        telling = Telling(
            event_id=event.event_id,
            kind=event.kind,
            at=event.at,
            target=target.name,
            taken_at=self._clock(),
            lines=target.words(notice),
        )
        return items.telling_item(event.page_id, telling)

    async def _let_go(self, key: Item) -> None:
        """Notes first what was told: dying in between tells it again, and notes that under the same name."""
        telling = self._accepted[_name(key)]
        if telling is not None:
            await self._table.put(telling)
        await self._table.delete(key)
        del self._accepted[_name(key)]

    async def _try_later(self, parcel: _Parcel, rest_s: float) -> None:
        """Never given up: what people have to hear waits for them, and its age is an alarm."""
        self._metrics.sent.labels(self._target.name, "refused").inc()
        waits_s = (self._clock() - parcel.notice.event.at).total_seconds()
        self._metrics.waiting_s.labels(self._target.name).set(waits_s)
        longest_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(parcel.attempts, DOUBLINGS))
        wait_s = max(rest_s, random.uniform(longest_s / 2, longest_s))  # noqa: S311 - replicas drift apart
        await self._put_off(parcel.key, wait_s, attempts=parcel.attempts + 1)

    async def _put_off(self, key: Item, wait_s: float, *, attempts: int) -> None:
        until_ms = to_epoch_ms(self._clock()) + round(wait_s * 1000)
        try:
            await self._table.update(items.put_off_update(key, owner=self._owner, until_ms=until_ms, attempts=attempts))
        except Conflict:
            log.warning("lease_lost", target=self._target.name, key=_name(key))


async def _all(deeds: Iterable[Awaitable[Outcome]]) -> list[Outcome]:
    """All of them at once, each to its end; then raises the first failure."""
    outcomes = await asyncio.gather(*deeds, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _name(key: Item) -> str:
    return str(key[PARTITION_KEY]["S"])
