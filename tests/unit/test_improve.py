"""Words that come later: what of an insight they change, when it is told again, and that none outlives the service."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.flags import Flags
from iops.insight import Insight, ModelCall
from iops.observability import Metrics
from services.insights import improve
from services.insights.answer import Answer
from services.insights.explainer import Wording
from services.insights.improve import Improver, reworded
from services.insights.providers import Prompt, Reply
from tests.unit.builders import AT, DISK, an_insight, clock_at
from tests.unit.calling import FakePurse
from tests.unit.evidences import evidence
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.speaking import THROTTLED, WORDS, Speaker, speaking, tasks_left
from tests.unit.virtual_time import in_virtual_time, now_s, until
from tests.unit.words import WILLING, an_explainer

CALL = ModelCall(model_id="m", tokens_in=1, tokens_out=1, cost_usd=0.002, latency_ms=5)
EVIDENCE = evidence(stream_id=DISK)


def said(risk_score: float) -> Wording:
    return Wording(Answer.model_validate({**WORDS, "risk_score": risk_score}), "bedrock", CALL, ("openai: resting",))


def a_soft_insight(**fields: Any) -> Insight:
    """No hard rule speaks in it."""
    return an_insight(**{"is_hard_rule": False, "risk_score": 80.0} | fields)


def test_the_words_change_and_what_was_measured_stays() -> None:
    before = a_soft_insight()

    after = reworded(before, said(75), sets_risk=False)

    assert (after.explanation, after.explained_by) == (WORDS["explanation"], "bedrock")
    assert after.recommendations == tuple(WORDS["recommendations"])
    assert (after.call, after.explainers_asked) == (CALL, ("openai: resting",))
    assert after.opinion is not None
    assert (after.opinion.risk_score, after.opinion.confidence) == (75, 0.8)
    kept = {"insight_id", "created_at", "title", "risk_score", "prediction_type", "facts", "confidence", "scored_by"}
    assert after.model_dump(include=kept) == before.model_dump(include=kept)


@pytest.mark.parametrize(("risk_score", "expected"), [(55, False), (54.9, True), (100, False), (0, True)])
def test_an_opinion_more_than_25_away_is_a_dispute(risk_score: float, expected: bool) -> None:
    assert reworded(a_soft_insight(), said(risk_score), sets_risk=False).is_disputed is expected


def test_a_models_risk_counts_only_where_it_may_and_never_against_a_hard_rule() -> None:
    soft, hard = a_soft_insight(), a_soft_insight(is_hard_rule=True)

    assert reworded(soft, said(10), sets_risk=False).risk_score == 80
    after = reworded(soft, said(10), sets_risk=True)
    assert (after.risk_score, after.is_disputed) == (10, True)
    assert reworded(hard, said(10), sets_risk=True).risk_score == 80


def test_without_an_answer_only_the_reasons_and_the_bill_are_new() -> None:
    before = a_soft_insight()

    after = reworded(before, Wording(None, None, CALL, ("bedrock: objected",)), sets_risk=True)

    assert after == before.model_copy(update={"call": CALL, "explainers_asked": ("bedrock: objected",)})


class Desk:
    """An improver with one model, and an insight that is stored."""

    def __init__(
        self,
        *speakers: Speaker,
        risk_score: float = 80.0,
        sets_risk: bool = False,
        flags: Flags = WILLING,
        purse: FakePurse | None = None,
    ) -> None:
        self.fake, self.metrics, self.flags = FakeTable(), Metrics(), flags
        self.providers = speaking(*speakers, purse=purse)
        explainer = an_explainer(*self.providers, metrics=self.metrics, flags=flags, now_s=now_s)
        now = clock_at(AT + timedelta(seconds=5))
        self.improver = Improver(self.fake.table(), explainer, now, self.metrics, sets_risk=lambda: sets_risk)
        self.insight = a_soft_insight(risk_score=risk_score)
        newest = items.key_of(self.insight.stream_id, "stream") | {"insight_id": {"S": self.insight.insight_id}}
        self.fake.add(items.insight_item(self.insight), items.outbox_item(self.insight), newest)

    def begin(self) -> None:
        self.improver.begin(self.insight, EVIDENCE)

    async def improve(self) -> Insight:
        """Until nothing waits."""
        self.begin()
        await until(self.is_idle)
        return self.stored()

    def is_idle(self) -> bool:
        return self.metrics.registry.get_sample_value("iops_insights_awaiting_words") == 0

    def stored(self) -> Insight:
        (row,) = self.fake.of_type("insight")
        return items.item_to_insight(row)

    def outcomes(self) -> dict[str, float]:
        (family,) = (each for each in self.metrics.registry.collect() if each.name == "iops_insights_reworded")
        return {each.labels["outcome"]: each.value for each in family.samples if each.name.endswith("_total")}


@in_virtual_time
async def test_the_stored_insight_gets_the_words_and_nobody_is_told_again() -> None:
    desk = Desk(Speaker())

    stored = await desk.improve()

    assert (stored.explained_by, stored.risk_score) == ("bedrock", 80)
    assert len(desk.fake.of_type("outbox")) == 1
    assert desk.outcomes() == {"model": 1}


@in_virtual_time
async def test_a_model_that_says_nothing_leaves_its_reason_in_the_row() -> None:
    desk = Desk(Speaker(always=THROTTLED))

    stored = await desk.improve()

    assert (stored.explained_by, stored.explainers_asked) == ("template", ("bedrock: throttled",))
    assert desk.outcomes() == {"template": 1}


@pytest.mark.parametrize(
    ("ours", "theirs", "is_told_again"), [(70.0, 85, True), (90.0, 20, True), (90.0, 70, False), (85.0, 95, False)]
)
@in_virtual_time
async def test_a_risk_that_makes_or_unmakes_a_page_is_told_again(
    ours: float, theirs: float, is_told_again: bool
) -> None:
    desk = Desk(Speaker({**WORDS, "risk_score": theirs}), risk_score=ours, sets_risk=True)

    stored = await desk.improve()

    again = [row for row in desk.fake.of_type("outbox") if row["entity_id"]["S"].endswith("#reworded")]
    assert [items.item_to_insight(row) for row in again] == ([stored] if is_told_again else [])
    assert stored.risk_score == theirs


@in_virtual_time
async def test_an_insight_that_is_reworded_or_gone_is_left_alone() -> None:
    desk = Desk(Speaker())
    await desk.improve()
    rows = dict(desk.fake.rows)

    await desk.improve()
    assert desk.fake.rows == rows
    desk.fake.rows.clear()
    desk.begin()
    await until(desk.is_idle)

    assert desk.fake.rows == {}
    assert desk.outcomes() == {"model": 1, "conflict": 2}


@in_virtual_time
async def test_words_wait_for_a_table_that_is_away_and_comes_back() -> None:
    desk = Desk(Speaker())
    desk.fake.failures["TransactWriteItems"].extend(aws_error("ThrottlingException") for _ in range(5))

    assert (await desk.improve()).explained_by == "bedrock"


@in_virtual_time
async def test_words_are_given_up_where_the_table_stays_away() -> None:
    desk = Desk(Speaker())
    desk.fake.is_away = True
    began_s = now_s()

    stored = await desk.improve()

    assert stored.explained_by == "template"
    assert desk.outcomes() == {"not_stored": 1}
    assert 30 <= now_s() - began_s < 40


@in_virtual_time
async def test_a_table_that_refuses_us_is_an_error_that_is_counted() -> None:
    desk = Desk(Speaker())
    desk.fake.failures["TransactWriteItems"].append(aws_error("AccessDeniedException"))

    await desk.improve()

    assert desk.outcomes() == {"broke": 1}


@in_virtual_time
async def test_more_than_may_wait_are_stored_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(improve, "WAITING_LIMIT", 1)
    desk = Desk(Speaker(takes_s=5))
    assert desk.improver.announce(desk.insight) == desk.insight

    desk.begin()
    desk.begin()

    assert desk.outcomes() == {"too_many_wait": 1}
    assert desk.improver.announce(desk.insight).explainers_asked == ("bedrock: busy",)
    await until(desk.is_idle)
    assert desk.outcomes() == {"too_many_wait": 1, "model": 1}


@in_virtual_time
async def test_what_no_model_may_word_is_announced_and_not_begun() -> None:
    desk = Desk(Speaker(), flags=Flags())

    assert desk.improver.announce(desk.insight).explainers_asked == ("bedrock: disabled",)
    desk.begin()

    assert desk.is_idle()


class SlowToLetGo(Speaker):
    """Closes its connection before it is gone, as real clients do."""

    async def ask(self, prompt: Prompt, *, timeout_s: float) -> Reply:
        try:
            return await super().ask(prompt, timeout_s=timeout_s)
        finally:
            await asyncio.sleep(0.1)


@in_virtual_time
async def test_the_end_of_the_context_leaves_no_task_and_the_templates_words() -> None:
    purse = FakePurse()
    speaker = SlowToLetGo(takes_s=1_000)
    desk = Desk(speaker, purse=purse)
    (provider,) = desk.providers
    async with provider, desk.improver:
        for _ in range(3):
            desk.begin()
        await until(lambda: speaker.under_way == 1)

    assert (tasks_left(), speaker.under_way, desk.is_idle()) == (0, 0, True)
    assert [cost_usd for _, cost_usd, _, _ in purse.settled] == [0.01], "it may be on the bill"
    assert desk.stored() == desk.insight
