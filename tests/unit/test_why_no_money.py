"""What the purse says to somebody who only wants to know whether it would pay."""

import asyncio

from tests.unit.fakes import aws_error
from tests.unit.test_purse import Till
from tests.unit.virtual_time import in_virtual_time, now_s


async def test_a_day_with_money_left_would_pay() -> None:
    till = Till()
    assert await till.purse.why_not() is None
    await till.call(0.007, 0.0014)
    assert await till.purse.why_not() is None


async def test_what_is_reserved_counts_as_spent() -> None:
    till = Till(daily_usd=0.01)
    await till.purse.reserve(0.01)

    assert await till.purse.why_not() == "the day's $0.01 is spent"


async def test_a_budget_of_nothing_is_said_without_the_table() -> None:
    till = Till(daily_usd=0)

    assert await till.purse.why_not() == "the flag llm_daily_usd is 0"
    assert till.fake.calls == []


async def test_a_table_that_does_not_say_is_a_reason() -> None:
    till = Till()
    till.fake.failures["GetItem"].append(aws_error("AccessDeniedException"))

    assert await till.purse.why_not() == "the day's spending cannot be read: AccessDeniedException"


@in_virtual_time
async def test_a_table_that_hangs_is_waited_for_a_second() -> None:
    till, began_s = Till(), now_s()

    async def hang(**_: object) -> None:
        await asyncio.Event().wait()

    till.fake.get_item = hang  # type: ignore[method-assign,assignment]

    assert await till.purse.why_not() == "the day's spending cannot be read: TimeoutError"
    assert now_s() - began_s == 1
