"""The day's money for language models, one purse for all replicas: no call is made that may overdraw it."""

import asyncio
import math
import random
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import structlog
from botocore.exceptions import ClientError

from iops import items
from iops.clock import Clock
from iops.errors import Conflict, TableUnavailable
from iops.items import Settled
from iops.observability import Metrics
from iops.table import Table
from services.insights.providers import Reason, Unanswered

log = structlog.get_logger()

WAITING_LIMIT: Final = 1_000  # settlements; at 8 calls at once and 3 s each, six minutes of a table that is away
ATTEMPTS: Final = 6  # of a late settlement, where it waits alone within half a minute
WAIT_FIRST_S: Final = 1.0  # after a failure; twice as long after the next
WAIT_LONGEST_S: Final = 30.0
SPENT_READ_S: Final = 1.0  # for a number in a sentence

NO_ANSWER: Final = (TableUnavailable, ClientError)  # away for now, or refusing us: either way nothing is known


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money held for one call; opaque, handed back with its settlement."""

    reservation_id: str
    day: date  # of the reservation; a settlement after midnight belongs to it too
    most_nano: int  # 0: nothing is held, because the call costs nothing


@dataclass(frozen=True, slots=True)
class _Late:
    """A settlement that the table has not taken yet."""

    reservation: Reservation
    stream_id: str | None  # None: the reservation itself got no answer, and no call was made
    settled: Settled
    attempts: int = 0
    is_day_done: bool = False


class Purse:
    """Reserves before a call what it may cost at most, and settles after it what it did cost.

    What is reserved and never settled (a crash, a table that stays away) stays spent: nobody knows whether it is on
    the bill. `run` works off the settlements that failed.
    """

    def __init__(self, table: Table, clock: Clock, metrics: Metrics, daily_usd: Callable[[], float]) -> None:
        """`daily_usd` is asked at each reservation."""
        self._table = table
        self._clock = clock
        self._daily_usd = daily_usd
        self._late: deque[_Late] = deque()
        self._unsettled_nano = 0
        self._has_late = asyncio.Event()
        self._usd = metrics.counter("iops_llm_usd", "Dollars that language models cost, as settled, by list price")
        self._refusals = metrics.counter("iops_llm_budget_refusals", "Calls that the budget did not allow", "reason")
        self._unsettled = metrics.gauge("iops_llm_unsettled_usd", "Dollars reserved here whose settlement failed")
        self._settlements = metrics.counter("iops_llm_settlements", "Settlements by what became of them", "outcome")

    async def reserve(self, most_usd: float) -> Reservation:
        """Raises Unanswered: `over_budget` where the rest of the day's money is less, `budget_unknown` where the table
        does not say. One write; none where the call is free or nothing may be spent."""
        daily_usd = self._daily_usd()
        most, limit = items.usd_to_nano(most_usd), items.usd_to_nano(daily_usd)
        reservation = Reservation(secrets.token_hex(8), self._clock().date(), most)
        if most == 0:
            return reservation
        if most > limit:
            told = f"a call of up to ${most_usd:.6g} is more than the whole day's ${daily_usd:.6g}"
            raise self._refusal("over_budget", told if limit else "nothing may be spent: llm_daily_usd is 0")
        await self._hold(reservation, daily_usd)
        return reservation

    async def why_not(self) -> str | None:
        """Why no call would be paid for now, as far as that can be said of a call of unknown price."""
        daily_usd = self._daily_usd()
        if daily_usd <= 0:
            return "the flag llm_daily_usd is 0"
        try:
            async with asyncio.timeout(SPENT_READ_S):
                row = await self._table.get(items.day_key(self._clock().date()))
        except (*NO_ANSWER, TimeoutError) as error:
            return f"the day's spending cannot be read: {_why(error)}"
        cost = items.item_to_day_cost(row) if row else None
        spent_usd = items.nano_to_usd(cost.settled.nano + cost.reserved_nano) if cost else 0.0
        return f"the day's ${daily_usd:g} is spent" if spent_usd >= daily_usd else None

    async def settle(
        self, stream_id: str, *, reservation: Reservation, cost_usd: float, tokens_in: int, tokens_out: int
    ) -> None:
        """Counts what the call cost and gives back the rest. Never raises but for cancellation, and even then the
        settlement is done later. A reservation is settled once; whoever made no call settles it with zeros."""
        is_cost = math.isfinite(cost_usd) and cost_usd >= 0  # a wire may say anything; then the most it could be
        nano = items.usd_to_nano(cost_usd) if is_cost else reservation.most_nano
        settled = Settled(int(bool(nano or tokens_in or tokens_out)), nano, max(0, tokens_in), max(0, tokens_out))
        await self._try(_Late(reservation, stream_id, settled))

    async def run(self) -> None:
        """Settles what could not be settled at once, until it is cancelled; what waits then stays spent."""
        wait_s = 0.0
        while True:
            await self._has_late.wait()
            await asyncio.sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311 - jitter
            late = self._late.popleft()
            if not self._late:
                self._has_late.clear()
            self._count_unsettled(late, -1)
            is_settled = await self._try(late)
            wait_s = 0.0 if is_settled else min(max(WAIT_FIRST_S, 2 * wait_s), WAIT_LONGEST_S)

    async def _hold(self, reservation: Reservation, daily_usd: float) -> None:
        most, limit = reservation.most_nano, items.usd_to_nano(daily_usd)
        request = items.reserve_update(reservation.day, reservation.reservation_id, most_nano=most, limit_nano=limit)
        try:
            await self._table.update(request)
        except Conflict:
            raise await self._over_budget(reservation, daily_usd) from None
        except NO_ANSWER as error:
            self._put_off(_Late(reservation, None, Settled()))
            raise self._refusal("budget_unknown", f"the day's spending cannot be counted: {_why(error)}") from error
        except asyncio.CancelledError:
            self._put_off(_Late(reservation, None, Settled()))
            raise

    async def _over_budget(self, reservation: Reservation, daily_usd: float) -> Unanswered:
        most_usd = items.nano_to_usd(reservation.most_nano)
        spent = "too much"
        try:
            async with asyncio.timeout(SPENT_READ_S):
                row = await self._table.get(items.day_key(reservation.day))
        except (*NO_ANSWER, TimeoutError):
            row = None
        if row and (cost := items.item_to_day_cost(row)):
            spent = f"${items.nano_to_usd(cost.settled.nano + cost.reserved_nano):.6g}"
        told = f"{spent} of the day's ${daily_usd:.6g} is spent or reserved, and this call may cost ${most_usd:.6g}"
        return self._refusal("over_budget", told)

    def _refusal(self, reason: Reason, detail: str) -> Unanswered:
        self._refusals.labels(reason).inc()
        return Unanswered(reason, detail)

    async def _try(self, late: _Late) -> bool:
        """One attempt, and whether it ended the matter; where it did not, another one comes later."""
        try:
            if not late.is_day_done:
                if not await self._settle_day(late):
                    return True
                late = replace(late, is_day_done=True)
            if late.stream_id is not None and late.settled.calls:
                day = late.reservation.day
                await self._table.update(items.stream_spent_update(day, late.stream_id, late.settled))
        except asyncio.CancelledError:
            self._put_off(late, reason="cancelled")
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer that was paid for must not be lost to it
            self._put_off(late, reason=_why(error))
            return False
        self._settlements.labels("settled").inc()
        return True

    async def _settle_day(self, late: _Late) -> bool:
        """False where the reservation is gone and no earlier attempt can have settled it."""
        held, settled = late.reservation, late.settled
        if held.most_nano == 0:
            await self._table.update(items.day_spent_update(held.day, settled))
        else:
            most = held.most_nano
            try:
                await self._table.update(
                    items.day_settled_update(held.day, held.reservation_id, most_nano=most, settled=settled)
                )
            except Conflict:
                if late.attempts == 0:
                    self._settlements.labels("unknown").inc()
                    log.error("reservation_unknown", stream_id=late.stream_id, day=str(held.day))  # noqa: TRY400
                    return False
        self._usd.inc(items.nano_to_usd(settled.nano))
        return True

    def _put_off(self, late: _Late, *, reason: str = "not reserved for certain") -> None:
        """Until it is settled or given up, and for good where it is given up, its money counts as unsettled."""
        self._count_unsettled(late, 1)
        held_usd = items.nano_to_usd(late.reservation.most_nano)
        late = replace(late, attempts=late.attempts + 1)
        if late.attempts > ATTEMPTS or len(self._late) >= WAITING_LIMIT:
            self._settlements.labels("given_up").inc()
            log.error("settlement_given_up", stream_id=late.stream_id, held_usd=held_usd, reason=reason)
            return
        self._settlements.labels("put_off").inc()
        log.warning("settlement_put_off", stream_id=late.stream_id, held_usd=held_usd, reason=reason)
        self._late.append(late)
        self._has_late.set()

    def _count_unsettled(self, late: _Late, sign: int) -> None:
        self._unsettled_nano += sign * (0 if late.is_day_done else late.reservation.most_nano)
        self._unsettled.set(items.nano_to_usd(self._unsettled_nano))


def _why(error: Exception) -> str:
    """For a person who may see no account's names, which AWS's own sentences have."""
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    return error.detail if isinstance(error, TableUnavailable) else type(error).__name__
