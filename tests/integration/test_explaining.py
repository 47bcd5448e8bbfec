"""Insights in a language model's words, whole: the service, its table and queue, and models that are well or not."""

from __future__ import annotations

import asyncio
import time
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from iops import items
from iops.bus import ScoringQueue
from iops.clock import now
from iops.insight import Insight, PredictionType
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from tests.doubles import scenario
from tests.doubles.bedrock import Bedrock
from tests.doubles.chat import Chat
from tests.doubles.scenario import WORDS, Scenario
from tests.integration.scene import (
    CALL_USD,
    RISK_70,
    RISK_85,
    Host,
    ask_for,
    asking,
    explaining,
    insights_of,
    store_hosts,
    told_of,
    wait_for_insights,
    wait_for_words,
)
from tests.integration.stand_ins import Cloud, wait_until, wire_to

REPLICAS = 8
CENT = {"llm_daily_usd": 0.01}
FIRST_FAILURES = 5  # in a row open the breaker
CALLS_AT_ONCE = 8
SICK = Host(slowdown=RISK_85)


@pytest.fixture
async def table(settings: ServiceSettings) -> AsyncIterator[Table]:
    async with open_table(settings) as opened:
        yield opened


async def test_with_everything_throttled_every_insight_is_there_at_once_and_no_storm_follows(
    cloud: Cloud, table: Table, queue: ScoringQueue, bedrock: Bedrock, tmp_path: Path
) -> None:
    """The double may see 5 failures, at which the breaker opens, and what is under way then, of which there are 8 at
    once with the fifth: 12 calls. The retries among them cannot be more than the budget's 3 and a tenth of the rest."""
    hosts = [Host(f"web-{number}", RISK_85 if number < 20 else 1.0) for number in range(50)]
    begin = await store_hosts(table, hosts)
    bedrock.start_over(Scenario(then=scenario.throttle()))
    async with explaining(cloud.endpoint_url, tmp_path, **asking(bedrock)) as service:
        sent_s = time.monotonic()
        await ask_for(queue, hosts, since=begin)
        stored = await wait_for_insights(table, 20)
        took_s = time.monotonic() - sent_s
        settled = await wait_for_words(table, 20)
        shown = {name: await service.number(name) for name in THROTTLED}
        scored = 'iops_scoring_messages_total{outcome="scored"}'
        await service.wait_for(scored, len(hosts))

    assert took_s < 2
    assert {each.stream_id for each in settled} == {host.stream_id for host in hosts[:20]}
    assert len(await told_of(table)) == len(await insights_of(table)) == 20
    assert {each.explained_by for each in [*stored, *settled]} == {"template"}
    assert {each.explainers_asked for each in settled} <= {("bedrock: throttled",), ("bedrock: resting",)}
    assert FIRST_FAILURES <= len(bedrock.calls) <= FIRST_FAILURES - 1 + CALLS_AT_ONCE
    assert shown[THROTTLED[0]] == 1
    assert shown[THROTTLED[1]] + shown[THROTTLED[2]] == shown[THROTTLED[3]] == 20
    assert shown[THROTTLED[4]] <= 3 + 20 / 10


THROTTLED = (
    'iops_explainer_breaker_state{provider="bedrock",state="open"}',
    'iops_explanations_total{by="bedrock",reason="throttled"}',
    'iops_explanations_total{by="bedrock",reason="resting"}',
    'iops_explanations_total{by="template",reason="fallback"}',
    'iops_explainer_retries_total{provider="bedrock"}',
)


@pytest.mark.slow
async def test_with_all_providers_hung_a_person_is_answered_within_20_s(
    cloud: Cloud, table: Table, bedrock: Bedrock, chat: Chat, tmp_path: Path
) -> None:
    hosts = [Host(f"web-{number}", RISK_85) for number in range(16)]
    await store_hosts(table, hosts)
    for double in (bedrock, chat):
        double.start_over(Scenario(then=scenario.hang()))
    tasks = asyncio.all_tasks()
    async with explaining(cloud.endpoint_url, tmp_path, **asking(bedrock, chat)) as service:

        async def timed(stream_id: str) -> tuple[Insight, float]:
            begin_s = time.monotonic()
            return await service.analyse(stream_id), time.monotonic() - begin_s

        answers = await asyncio.gather(*(timed(host.stream_id) for host in hosts))
        await wait_until(lambda: bedrock.under_way == chat.under_way == 0)

    slowest_s = max(took_s for _, took_s in answers)
    assert slowest_s < 20
    assert {insight.explained_by for insight, _ in answers} == {"template"}
    reasons = {reason.partition(": ") for insight, _ in answers for reason in insight.explainers_asked}
    assert {(name, why) for name, _, why in reasons} >= {("bedrock", "timed_out"), ("bedrock", "busy")}
    assert {why for _, _, why in reasons} <= {"timed_out", "busy", "resting"}
    assert all([each.partition(":")[0] for each in one.explainers_asked] == ["bedrock", "openai"] for one, _ in answers)
    await wait_until(lambda: asyncio.all_tasks() <= tasks)


async def test_without_a_provider_nothing_goes_out_but_to_the_table_and_the_queue(
    cloud: Cloud,
    table: Table,
    queue: ScoringQueue,
    bedrock: Bedrock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin, reached, connect = await store_hosts(table, [SICK]), set[str](), BaseSelectorEventLoop.sock_connect

    async def watched(loop: BaseSelectorEventLoop, sock: Any, address: Any) -> None:
        reached.add(f"http://{address[0]}:{address[1]}")
        await connect(loop, sock, address)

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", watched)
    places = asking(bedrock) | {"explainers": ()}
    async with explaining(cloud.endpoint_url, tmp_path, **places) as service:
        await ask_for(queue, [SICK], since=begin)
        (insight,) = await wait_for_insights(table)
        asked_for = await service.analyse(SICK.stream_id)

    assert reached == {cloud.endpoint_url}
    assert len(bedrock.calls) == 0
    assert (insight.explained_by, insight.explainers_asked, insight.call) == ("template", (), None)
    assert (asked_for.explained_by, asked_for.explainers_asked, asked_for.call) == ("template", (), None)


@pytest.mark.parametrize(
    ("flags", "reason"), [({"ai_enabled": False}, "bedrock: disabled"), ({"llm_percent": 0}, "bedrock: not_in_share")]
)
async def test_a_flag_that_forbids_it_is_the_reason_from_the_first_moment(
    cloud: Cloud,
    table: Table,
    queue: ScoringQueue,
    bedrock: Bedrock,
    tmp_path: Path,
    flags: dict[str, Any],
    reason: str,
) -> None:
    begin = await store_hosts(table, [SICK])
    async with explaining(cloud.endpoint_url, tmp_path, flags=flags, **asking(bedrock)) as service:
        await ask_for(queue, [SICK], since=begin)
        (insight,) = await wait_for_insights(table)
        (told,) = await told_of(table)
        asked_for = await service.analyse(SICK.stream_id)

    assert insight.explainers_asked == told.explainers_asked == asked_for.explainers_asked == (reason,)
    assert len(bedrock.calls) == 0


async def test_eight_replicas_at_once_are_never_billed_more_than_the_budget(
    cloud: Cloud, table: Table, bedrock: Bedrock, tmp_path: Path
) -> None:
    """A call may cost $0.0024 by its most tokens and does cost $0.000957, so that four are under way at once."""
    hosts = [Host(f"web-{number}", RISK_85) for number in range(REPLICAS)]
    await store_hosts(table, hosts)
    bedrock.start_over(Scenario(then=scenario.late(0.1, scenario.say(tokens_in=1_200, tokens_out=1_500))))
    settings = asking(bedrock) | {"bedrock_model": "haiku-5.5", "scoring_workers": 1}
    async with AsyncExitStack() as stack:
        opened = [explaining(cloud.endpoint_url, tmp_path, flags=CENT, **settings) for _ in range(REPLICAS)]
        replicas = [await stack.enter_async_context(each) for each in opened]
        answers: list[Insight] = []
        for turn in range(5):  # each asks about another stream in each turn, so that no cache answers
            asked = zip(replicas, hosts[turn:] + hosts[:turn], strict=True)
            answers += await asyncio.gather(*(service.analyse(host.stream_id) for service, host in asked))

        async def is_settled() -> bool:
            return float((await replicas[0].cost())["today"]["reserved_usd"]) == 0

        await wait_until(is_settled)
        cost = await replicas[0].cost()

    billed_usd = 0.000957 * len(bedrock.calls)
    assert 0.005 < billed_usd <= 0.01
    assert bedrock.most_under_way > 1
    assert cost["today"]["usd"] == pytest.approx(billed_usd)
    refused = [each for each in answers if each.explained_by == "template"]
    assert {each.explainers_asked for each in refused} == {("bedrock: over_budget",)}
    assert len(answers) - len(refused) == len(bedrock.calls)


async def test_a_models_words_come_into_the_insight_that_people_were_told_of(
    cloud: Cloud, table: Table, queue: ScoringQueue, bedrock: Bedrock, tmp_path: Path
) -> None:
    begin = await store_hosts(table, [SICK])
    bedrock.start_over(Scenario(then=scenario.late(0.3)))
    async with explaining(cloud.endpoint_url, tmp_path, **asking(bedrock)) as service:
        await ask_for(queue, [SICK], since=begin)
        (first,) = await wait_for_insights(table)
        stored_s = time.monotonic()
        (better,) = await wait_for_words(table)
        took_s = time.monotonic() - stored_s
        (told,) = await told_of(table)
        await service.wait_for('iops_llm_settlements_total{outcome="settled"}', 1)
        cost = await service.cost()

    assert took_s < 2
    assert told == first
    assert (first.explained_by, first.call) == ("template", None)
    assert (better.explained_by, better.explanation) == ("bedrock", WORDS["explanation"])
    assert better.recommendations == tuple(WORDS["recommendations"])
    kept = {"insight_id", "created_at", "title", "prediction_type", "risk_score", "facts", "began_at", "scored_by"}
    assert better.model_dump(include=kept) == first.model_dump(include=kept)
    assert better.call is not None
    assert (better.call.tokens_in, better.call.tokens_out) == (1_200, 250)
    assert better.call.cost_usd == pytest.approx(CALL_USD)
    assert (cost["today"]["calls"], cost["today"]["usd"], cost["today"]["reserved_usd"]) == (1, CALL_USD, 0)
    assert [(each["stream_id"], each["usd"]) for each in cost["streams"]] == [(SICK.stream_id, CALL_USD)]


async def test_words_that_find_no_table_are_stored_when_it_is_back(
    cloud: Cloud, table: Table, queue: ScoringQueue, bedrock: Bedrock, tmp_path: Path
) -> None:
    begin = await store_hosts(table, [SICK])
    bedrock.start_over(Scenario(then=scenario.late(0.5)))
    async with (
        wire_to(cloud.endpoint_url) as wire,
        explaining(wire.url, tmp_path, **asking(bedrock)) as service,
    ):
        await ask_for(queue, [SICK], since=begin)
        await wait_until(lambda: bedrock.under_way == 1)
        wire.cut()
        answered = 'iops_explanations_total{by="bedrock",reason="answered"}'
        await service.wait_for(answered, 1)
        await service.wait_for('iops_llm_settlements_total{outcome="put_off"}', 1)
        (unworded,) = await insights_of(table)
        wire.mend()
        (worded,) = await wait_for_words(table)
        await service.wait_for('iops_llm_settlements_total{outcome="settled"}', 1)
        cost = await service.cost()

    assert (unworded.explained_by, worded.explained_by) == ("template", "bedrock")
    assert worded.insight_id == unworded.insight_id
    assert len(await told_of(table)) == 1
    assert (cost["today"]["calls"], cost["today"]["usd"], cost["today"]["reserved_usd"]) == (1, CALL_USD, 0)


async def test_a_service_that_ends_during_a_call_keeps_the_template_and_counts_the_call(
    cloud: Cloud, table: Table, queue: ScoringQueue, bedrock: Bedrock, tmp_path: Path
) -> None:
    host = Host(slowdown=RISK_70)
    begin = await store_hosts(table, [host])
    bedrock.start_over(Scenario(then=scenario.hang()))
    async with explaining(cloud.endpoint_url, tmp_path, **asking(bedrock)):
        await ask_for(queue, [host], since=begin)
        await wait_until(lambda: bedrock.under_way == 1)

    await wait_until(lambda: bedrock.abandoned == 1)
    (insight,) = await insights_of(table)
    row = await table.get(items.day_key(now().date()))
    day = items.item_to_day_cost(row) if row else None
    assert (insight.explained_by, insight.prediction_type) == ("template", PredictionType.FAIL_SLOW)
    assert day is not None
    assert (day.settled.calls, day.reserved_nano) == (1, 0)
    assert 5_500_000 < day.settled.nano < 10_000_000  # the most it may have cost: 1,000 tokens out, and the prompt
