"""Two scorings at 80 or more in a row, or a hard rule: what is written of each, and of what comes in between."""

from datetime import timedelta

import pytest

from iops import items
from iops.errors import Conflict
from iops.insight import Finding, Insight, Opinion, PredictionType
from iops.items import Stream
from services.insights.record import Worth
from tests.unit.builders import AT, AT_MS, DISK, a_finding, a_window, nothing_wrong
from tests.unit.speaking import WORDS, Speaker
from tests.unit.test_improve import Desk as Improving
from tests.unit.test_tell import Desk
from tests.unit.virtual_time import in_virtual_time, until

SPIKE = PredictionType.LATENCY_SPIKE
HARD = a_finding(90).model_copy(update={"is_hard_rule": True})


class Scorings(Desk):
    """One stream, scored again and again."""

    def __init__(self) -> None:
        super().__init__()
        seen = {"labels": {"S": "{}"}, "first_seen": {"N": str(AT_MS)}, "warming_up": {"BOOL": False}}
        self.fake.add(self.fake.rows[DISK, "stream"] | seen)

    def stream(self) -> Stream:
        return items.item_to_stream(self.fake.rows[DISK, "stream"])

    async def score(self, finding: Finding | float, *, at_s: int, stream: Stream | None = None) -> Worth:
        found = finding if isinstance(finding, Finding) else a_finding(finding) if finding else nothing_wrong()
        window = a_window(end=AT + timedelta(seconds=at_s))
        return await self.teller.tell(stream or self.stream(), {DISK: found}, window)

    async def score_all(self, *findings: Finding | float) -> list[Worth]:
        """One every 10 s."""
        return [await self.score(finding, at_s=10 * place) for place, finding in enumerate(findings)]

    def outbox(self) -> list[tuple[float, bool]]:
        rows = [items.item_to_insight(row) for row in self.fake.of_type("outbox")]
        return [(insight.risk_score, insight.is_confirmed) for insight in rows]

    def change(self, insight: Insight) -> None:
        self.fake.add(items.insight_item(insight))


@in_virtual_time
async def test_the_second_scoring_in_a_row_confirms_the_insight_of_the_first() -> None:
    desk = Scorings()

    worths = await desk.score_all(85, 87)

    assert worths == [Worth.INSIGHT, Worth.CONFIRMATION]
    assert desk.outbox() == [(85, False), (87, True)]
    (insight,) = desk.insights()
    assert insight.is_confirmed
    assert {key for key, kind in desk.fake.rows if kind == "outbox"} == {
        f"insight#{insight.insight_id}",
        f"insight#{insight.insight_id}#confirmed",
    }


@in_virtual_time
async def test_a_disk_that_goes_on_firing_costs_no_write() -> None:
    desk = Scorings()
    await desk.score_all(85, 85)
    rows = dict(desk.fake.rows)

    assert [await desk.score(85, at_s=at_s) for at_s in (20, 30, 40)] == [Worth.NOTHING] * 3
    assert desk.fake.rows == rows


@in_virtual_time
async def test_the_same_samples_confirm_nothing() -> None:
    desk = Scorings()

    assert [await desk.score(85, at_s=at_s) for at_s in (10, 10, 5)] == [Worth.INSIGHT, Worth.NOTHING, Worth.NOTHING]
    assert desk.outbox() == [(85, False)]


@in_virtual_time
async def test_a_scoring_below_80_starts_over() -> None:
    desk = Scorings()

    worths = await desk.score_all(85, 79, 85, 85)

    assert worths == [Worth.INSIGHT, Worth.SCORE, Worth.SCORE, Worth.CONFIRMATION]
    assert desk.outbox() == [(85, False), (85, True)]


@in_virtual_time
async def test_a_hard_rule_is_confirmed_at_once_and_also_where_a_scoring_waits() -> None:
    first, later = Scorings(), Scorings()

    await first.score_all(HARD, HARD)
    await later.score_all(85, HARD, 85)

    assert first.outbox() == [(90, True)]
    assert later.outbox() == [(85, False), (90, True)]


@in_virtual_time
async def test_a_step_from_79_to_85_is_confirmed_as_any_other() -> None:
    desk = Scorings()

    await desk.score_all(79, 85, 85)

    assert desk.outbox() == [(79, True), (85, False), (85, True)]


@in_virtual_time
async def test_a_second_scoring_with_news_is_one_confirmed_insight() -> None:
    desk = Scorings()

    assert await desk.score_all(82, 95) == [Worth.INSIGHT, Worth.INSIGHT]
    assert desk.outbox() == [(82, False), (95, True)]
    assert await desk.score(a_finding(95, SPIKE), at_s=30) is Worth.INSIGHT
    assert desk.outbox()[-1] == (95, True)


@in_virtual_time
async def test_a_recovery_resets() -> None:
    desk = Scorings()
    await desk.score_all(85, 85)
    row = desk.fake.rows[DISK, "stream"]
    desk.fake.add(row | {"insight_at": {"N": str(AT_MS - 61_000)}})

    worths = [await desk.score(risk, at_s=at_s) for risk, at_s in ((0, 20), (85, 30), (85, 40))]

    assert worths == [Worth.RECOVERY, Worth.INSIGHT, Worth.CONFIRMATION]
    assert [is_confirmed for _, is_confirmed in desk.outbox()] == [False, True, True, False, True]


@in_virtual_time
async def test_a_dismissed_kind_is_not_confirmed_before_its_quiet_is_over() -> None:
    desk = Scorings()
    await desk.score(85, at_s=0)
    kind, until_at = PredictionType.STALL, AT + timedelta(hours=1)
    await desk.fake.table().update(items.stream_quiet_update(desk.stream(), kind, until_at))

    assert await desk.score(85, at_s=10) is Worth.QUIETED
    assert desk.outbox() == [(85, False)]
    await desk.fake.table().update(items.stream_quiet_update(desk.stream(), kind, None))
    assert await desk.score(85, at_s=20) is Worth.CONFIRMATION


@in_virtual_time
async def test_of_two_replicas_that_confirm_one_writes() -> None:
    desk = Scorings()
    await desk.score(85, at_s=0)
    seen = desk.stream()

    await desk.score(85, at_s=10, stream=seen)
    await desk.score(85, at_s=20, stream=seen)

    assert desk.outbox() == [(85, False), (85, True)]
    assert desk.number("iops_insight_races_lost_total") == 1


@in_virtual_time
async def test_a_scorer_that_never_saw_the_first_still_starts_over() -> None:
    desk = Scorings()
    before = desk.stream()
    await desk.score(85, at_s=0)
    waiting = desk.stream()

    assert await desk.score(0, at_s=10, stream=before) is Worth.SCORE
    await desk.score(85, at_s=20, stream=waiting)

    assert desk.outbox() == [(85, False)]
    assert [await desk.score(85, at_s=at_s) for at_s in (30, 40)] == [Worth.SCORE, Worth.CONFIRMATION]


@in_virtual_time
async def test_an_insight_that_is_gone_is_written_anew() -> None:
    desk = Scorings()
    await desk.score(85, at_s=0)
    desk.fake.rows = {key: row for key, row in desk.fake.rows.items() if key[1] != "insight"}

    await desk.score(85, at_s=10)

    assert [(each.risk_score, each.is_confirmed) for each in desk.insights()] == [(85, True)]


@in_virtual_time
async def test_what_a_model_has_made_nothing_is_not_brought_back() -> None:
    desk = Scorings()
    await desk.score(85, at_s=0)
    opinion = Opinion(prediction_type=PredictionType.STALL, risk_score=30, confidence=0.9)
    desk.change(desk.insights()[0].model_copy(update={"risk_score": 30.0, "opinion": opinion}))

    await desk.score(85, at_s=10)

    assert desk.outbox() == [(85, False)]
    assert desk.stream().standing.is_confirmed


@in_virtual_time
async def test_words_that_come_between_make_the_confirmation_wait() -> None:
    desk = Scorings()
    await desk.score(85, at_s=0)
    (insight,) = desk.insights()
    row = desk.fake.rows[f"insight#{insight.insight_id}", "insight"]

    await desk.fake.table().update(items.words_update(insight))

    assert "not_exists(reworded)" in items.confirmed_update(row)["ConditionExpression"]
    with pytest.raises(Conflict):
        await desk.fake.table().update(items.confirmed_update(row))
    await desk.score(85, at_s=10)
    assert desk.outbox() == [(85, False), (85, True)]


@in_virtual_time
async def test_words_that_come_after_it_keep_it_confirmed() -> None:
    desk = Scorings()
    await desk.score_all(85, 85)
    unconfirmed = desk.insights()[0].model_copy(update={"is_confirmed": False, "explanation": "In other words."})

    await desk.fake.table().update(items.words_update(unconfirmed))

    (insight,) = desk.insights()
    assert (insight.explanation, insight.is_confirmed) == ("In other words.", True)


@in_virtual_time
async def test_a_models_risk_that_counts_pages_by_itself() -> None:
    desk = Improving(Speaker({**WORDS, "risk_score": 85}), risk_score=70.0, sets_risk=True)

    await desk.improve()
    await until(desk.is_idle)

    (again,) = (row for row in desk.fake.of_type("outbox") if row["entity_id"]["S"].endswith("#reworded"))
    told = items.item_to_insight(again)
    assert (told.risk_score, told.is_confirmed) == (85, True)


@in_virtual_time
async def test_what_a_person_resolved_and_is_still_ill_is_told_again_after_two_scorings() -> None:
    desk = Scorings()
    await desk.score_all(85, 85)
    before = len(desk.outbox())
    stream = items.item_to_stream(desk.fake.rows[DISK, "stream"])

    await desk.fake.table().update(items.stream_forget_update(stream))
    await desk.score(93, at_s=400)  # the scorer remembers a stream for five minutes
    await desk.score(93, at_s=410)

    assert desk.outbox()[before:] == [(93, False), (93, True)]
