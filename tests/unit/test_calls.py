"""How a provider is called: few at once, some again, and over by the deadline."""

import asyncio
import random
from collections import Counter
from itertools import pairwise

import pytest

from iops.observability import Metrics
from services.insights.breaker import State
from services.insights.calls import CALLS_LIMIT, RetryBudget
from services.insights.providers import Unanswered
from tests.unit.calling import PROMPT, REPLY, FakeProvider, FakePurse, ask, broken_off, reason_of, resilient, throttled
from tests.unit.virtual_time import cancelled, in_virtual_time, now_s


def gaps_s(provider: FakeProvider) -> list[float]:
    times = provider.asked_at_s
    return [round(later - earlier - provider.takes_s, 6) for earlier, later in pairwise(times)]


@in_virtual_time
async def test_three_retries_wait_up_to_1_2_and_4_s() -> None:
    provider = FakeProvider(always=throttled())
    assert await reason_of(resilient(provider)) == "throttled"
    assert gaps_s(provider) == [1, 2, 4]


@in_virtual_time
async def test_the_jitter_is_full() -> None:
    provider = FakeProvider(*[throttled(), throttled(), throttled(), None] * 200)
    asked = resilient(provider, uniform=random.Random(1).uniform)
    for _ in range(200):
        asked._budget = RetryBudget()  # what is measured here is the waits
        assert await ask(asked) == REPLY
    waits_s = gaps_s(provider)
    for place, longest_s in enumerate((1, 2, 4)):
        of_retry = waits_s[place::4]
        assert min(of_retry) < 0.05 * longest_s
        assert 0.95 * longest_s < max(of_retry) <= longest_s


@in_virtual_time
async def test_words_after_a_retry_are_words() -> None:
    assert await ask(resilient(FakeProvider(throttled(), broken_off()))) == REPLY


@in_virtual_time
async def test_what_does_not_pass_is_not_repeated() -> None:
    provider = FakeProvider(always=Unanswered("refused", "no such model"))
    assert await reason_of(resilient(provider)) == "refused"
    assert len(provider.asked_at_s) == 1


@in_virtual_time
async def test_retry_after_is_waited_for_and_the_jitter_comes_on_top() -> None:
    provider = FakeProvider(throttled(retry_after_s=5))
    assert await ask(resilient(provider)) == REPLY
    assert gaps_s(provider) == [6]


@in_virtual_time
async def test_a_retry_after_beyond_the_deadline_ends_it_at_once() -> None:
    began_s = now_s()
    provider = FakeProvider(always=throttled(retry_after_s=19))
    assert await reason_of(resilient(provider)) == "throttled"
    assert now_s() - began_s == 0.5


@in_virtual_time
async def test_a_retry_that_would_have_less_than_a_second_is_not_begun() -> None:
    provider = FakeProvider(always=throttled(), takes_s=0.5)
    assert await reason_of(resilient(provider), within_s=2.4) == "throttled"
    assert len(provider.asked_at_s) == 1


@in_virtual_time
async def test_an_attempt_has_12_s_or_what_is_left() -> None:
    provider = FakeProvider(takes_s=60)
    began_s = now_s()
    assert await reason_of(resilient(provider)) == "timed_out"
    assert provider.timeouts_s == [11.75, pytest.approx(6.75)]  # ends a moment before its caller gives up
    assert now_s() - began_s == pytest.approx(20)


@in_virtual_time
async def test_where_the_provider_hangs_everybody_is_told_by_the_deadline() -> None:
    provider = FakeProvider(takes_s=3_600)
    asked = resilient(provider)
    began_s = now_s()

    async def one() -> tuple[str, float]:
        return await reason_of(asked), now_s() - began_s

    ended = await asyncio.gather(*(one() for _ in range(50)))
    assert max(took_s for _, took_s in ended) <= 20.000_001
    assert {reason for reason, _ in ended} <= {"timed_out", "busy", "resting"}
    assert provider.most_under_way == CALLS_LIMIT


@in_virtual_time
async def test_where_the_purse_hangs_nobody_is_called() -> None:
    provider = FakeProvider()
    assert await reason_of(resilient(provider, FakePurse(takes_s=3_600))) == "budget_unknown"
    assert not provider.asked_at_s


@in_virtual_time
async def test_of_50_callers_8_are_served_at_once_and_all_in_the_end() -> None:
    provider = FakeProvider(takes_s=2)
    asked = resilient(provider)
    replies = await asyncio.gather(*(ask(asked) for _ in range(50)))
    assert (replies, provider.most_under_way) == ([REPLY] * 50, 8)


@in_virtual_time
async def test_who_finds_no_place_in_time_is_told_busy() -> None:
    provider = FakeProvider(takes_s=10)
    asked = resilient(provider)
    reasons = await asyncio.gather(*(reason_of(asked) for _ in range(24)))
    assert Counter(reasons) == {"answered": 8, "timed_out": 8, "busy": 8}


@in_virtual_time
async def test_callers_who_leave_give_their_places_back() -> None:
    provider = FakeProvider(takes_s=2)
    asked = resilient(provider)
    tasks = [asyncio.create_task(ask(asked)) for _ in range(30)]
    await asyncio.sleep(0.1)
    for task in tasks:
        await cancelled(task)
    assert provider.under_way == 0
    began_s = now_s()
    await asyncio.gather(*(ask(asked) for _ in range(8)))
    assert now_s() - began_s == 2


@in_virtual_time
async def test_a_deadline_that_has_passed_costs_nothing() -> None:
    provider, purse = FakeProvider(), FakePurse()
    assert await reason_of(resilient(provider, purse), within_s=-1) == "busy"
    assert (provider.asked_at_s, purse.reserved) == ([], [])


@in_virtual_time
async def test_retries_are_a_tenth_of_the_calls_and_three() -> None:
    provider, metrics = FakeProvider(always=throttled()), Metrics()
    asked = resilient(provider, metrics=metrics, failures=10_000)
    reasons = await asyncio.gather(*(reason_of(asked) for _ in range(20)))
    assert (set(reasons), len(provider.asked_at_s)) == ({"throttled"}, 25)
    by_provider = {"provider": "bedrock"}
    assert metrics.registry.get_sample_value("iops_explainer_retries_total", by_provider) == 5
    assert metrics.registry.get_sample_value("iops_explainer_retries_denied_total", by_provider) == 20


@in_virtual_time
async def test_retries_bring_no_retries() -> None:
    provider = FakeProvider(always=throttled())
    asked = resilient(provider, failures=10_000)
    for _ in range(100):
        await reason_of(asked)
    assert len(provider.asked_at_s) == 113


@in_virtual_time
async def test_a_full_budget_does_not_make_the_ladder_longer() -> None:
    provider = FakeProvider(*[None] * 100, always=throttled(), takes_s=0.1)
    asked = resilient(provider)
    for _ in range(101):
        await reason_of(asked, within_s=60)
    assert len(provider.asked_at_s) == 104


@in_virtual_time
async def test_the_failure_that_opens_the_breaker_is_not_repeated() -> None:
    provider = FakeProvider(always=throttled())
    assert await reason_of(resilient(provider, failures=1)) == "throttled"
    assert gaps_s(provider) == []


@in_virtual_time
async def test_nobody_queues_for_a_provider_that_rests() -> None:
    provider = FakeProvider(takes_s=10)
    asked = resilient(provider, failures=1)
    slow = [asyncio.create_task(reason_of(asked)) for _ in range(7)]
    await asyncio.sleep(0)
    provider.takes_s, provider.always = 0.1, throttled()
    assert await reason_of(asked) == "throttled"
    provider.takes_s = 10
    slow.append(asyncio.create_task(reason_of(asked)))
    began_s = now_s()
    assert (await reason_of(asked), now_s()) == ("resting", began_s)
    await asyncio.gather(*slow)


@in_virtual_time
async def test_an_open_breaker_spares_the_provider() -> None:
    provider, purse = FakeProvider(always=throttled()), FakePurse()
    asked = resilient(provider, purse)
    for _ in range(20):
        await asyncio.gather(*(reason_of(asked) for _ in range(20)))
    assert len(provider.asked_at_s) == len(purse.reserved) == 8  # the first 8 places
    assert asked.state is State.OPEN


@in_virtual_time
async def test_a_resting_provider_is_probed_by_one_of_those_who_come() -> None:
    provider = FakeProvider(*[throttled()] * 8)
    asked = resilient(provider)
    await asyncio.gather(*(reason_of(asked) for _ in range(20)))
    await asyncio.sleep(31)
    reasons = await asyncio.gather(*(reason_of(asked) for _ in range(20)))
    assert Counter(reasons) == {"answered": 1, "resting": 19}
    assert asked.state is State.CLOSED


@in_virtual_time
async def test_a_probe_whose_caller_leaves_is_not_held_against_the_provider() -> None:
    provider = FakeProvider(*[throttled()] * 8)
    asked = resilient(provider)
    await asyncio.gather(*(reason_of(asked) for _ in range(20)))
    await asyncio.sleep(31)
    probe = asyncio.create_task(ask(asked))
    await asyncio.sleep(0.1)
    await cancelled(probe)
    assert await ask(asked) == REPLY


@in_virtual_time
async def test_the_metrics_say_what_came_of_each_attempt() -> None:
    metrics = Metrics()
    asked = resilient(FakeProvider(throttled(), None), metrics=metrics)
    await ask(asked)
    calls = {
        outcome: metrics.registry.get_sample_value(
            "iops_explainer_calls_total", {"provider": "bedrock", "outcome": outcome}
        )
        for outcome in ("answered", "throttled")
    }
    assert calls == {"answered": 1, "throttled": 1}
    shown = metrics.expose().decode()
    assert 'iops_explainer_breaker_state{provider="bedrock",state="closed"} 1.0' in shown
    assert 'iops_explainer_breaker_state{provider="bedrock",state="open"} 0.0' in shown
    assert 'iops_explainer_in_flight{provider="bedrock"} 0.0' in shown
    assert 'iops_explainer_call_seconds_sum{provider="bedrock"} 1.0' in shown


def test_a_quiet_time_saves_up_ten_retries() -> None:
    budget = RetryBudget()
    for _ in range(1_000):
        budget.add()
    assert sum(budget.take() for _ in range(100)) == 10


@in_virtual_time
async def test_the_prompt_is_asked_as_it_is() -> None:
    asked = resilient(FakeProvider())
    assert (asked.name, asked.model_id) == ("bedrock", "a-model")
    assert await asked.ask("web-1:sda", PROMPT, deadline_s=now_s() + 20) == REPLY
