"""What language models cost: today, this month, and for which streams."""

from __future__ import annotations

import heapq
from calendar import monthrange
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from iops import items
from iops.errors import Forbidden
from iops.gate import Viewer
from iops.items import DayCost, Settled, StreamCost, nano_to_usd
from iops.problems import error_responses
from services.insights.routes import Service

router = APIRouter(tags=["cost"])

STREAMS_SHOWN: Final = 20


class Spent(BaseModel):
    """What calls came to."""

    calls: int
    usd: float
    tokens_in: int
    tokens_out: int


class DaySpent(Spent):
    """A UTC day."""

    day: date
    reserved_usd: float = Field(description="held for calls that are under way, or whose end nobody reported")


class Today(DaySpent):
    """The day so far."""

    budget_usd: float = Field(description="the flag llm_daily_usd as it is now")
    left_usd: float = Field(description="of the budget, after what is spent and what is reserved")


class Month(Spent):
    """The calendar month so far, in UTC."""

    month: str = Field(examples=["2026-11"])
    forecast_usd: float = Field(description="at the end of the month, if it goes on as it did on average")


class StreamSpent(Spent):
    """What was asked about one stream this month."""

    stream_id: str


class Costs(BaseModel):
    """By list price; other things that AWS bills for are not in it."""

    today: Today
    month: Month
    days: list[DaySpent] = Field(description="days of the month with calls, the oldest first")
    streams: list[StreamSpent] = Field(description="the 20 that cost most this month")
    streams_total: int = Field(description="streams that cost anything this month")


@router.get("/cost", responses=error_responses(Forbidden))
async def get_cost(service: Service, caller: Viewer) -> Costs:
    """What language models cost, by list price and UTC days. It is not the AWS bill: the table, the services and the
    network are not in it, nor discounts, nor taxes. The budget is one for all streams, so only who sees all
    of them sees it."""
    caller.check_sees_all("this is the cost")
    now = service.clock()
    days: list[DayCost] = []
    top: list[StreamCost] = []
    streams_total = 0
    async for page in service.table.pages(items.month_costs_query(now.date())):
        days += [day for item in page if (day := items.item_to_day_cost(item))]
        streams = [stream for item in page if (stream := items.item_to_stream_cost(item))]
        streams_total += len(streams)
        top = heapq.nlargest(STREAMS_SHOWN, [*top, *streams], key=lambda stream: stream.settled.nano)
    return Costs(
        today=today_of(days, now.date(), budget_usd=service.llm_daily_usd()),
        month=month_of(days, now),
        days=[_day(day) for day in days],
        streams=[StreamSpent(stream_id=stream.stream_id, **_spent(stream.settled)) for stream in top],
        streams_total=streams_total,
    )


def today_of(days: Sequence[DayCost], day: date, *, budget_usd: float) -> Today:
    """Of a month's days, the last."""
    found = next((each for each in days if each.day == day), DayCost(day, Settled(), 0))
    left_nano = items.usd_to_nano(budget_usd) - found.settled.nano - found.reserved_nano
    return Today(**dict(_day(found)), budget_usd=budget_usd, left_usd=nano_to_usd(max(0, left_nano)))


def month_of(days: Sequence[DayCost], now: datetime) -> Month:
    """All of them."""
    settled = sum((day.settled for day in days), start=Settled())
    forecast_usd = nano_to_usd(settled.nano) / elapsed_ratio(now)
    return Month(month=f"{now:%Y-%m}", forecast_usd=round(forecast_usd, 9), **_spent(settled))


def elapsed_ratio(now: datetime) -> float:
    """How much of its month is over, but a day at least: an hour says nothing of a month.

    >>> elapsed_ratio(datetime(2026, 11, 16)), elapsed_ratio(datetime(2026, 11, 1, 0, 5)) * 30
    (0.5, 1.0)
    """
    began_at = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    elapsed_days = (now - began_at).total_seconds() / 86_400
    return max(1.0, elapsed_days) / monthrange(now.year, now.month)[1]


def _day(day: DayCost) -> DaySpent:
    return DaySpent(day=day.day, reserved_usd=nano_to_usd(day.reserved_nano), **_spent(day.settled))


def _spent(settled: Settled) -> dict[str, int | float]:
    return {
        "calls": settled.calls,
        "usd": nano_to_usd(settled.nano),
        "tokens_in": settled.tokens_in,
        "tokens_out": settled.tokens_out,
    }
