"""Whatever becomes of a call, what was reserved for it is settled."""

import asyncio

import pytest
from structlog.testing import capture_logs

from services.insights.breaker import State
from services.insights.providers import Reason, Unanswered
from tests.unit.calling import MOST_USD, FakeProvider, FakePurse, ask, broken_off, reason_of, resilient, throttled
from tests.unit.virtual_time import cancelled, in_virtual_time, now_s

ANSWERED = (MOST_USD, 0.002, 1_200, 250)
FREE = (MOST_USD, 0.0, 0, 0)
PERHAPS = (MOST_USD, MOST_USD, 0, 0)  # on the bill, and so it counts


async def settled(provider: FakeProvider, purse: FakePurse) -> list[tuple[float, float, int, int]]:
    async with resilient(provider, purse) as asked:
        await reason_of(asked)
    return purse.settled


@in_virtual_time
async def test_an_answer_costs_what_it_says() -> None:
    assert await settled(FakeProvider(), FakePurse()) == [ANSWERED]


@in_virtual_time
async def test_each_attempt_is_reserved_and_settled_by_itself() -> None:
    purse = FakePurse()
    assert await settled(FakeProvider(throttled(), broken_off()), purse) == [FREE, PERHAPS, ANSWERED]
    assert purse.reserved == [MOST_USD] * 3


@in_virtual_time
async def test_a_call_that_hangs_may_be_on_the_bill() -> None:
    assert await settled(FakeProvider(takes_s=3_600), FakePurse()) == [PERHAPS, PERHAPS]


@pytest.mark.parametrize("reason", ["over_budget", "budget_unknown"])
def test_a_purse_that_refuses_is_asked_once_and_the_provider_never(reason: Reason) -> None:
    @in_virtual_time
    async def test() -> None:
        provider, purse = FakeProvider(), FakePurse(Unanswered(reason, "no money", is_passing=True))
        asked = resilient(provider, purse)
        began_s = now_s()
        assert [await reason_of(asked) for _ in range(10)] == [reason] * 10
        assert (provider.asked_at_s, purse.settled, now_s()) == ([], [], began_s)
        assert asked.state is State.CLOSED

    test()


@in_virtual_time
async def test_a_caller_who_leaves_loses_no_settlement() -> None:
    purse = FakePurse(takes_s=0.1)
    async with resilient(FakeProvider(), purse) as asked:
        task = asyncio.create_task(ask(asked))
        await asyncio.sleep(0.3)  # it is being asked
        await cancelled(task)
        assert (task.cancelled(), purse.settled) == (True, [])
    assert purse.settled == [PERHAPS]


@in_virtual_time
async def test_who_leaves_between_two_attempts_owes_nothing_more() -> None:
    purse = FakePurse()
    async with resilient(FakeProvider(throttled()), purse) as asked:
        task = asyncio.create_task(ask(asked))
        await asyncio.sleep(1.0)  # it waits to ask again
        await cancelled(task)
    assert purse.settled == [FREE]


@in_virtual_time
async def test_whenever_everybody_leaves_the_reservations_add_up() -> None:
    for moment in range(40):
        purse = FakePurse(takes_s=0.01)
        async with resilient(FakeProvider(throttled(), broken_off(), always=None), purse) as asked:
            tasks = [asyncio.create_task(reason_of(asked)) for _ in range(20)]
            await asyncio.sleep(moment * 0.1)
            for task in tasks:
                await cancelled(task)
        assert len(purse.settled) == len(purse.reserved)


@in_virtual_time
async def test_words_do_not_wait_for_a_purse_that_hangs() -> None:
    provider, purse = FakeProvider(), FakePurse()
    with capture_logs() as lines:
        async with resilient(provider, purse) as asked:
            task = asyncio.create_task(ask(asked))
            await asyncio.sleep(0.1)
            purse.takes_s = 3_600
            await task
            began_s = now_s()
        assert now_s() - began_s == pytest.approx(5)
    assert [line["event"] for line in lines] == ["settlement_given_up"]
