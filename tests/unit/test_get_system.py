"""GET /system: what is wrong first, for whom what, and a table that is away."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.auth import Caller, Role
from iops.items import Pulse, Settled
from services.insights.card import ModelView
from services.insights.survey import Survey
from services.insights.system import Bureau, System
from services.insights.tiers import Board
from tests.unit.builders import AT, EVERYBODY, a_pulse, clock_at
from tests.unit.fakes import FakeTable
from tests.unit.test_tiers import a_board

MINUTE = timedelta(minutes=1)
WEB = Caller("web team", Role.VIEWER, ("web-*",))
WELL = (
    a_pulse("ingest", counts={"samples": 6_000, "refused": 0}, levels={"waiting_samples": 3}),
    a_pulse("insights", counts={"scored": 600}, levels={"silent_hosts": 0, "scoring_wait_s": 2}),
    a_pulse("alerts", levels={"outbox_age_s": 0.2}),
)


class Office:
    """The survey, who looks at it, and the table behind."""

    def __init__(self, *pulses: Pulse, board: Board | None = None, budget_usd: float = 1.0) -> None:
        self.fake, self.now_s = FakeTable(), 0.0
        self.beat(*pulses)
        self.survey = Survey(
            self.fake.table(),
            board or a_board(),
            clock_at(),
            budget_usd=lambda: budget_usd,
            monotonic_s=lambda: self.now_s,
        )

    def beat(self, *pulses: Pulse) -> None:
        self.fake.add(*map(items.pulse_item, pulses))

    async def spend(self, usd: float) -> None:
        settled = Settled(calls=2, nano=round(usd * 10**9), tokens_in=900, tokens_out=100)
        await self.fake.table().update(items.day_spent_update(AT.date(), settled))
        await self.fake.table().update(items.stream_spent_update(AT.date(), "web-1:sda", settled))

    async def look(self, caller: Caller = EVERYBODY, model: ModelView | None = None) -> System:
        return await Bureau(self.survey, model).read(caller)


def says(system: System) -> list[tuple[str, str]]:
    return [(trouble.says, trouble.section) for trouble in system.troubles]


async def test_where_nothing_is_wrong_it_says_so() -> None:
    system = await Office(*WELL).look()

    assert (system.says, system.troubles) == ("All well", [])
    assert [(each.service, each.says) for each in system.services] == [
        ("alerts", "ok"),
        ("ingest", "ok"),
        ("insights", "ok"),
    ]
    assert (system.samples_per_s, system.streams_scored_per_s, system.silent_hosts) == (20, 2, 0)


async def test_what_is_gone_comes_before_what_limps_and_the_others_are_counted() -> None:
    ingest, insights, _ = WELL
    limping = ingest.model_copy(update={"failed": {"table": "throttled"}, "counts": {"refused": 99}})
    gone = a_pulse("alerts", at=AT - 3 * MINUTE)

    system = await Office(limping, insights, gone).look()

    assert says(system) == [
        ("alerts has not been heard of for 3 min: nobody is told of anything", "unhealthy-targets"),
        ("ingest is degraded: table (throttled)", "unhealthy-targets"),
        ("Requests refused: 99 requests. Senders are asked to come again", "balancer-errors"),
    ]
    assert system.says == "alerts has not been heard of for 3 min: nobody is told of anything; and 2 more"


async def test_what_a_replica_said_that_is_gone_is_no_number_of_now() -> None:
    ingest, insights, alerts = WELL
    old = a_pulse("ingest", replica="b2", at=AT - 2 * MINUTE, counts={"samples": 900}, levels={"waiting_samples": 9e9})

    system = await Office(ingest, old, insights, alerts).look()

    assert says(system) == [("ingest is degraded: 1 of 2 replicas not heard of for 2 min", "unhealthy-targets")]
    assert system.samples_per_s == 20


async def test_a_table_that_is_away_is_the_trouble_and_nothing_is_guessed() -> None:
    office = Office(*WELL)
    office.fake.is_away = True

    system = await office.look()

    ((trouble, section),) = says(system)
    assert trouble.startswith("The table does not answer (")
    assert section == "table-throttles"
    assert (system.services, system.samples_per_s, system.money) == ([], None, None)


async def test_a_table_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(**_: Any) -> None:
        await asyncio.sleep(60)

    office = Office(*WELL)
    office.fake.query = hang  # type: ignore[method-assign, assignment]
    monkeypatch.setattr("services.insights.survey.READ_TIMEOUT_S", 0.05)

    system = await office.look()

    assert "no answer in 0.05 s" in system.says


@pytest.mark.parametrize(
    ("fields", "trouble", "section"),
    [
        ({"counts": {"scored": 100, "scorer_fallbacks": 11}},
         "11% of the streams are scored by another scorer than they should be", "scorer-fallbacks"),
        ({"counts": {"explained": 1, "explainer_fallbacks": 3}},
         "3 of 4 questions to language models ended with the template's words", "explainer-fallbacks"),
        ({"by_name": {"open_breakers": {"bedrock": 1, "openai": 0}}},
         "bedrock fails and is left in peace for now; the next tier explains", "explainer-fallbacks"),
        ({"levels": {"silent_hosts": 2}}, "2 hosts send nothing", "silent-agents"),
    ],
)  # fmt: skip
async def test_each_trouble_of_insights_names_its_section(fields: Any, trouble: str, section: str) -> None:
    ingest, _, alerts = WELL

    assert says(await Office(ingest, a_pulse("insights", **fields), alerts).look()) == [(trouble, section)]


async def test_one_question_of_two_and_one_silent_host_are_no_trouble() -> None:
    ingest, _, alerts = WELL
    few = {"counts": {"explained": 1, "explainer_fallbacks": 1}, "levels": {"silent_hosts": 1}}

    assert (await Office(ingest, a_pulse("insights", **few), alerts).look()).troubles == []


async def test_without_a_model_only_rules_score_and_it_says_so() -> None:
    system = await Office(*WELL, board=a_board(model_version=None)).look()

    assert says(system) == [("Only rules score: no model fits; the service's log says why", "Model roll-back")]
    assert system.model is None


async def test_the_day_s_money_is_told_with_the_month_and_from_80_percent_on_a_trouble() -> None:
    office = Office(*WELL, budget_usd=0.25)
    await office.spend(0.2)

    system = await office.look()

    assert system.money is not None
    assert (system.money.today.usd, system.money.month.usd) == (0.2, 0.2)
    assert says(system) == [("$0.20 of the day's $0.25 for language models is used", "llm-budget")]


async def test_who_sees_some_streams_sees_health_and_no_sum_of_all() -> None:
    ingest, _, alerts = WELL
    office = Office(ingest, a_pulse("insights", counts={"scored": 9}, levels={"silent_hosts": 7}), alerts)
    await office.spend(0.9)

    system = await office.look(WEB)

    assert (system.says, len(system.services), len(system.tiers.scoring)) == ("All well", 3, 3)
    assert (system.samples_per_s, system.streams_scored_per_s, system.silent_hosts, system.money) == (None,) * 4


async def test_drift_is_told_in_words_the_largest_first_and_is_no_trouble() -> None:
    ingest, _, alerts = WELL
    drift = {"p99_to_await": 0.1, "z_await_ms": 0.25, "peer_ratio_p10": 0.26}

    system = await Office(ingest, a_pulse("insights", by_name={"drift": drift}), alerts).look()

    assert [(each.feature, each.says) for each in system.drift] == [
        ("peer_ratio_p10", "the model sees what it was not made for"),
        ("z_await_ms", "some drift"),
        ("p99_to_await", "no drift"),
    ]
    assert system.troubles == []


async def test_a_hundred_who_look_at_once_cost_what_one_costs() -> None:
    office = Office(*WELL)
    await asyncio.gather(*(office.look() for _ in range(100)))
    assert office.fake.calls.count("Query") == 4

    office.now_s += 9.9
    await office.look()
    assert office.fake.calls.count("Query") == 4

    office.now_s += 0.1
    await office.look()
    assert office.fake.calls.count("Query") == 8


async def test_a_damaged_row_hides_no_other() -> None:
    office = Office(*WELL)
    office.fake.add(items.pulse_key("ingest", "broken") | {"doc": {"S": '{"service": 7}'}})

    assert (await office.look()).says == "All well"
