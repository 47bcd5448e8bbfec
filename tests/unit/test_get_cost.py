"""GET /cost: today, the month and its forecast, the streams that cost most."""

from datetime import UTC, date, datetime

import pytest

from iops import contract, items
from iops.items import Settled
from services.insights.routes import Insights
from tests.unit.builders import DISK, clock_at
from tests.unit.fakes import FakeTable
from tests.unit.routed import an_app
from tests.unit.test_get_insights import Door, door

__all__ = ["door"]  # a fixture

MIDNIGHT = datetime(2026, 11, 11, 0, tzinfo=UTC)  # ten days of thirty are over
DOLLAR = 10**9


def open_at(door: Door, now: datetime, budget_usd: float = 2.0) -> None:
    an_app().state.insights = Insights(door.table.table(), clock_at(now), llm_daily_usd=lambda: budget_usd)


async def spend(fake: FakeTable, day: date, usd: float, *, stream_id: str = DISK) -> None:
    settled = Settled(calls=1, nano=round(usd * DOLLAR), tokens_in=900, tokens_out=100)
    for update in (items.day_spent_update(day, settled), items.stream_spent_update(day, stream_id, settled)):
        await fake.table().update(update)


async def test_nothing_stored_is_zeros(door: Door) -> None:
    open_at(door, MIDNIGHT)

    cost = await door.get("/cost")

    nothing = {"calls": 0, "usd": 0.0, "tokens_in": 0, "tokens_out": 0}
    day = {"day": "2026-11-11", "reserved_usd": 0.0, "budget_usd": 2.0, "left_usd": 2.0}
    assert cost["today"] == nothing | day
    assert cost["month"] == nothing | {"month": "2026-11", "forecast_usd": 0.0}
    assert (cost["days"], cost["streams"], cost["streams_total"]) == ([], [], 0)


async def test_the_month_goes_on_as_it_did_and_other_months_are_not_in_it(door: Door) -> None:
    open_at(door, MIDNIGHT)
    for day, usd in ((date(2026, 10, 31), 9.0), (date(2026, 11, 3), 0.75), (date(2026, 11, 11), 0.25)):
        await spend(door.table, day, usd)
    hold = items.reserve_update(MIDNIGHT.date(), "1", most_nano=DOLLAR // 2, limit_nano=2 * DOLLAR)
    await door.table.table().update(hold)

    cost = await door.get("/cost")

    assert (cost["today"]["usd"], cost["today"]["reserved_usd"], cost["today"]["left_usd"]) == (0.25, 0.5, 1.25)
    assert (cost["month"]["usd"], cost["month"]["forecast_usd"], cost["month"]["calls"]) == (1.0, 3.0, 2)
    assert [(day["day"], day["usd"]) for day in cost["days"]] == [("2026-11-03", 0.75), ("2026-11-11", 0.25)]
    assert [(stream["stream_id"], stream["usd"]) for stream in cost["streams"]] == [(DISK, 1.0)]


async def test_the_first_hour_of_a_month_is_taken_for_a_day(door: Door) -> None:
    open_at(door, datetime(2026, 11, 1, 1, tzinfo=UTC))
    await spend(door.table, date(2026, 11, 1), 0.1)

    assert (await door.get("/cost"))["month"]["forecast_usd"] == 3.0


async def test_of_many_streams_the_20_dearest_are_named(door: Door) -> None:
    open_at(door, MIDNIGHT)
    door.table.page_limit = 7
    for number in range(30):
        await spend(door.table, MIDNIGHT.date(), number / 1000, stream_id=f"web-{number}:sda")

    cost = await door.get("/cost")

    assert [stream["stream_id"] for stream in cost["streams"]] == [f"web-{n}:sda" for n in range(29, 9, -1)]
    assert cost["streams_total"] == 30


async def test_a_budget_that_was_lowered_below_what_is_spent_leaves_nothing(door: Door) -> None:
    open_at(door, MIDNIGHT, budget_usd=0.1)
    await spend(door.table, MIDNIGHT.date(), 0.3)

    assert (await door.get("/cost"))["today"]["left_usd"] == 0.0


def test_ten_thousand_sums_do_not_drift() -> None:
    total = sum((Settled(calls=1, nano=items.usd_to_nano(1e-7)) for _ in range(10_000)), start=Settled())

    assert items.nano_to_usd(total.nano) == 0.001


@pytest.mark.parametrize("day", [date(2026, 11, 30), date(2028, 2, 29)])
async def test_cost_rows_are_in_no_index_and_expire_400_days_after_their_day(day: date) -> None:
    fake = FakeTable()
    await spend(fake, day, 0.1)

    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + 86_400
    for row in fake.rows.values():
        assert row["ttl"] == {"N": str(int(midnight) + 400 * 86_400)}
        assert row.keys() & {contract.TIME_KEY, contract.STREAM_KEY} == set()
