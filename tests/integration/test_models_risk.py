"""What becomes of risks and alerts where a language model is let decide, and where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from iops.bus import ScoringQueue
from iops.clock import now
from iops.insight import PredictionType
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from tests.doubles import scenario
from tests.doubles.bedrock import Bedrock
from tests.doubles.scenario import Scenario
from tests.integration.examples import some_samples
from tests.integration.scene import (
    RISK_70,
    RISK_85,
    Host,
    ask_for,
    asking,
    explaining,
    store_hosts,
    told_of,
    wait_for_words,
)
from tests.integration.stand_ins import Cloud, wait_until
from tests.integration.test_alerts import alerts_service, wait_until_handled
from tests.integration.test_insights import STALLED, store


@pytest.fixture
async def table(settings: ServiceSettings) -> AsyncIterator[Table]:
    async with open_table(settings) as opened:
        yield opened


@pytest.mark.parametrize(
    ("host", "sets_risk", "theirs", "risks_told", "is_disputed"),
    [
        (Host(slowdown=RISK_70), True, 85, [85, 70], False),
        (Host(slowdown=RISK_85), True, 10, [10, 85], True),
        (Host(slowdown=RISK_85), True, 90, [85], False),  # people are called already
        (Host(stalls=True), True, 10, [100], True),  # a hard rule
        (Host(slowdown=RISK_70), False, 85, [70], False),
        (Host(slowdown=RISK_85), False, 10, [85], True),
    ],
    ids=["a page now", "nothing after all", "a page as before", "a hard rule", "only words", "only disputed"],
)
async def test_a_models_risk_counts_where_the_flag_says_so_and_people_hear_of_it_once_more(
    cloud: Cloud,
    table: Table,
    queue: ScoringQueue,
    bedrock: Bedrock,
    tmp_path: Path,
    host: Host,
    sets_risk: bool,
    theirs: float,
    risks_told: list[float],
    is_disputed: bool,
) -> None:
    begin = await store_hosts(table, [host])
    bedrock.start_over(Scenario(then=scenario.say(risk_score=theirs)))
    async with explaining(cloud.endpoint_url, tmp_path, flags={"llm_sets_risk": sets_risk}, **asking(bedrock)):
        await ask_for(queue, [host], since=begin)
        (insight,) = await wait_for_words(table)

    told = await told_of(table)
    ours = risks_told[-1]
    assert [one.risk_score for one in told] == pytest.approx(risks_told, abs=0.1)
    assert {one.insight_id for one in told} == {insight.insight_id}
    is_theirs = sets_risk and not insight.is_hard_rule
    assert insight.risk_score == pytest.approx(theirs if is_theirs else ours, abs=0.1)
    assert insight.opinion is not None
    assert (insight.opinion.risk_score, insight.is_disputed) == (theirs, is_disputed)


@pytest.mark.parametrize(("ours", "theirs", "states"), [(RISK_70, 85, ["firing"]), (RISK_85, 10, [])])
async def test_an_alert_opens_by_a_models_risk_and_by_ours_only_at_the_second_scoring(
    cloud: Cloud,
    table: Table,
    queue: ScoringQueue,
    bedrock: Bedrock,
    tmp_path: Path,
    ours: float,
    theirs: float,
    states: list[str],
) -> None:
    host = Host(slowdown=ours)
    begin = await store_hosts(table, [host])
    bedrock.start_over(Scenario(then=scenario.late(0.3, scenario.say(risk_score=theirs))))
    async with (
        alerts_service(cloud.endpoint_url) as alerts,
        explaining(cloud.endpoint_url, tmp_path, flags={"llm_sets_risk": True}, **asking(bedrock)),
    ):
        await ask_for(queue, [host], since=begin)
        await wait_for_words(table)
        await wait_until_handled(table)
        found = (await alerts.get("/alerts")).json()["items"]

    assert [(alert["stream_id"], alert["state"], alert["risk_score"]) for alert in found] == [
        (host.stream_id, state, theirs) for state in states
    ]


async def test_a_model_that_answers_late_takes_back_nothing_that_was_told_since(
    cloud: Cloud, table: Table, queue: ScoringQueue, bedrock: Bedrock, tmp_path: Path
) -> None:
    host = Host(slowdown=RISK_85)
    begin = await store_hosts(table, [host])
    bedrock.start_over(Scenario(scenario.late(1.5, scenario.say(risk_score=10)), then=scenario.say(risk_score=90)))
    async with explaining(cloud.endpoint_url, tmp_path, flags={"llm_sets_risk": True}, **asking(bedrock)):
        await ask_for(queue, [host], since=begin)
        await wait_until(lambda: bedrock.under_way == 1)
        at = now().replace(second=0, microsecond=0)
        await store(table, some_samples(20, begin=at + timedelta(seconds=1), **STALLED), stream_id=host.stream_id)
        await ask_for(queue, [host], since=at)
        stall, slow = await wait_for_words(table, 2)

    assert [(one.prediction_type, one.explained_by) for one in (stall, slow)] == [
        (PredictionType.STALL, "bedrock"),
        (PredictionType.FAIL_SLOW, "bedrock"),
    ]
    assert slow.risk_score == 10
    assert [one.insight_id for one in await told_of(table)] == [stall.insight_id, slow.insight_id]
