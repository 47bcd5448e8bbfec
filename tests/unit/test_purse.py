"""The day's money for language models, on a fake table: what is refused, given back, and never lost."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iops import items
from iops.items import DayCost
from iops.observability import Metrics
from services.insights.providers import Unanswered
from services.insights.purse import WAITING_LIMIT, Purse
from tests.unit.builders import AT, DISK
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.virtual_time import cancelled, in_virtual_time, until


class Till:
    """A purse on a fake table, with a budget and a clock that a test may change."""

    def __init__(self, daily_usd: float = 0.01) -> None:
        self.fake = FakeTable()
        self.daily_usd = daily_usd
        self.now = AT
        self.metrics = Metrics()
        self.purse = Purse(self.fake.table(), lambda: self.now, self.metrics, lambda: self.daily_usd)

    def day(self, at: datetime = AT) -> DayCost | None:
        row = self.fake.rows.get((f"cost#{at:%Y-%m}", f"day#{at:%d}"))
        return items.item_to_day_cost(row) if row else None

    def spent_nano(self) -> tuple[int, int]:
        """Settled, and reserved beside it."""
        day = self.day()
        return (day.settled.nano, day.reserved_nano) if day else (0, 0)

    def number(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def refused(self, most_usd: float) -> Unanswered:
        with pytest.raises(Unanswered) as refusal:
            await self.purse.reserve(most_usd)
        return refusal.value

    async def call(self, most_usd: float, cost_usd: float, stream_id: str = DISK) -> None:
        held = await self.purse.reserve(most_usd)
        await self.purse.settle(stream_id, reservation=held, cost_usd=cost_usd, tokens_in=900, tokens_out=100)


async def test_what_is_reserved_and_not_spent_is_given_back() -> None:
    till = Till()

    await till.call(0.007, 0.0014)

    day = till.day()
    assert day is not None
    assert (day.settled.calls, day.settled.nano, day.reserved_nano) == (1, 1_400_000, 0)
    assert (day.settled.tokens_in, day.settled.tokens_out) == (900, 100)
    assert till.number("iops_llm_usd_total") == 0.0014
    assert not any(name.startswith("open_") for name in till.fake.rows["cost#2026-11", "day#23"])


async def test_a_call_that_the_rest_of_the_day_does_not_pay_is_refused_with_both_numbers() -> None:
    till = Till()
    await till.call(0.007, 0.004)

    refusal = await till.refused(0.007)

    assert refusal.reason == "over_budget"
    assert "$0.004 of the day's $0.01 is spent or reserved, and this call may cost $0.007" in refusal.detail
    assert till.number("iops_llm_budget_refusals_total", reason="over_budget") == 1


async def test_the_last_nano_dollar_may_be_spent() -> None:
    till = Till()
    for _ in range(5):
        await till.purse.reserve(0.002)

    assert till.spent_nano() == (0, 10_000_000)
    await till.refused(1e-9)


async def test_a_call_dearer_than_the_whole_day_is_refused_although_nothing_is_spent() -> None:
    till = Till()

    assert "more than the whole day's $0.01" in (await till.refused(0.011)).detail
    assert till.fake.calls == []


async def test_a_budget_of_nothing_asks_no_table_and_lets_only_free_calls_pass() -> None:
    till = Till(daily_usd=0)

    assert "llm_daily_usd is 0" in (await till.refused(0.001)).detail
    assert till.fake.calls == []
    await till.call(0, 0)

    day = till.day()
    assert day is not None
    assert (day.settled.calls, day.settled.nano) == (1, 0)


@pytest.mark.parametrize("daily_usd", [1e308, 1e30])
async def test_a_budget_beyond_all_numbers_is_a_billion_dollars(daily_usd: float) -> None:
    till = Till(daily_usd)

    await till.call(0.007, 0.001)

    room = items.reserve_update(AT.date(), "1", most_nano=0, limit_nano=items.usd_to_nano(daily_usd))
    assert room["ExpressionAttributeValues"][":room"] == {"N": "1000000000000000000"}


async def test_a_changed_flag_counts_from_the_next_call_on() -> None:
    till = Till()
    await till.purse.reserve(0.007)
    till.daily_usd = 0.02
    await till.purse.reserve(0.007)
    till.daily_usd = 0.01

    await till.refused(0.001)


async def test_a_settlement_after_midnight_belongs_to_the_day_of_its_reservation() -> None:
    till = Till()
    till.now = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    held = await till.purse.reserve(0.007)
    till.now += timedelta(seconds=2)

    await till.purse.settle(DISK, reservation=held, cost_usd=0.005, tokens_in=1, tokens_out=1)
    await till.purse.reserve(0.01)

    old, new = till.day(till.now - timedelta(seconds=2)), till.day(till.now)
    assert old is not None
    assert new is not None
    assert (old.settled.nano, old.reserved_nano, new.settled.nano, new.reserved_nano) == (5_000_000, 0, 0, 10_000_000)
    assert ("cost#2026-11", f"stream#{DISK}") in till.fake.rows


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
async def test_a_table_that_does_not_count_is_an_unknown_budget(code: str) -> None:
    till = Till()
    till.fake.failures["UpdateItem"].append(aws_error(code))

    refusal = await till.refused(0.001)

    assert refusal.reason == "budget_unknown"
    assert code in refusal.detail
    assert till.number("iops_llm_budget_refusals_total", reason="budget_unknown") == 1


@in_virtual_time
async def test_a_settlement_that_fails_is_done_later() -> None:
    till = Till()
    held = await till.purse.reserve(0.007)
    till.fake.is_away = True
    await till.purse.settle(DISK, reservation=held, cost_usd=0.001, tokens_in=1, tokens_out=1)
    assert till.number("iops_llm_unsettled_usd") == 0.007
    assert till.spent_nano() == (0, 7_000_000)

    running = asyncio.create_task(till.purse.run())
    await asyncio.sleep(5)
    till.fake.is_away = False
    await until(lambda: till.number("iops_llm_settlements_total", outcome="settled") == 1)
    await cancelled(running)

    assert till.spent_nano() == (1_000_000, 0)
    assert (till.number("iops_llm_unsettled_usd"), till.number("iops_llm_usd_total")) == (0, 0.001)


@in_virtual_time
async def test_a_settlement_whose_answer_was_lost_is_not_done_twice() -> None:
    till = Till()
    held = await till.purse.reserve(0.007)
    update = till.fake.update_item

    async def deaf(**request: Any) -> Any:
        await update(**request)
        raise TimeoutError

    till.fake.update_item = deaf  # type: ignore[method-assign]
    await till.purse.settle(DISK, reservation=held, cost_usd=0.001, tokens_in=1, tokens_out=1)
    till.fake.update_item = update  # type: ignore[method-assign]
    running = asyncio.create_task(till.purse.run())
    await until(lambda: till.number("iops_llm_settlements_total", outcome="settled") == 1)
    await cancelled(running)

    assert till.spent_nano() == (1_000_000, 0)
    assert till.fake.rows["cost#2026-11", f"stream#{DISK}"]["calls"] == {"N": "1"}
    assert till.number("iops_llm_usd_total") == 0.001


@in_virtual_time
async def test_what_is_never_settled_stays_spent() -> None:
    till = Till()
    held = await till.purse.reserve(0.007)
    till.fake.failures["UpdateItem"].extend([aws_error("ThrottlingException")] * 100)
    await till.purse.settle(DISK, reservation=held, cost_usd=0.001, tokens_in=1, tokens_out=1)

    running = asyncio.create_task(till.purse.run())
    await until(lambda: till.number("iops_llm_settlements_total", outcome="given_up") == 1, within_s=120)
    await cancelled(running)

    assert till.spent_nano() == (0, 7_000_000)
    assert till.number("iops_llm_unsettled_usd") == 0.007
    assert till.number("iops_llm_settlements_total", outcome="put_off") == 6


@in_virtual_time
async def test_a_caller_cancelled_while_reserving_or_settling_leaves_nothing_held() -> None:
    till = Till()
    held = await till.purse.reserve(0.003)
    update = till.fake.update_item

    async def hang(**request: Any) -> Any:
        await update(**request)
        await asyncio.Event().wait()

    till.fake.update_item = hang  # type: ignore[method-assign]
    settling = till.purse.settle(DISK, reservation=held, cost_usd=0.001, tokens_in=1, tokens_out=1)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(till.purse.reserve(0.007)), asyncio.create_task(settling)]
    await asyncio.sleep(1)
    await asyncio.gather(*map(cancelled, tasks))
    assert [task.cancelled() for task in tasks] == [True, True]
    till.fake.update_item = update  # type: ignore[method-assign]

    running = asyncio.create_task(till.purse.run())
    await until(lambda: till.number("iops_llm_settlements_total", outcome="settled") == 2)
    await cancelled(running)

    assert till.spent_nano() == (1_000_000, 0)


async def test_the_settlements_that_wait_are_bounded() -> None:
    till = Till(daily_usd=10)
    held = await till.purse.reserve(0.001)
    till.fake.is_away = True
    for _ in range(WAITING_LIMIT + 3):
        await till.purse.settle(DISK, reservation=held, cost_usd=0.001, tokens_in=1, tokens_out=1)

    assert till.number("iops_llm_settlements_total", outcome="given_up") == 3


async def test_a_reservation_is_settled_once() -> None:
    till = Till()
    held = await till.purse.reserve(0.007)
    for _ in range(2):
        await till.purse.settle(DISK, reservation=held, cost_usd=0.001, tokens_in=1, tokens_out=1)

    assert till.spent_nano() == (1_000_000, 0)
    assert till.fake.rows["cost#2026-11", f"stream#{DISK}"]["calls"] == {"N": "1"}
    assert till.number("iops_llm_settlements_total", outcome="unknown") == 1


@pytest.mark.parametrize("cost_usd", [float("nan"), float("inf"), -1.0])
async def test_a_cost_that_is_none_counts_as_all_that_was_reserved(cost_usd: float) -> None:
    till = Till()
    held = await till.purse.reserve(0.007)

    await till.purse.settle(DISK, reservation=held, cost_usd=cost_usd, tokens_in=-5, tokens_out=0)

    assert till.spent_nano() == (7_000_000, 0)


async def test_a_reservation_for_a_call_that_was_not_made_is_settled_with_zeros() -> None:
    till = Till()
    held = await till.purse.reserve(0.007)

    await till.purse.settle(DISK, reservation=held, cost_usd=0, tokens_in=0, tokens_out=0)

    day = till.day()
    assert day is not None
    assert (day.settled.calls, till.spent_nano()) == (0, (0, 0))
    assert ("cost#2026-11", f"stream#{DISK}") not in till.fake.rows
