"""The day's money as DynamoDB Local and ministack count it: eight replicas at once, and no dollar too much."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from typing import Any

import pytest
import pytest_asyncio

from iops import items
from iops.items import DayCost
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from services.insights.providers import Unanswered
from services.insights.purse import Purse, Reservation
from tests.integration.stand_ins import wait_until, wire_to

REPLICAS = 8
DAY = date(2026, 11, 23)
BUDGET_USD = 0.01

pytestmark = pytest.mark.asyncio(loop_scope="module")


def a_purse(table: Table, metrics: Metrics | None = None) -> Purse:
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    return Purse(table, lambda: at, metrics or Metrics(), lambda: BUDGET_USD)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tables(table_url: str) -> AsyncIterator[list[Table]]:
    """Each with a client of its own."""
    async with AsyncExitStack() as clients:
        settings = ServiceSettings(aws_endpoint_url=table_url)
        yield [await clients.enter_async_context(open_table(settings)) for _ in range(REPLICAS)]


@pytest.fixture
def replicas(tables: list[Table], dynamodb: Any) -> list[Purse]:
    return [a_purse(table) for table in tables]


async def read_day(table: Table) -> DayCost:
    row = await table.get(items.day_key(DAY))
    assert row is not None
    day = items.item_to_day_cost(row)
    assert day is not None
    return day


async def reserve_all(replicas: list[Purse], most_usd: float, *, times: int) -> list[Reservation]:
    """What was granted where every replica asks so often at once."""
    asked = [purse.reserve(most_usd) for purse in replicas for _ in range(times)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer.reason for answer in answers if isinstance(answer, Unanswered)]
    granted = [answer for answer in answers if isinstance(answer, Reservation)]
    assert len(granted) + len(refused) == len(answers), answers
    assert set(refused) <= {"over_budget"}
    return granted


@pytest.mark.parametrize(("most_usd", "granted", "nano"), [(0.002, 5, 10_000_000), (0.007, 1, 7_000_000)])
async def test_eight_replicas_at_once_never_reserve_more_than_the_budget(
    replicas: list[Purse], table: Table, most_usd: float, granted: int, nano: int
) -> None:
    held = await reserve_all(replicas, most_usd, times=10)

    assert len(held) == granted
    day = await read_day(table)
    assert (day.settled.nano, day.reserved_nano) == (0, nano)


async def test_calls_of_all_prices_spend_the_budget_and_not_a_nano_dollar_more(
    replicas: list[Purse], table: Table
) -> None:
    """Every sum the row ever had is under the budget: what is settled and what is held are one number in it."""
    seen: list[int] = []

    async def work(purse: Purse, number: int) -> None:
        for turn in range(12):
            most_usd = (0.002, 0.007)[(number + turn) % 2]
            held = next(iter(await reserve_all([purse], most_usd, times=1)), None)
            if held is None:
                continue
            day = await read_day(table)
            seen.append(day.settled.nano + day.reserved_nano)
            await purse.settle(
                f"web-{number}:sda", reservation=held, cost_usd=most_usd / 4, tokens_in=900, tokens_out=100
            )

    await asyncio.gather(*(work(purse, number) for number, purse in enumerate(replicas)))

    day = await read_day(table)
    rows = await table.query(items.month_costs_query(DAY))
    streams = [stream for row in rows if (stream := items.item_to_stream_cost(row))]
    assert max(seen) <= 10_000_000
    assert (day.reserved_nano, day.settled.calls) == (0, len(seen))
    assert 3_000_000 < day.settled.nano <= 10_000_000
    assert sum(stream.settled.nano for stream in streams) == day.settled.nano
    assert len([name for row in rows for name in row if name.startswith("open_")]) == 0


async def test_a_settlement_that_gives_back_lets_the_next_in(replicas: list[Purse], table: Table) -> None:
    held = await replicas[0].reserve(0.007)
    with pytest.raises(Unanswered, match=r"\$0.007 of the day's \$0.01 is spent or reserved"):
        await replicas[1].reserve(0.007)

    await replicas[0].settle("web-1:sda", reservation=held, cost_usd=0.003, tokens_in=1, tokens_out=1)
    await replicas[1].reserve(0.007)

    day = await read_day(table)
    assert (day.settled.nano, day.reserved_nano) == (3_000_000, 7_000_000)


async def test_a_settlement_whose_answer_is_lost_is_done_once_and_an_unknown_reservation_is_given_back(
    table_url: str, table: Table
) -> None:
    metrics = Metrics()

    def settlements() -> float:
        return metrics.registry.get_sample_value("iops_llm_settlements_total", {"outcome": "settled"}) or 0.0

    async with (
        wire_to(table_url) as wire,
        open_table(ServiceSettings(aws_endpoint_url=wire.url, aws_timeout_s=1)) as far,
    ):
        purse = a_purse(far, metrics)
        held = await purse.reserve(0.003)
        wire.is_deaf = True
        await purse.settle("web-1:sda", reservation=held, cost_usd=0.001, tokens_in=1, tokens_out=1)
        with pytest.raises(Unanswered, match="budget_unknown"):
            await purse.reserve(0.004)
        await wait_until(lambda: is_counted(table))
        wire.mend()
        running = asyncio.create_task(purse.run())
        await wait_until(lambda: settlements() == 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    day = await read_day(table)
    assert (day.settled.calls, day.settled.nano, day.reserved_nano) == (1, 1_000_000, 0)


async def is_counted(table: Table) -> bool:
    """Both requests got through, although no answer came back."""
    day = await read_day(table)
    return (day.settled.nano, day.reserved_nano) == (1_000_000, 4_000_000)


async def test_a_table_that_is_away_is_an_unknown_budget(table_url: str, dynamodb: Any) -> None:
    async with wire_to(table_url) as wire, open_table(ServiceSettings(aws_endpoint_url=wire.url)) as far:
        wire.cut()
        with pytest.raises(Unanswered, match="budget_unknown"):
            await a_purse(far).reserve(0.001)
