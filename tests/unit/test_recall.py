"""What a finding is seen beside: who else is ill, and what was said of the like before."""

from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.errors import TableUnavailable
from iops.insight import Feedback, Insight, PredictionType, Verdict
from services.insights.recall import neighbours_of, recall
from tests.unit.builders import AT, DISK, a_finding, an_alert, an_insight, nothing_wrong
from tests.unit.fakes import FakeTable

STALL = PredictionType.STALL
DAY = timedelta(days=1)


def an_earlier(number: int, *, days_ago: float = 1, **fields: Any) -> Insight:
    return an_insight(insight_id=f"{number:02}", created_at=AT - days_ago * DAY, **fields)


def a_table(*insights: Insight) -> FakeTable:
    fake = FakeTable()
    fake.add(*map(items.insight_item, insights))
    return fake


def say(fake: FakeTable, insight: Insight, *verdicts: Verdict, **fields: Any) -> None:
    for place, verdict in enumerate(verdicts):
        feedback = Feedback(
            feedback_id=str(place), insight_id=insight.insight_id, verdict=verdict, created_at=AT, **fields
        )
        fake.add(items.word_put(items.Word(feedback, None), place)["Item"])


def test_neighbours_are_the_ill_peers_the_worst_first_and_never_oneself() -> None:
    findings = {"me": a_finding(99), "well": nothing_wrong(59.9), "b": a_finding(60), "c": a_finding(80)}
    findings["a"] = a_finding(60)

    assert [each.stream_id for each in neighbours_of("me", findings)] == ["c", "a", "b"]


def test_no_more_than_five_neighbours_are_named() -> None:
    findings = {f"n{number}": a_finding(60 + number) for number in range(40)}

    assert [each.risk_score for each in neighbours_of("n0", findings)] == [99, 98, 97, 96, 95]


async def test_the_last_insight_of_the_same_type_comes_with_the_last_word_on_it() -> None:
    older, newer = an_earlier(1, days_ago=3), an_earlier(2, days_ago=2, risk_score=71)
    other = an_earlier(3, prediction_type=PredictionType.ANOMALY)
    fake = a_table(older, newer, other)
    say(fake, newer, Verdict.CONFIRM, Verdict.WRONG_CAUSE, text="a rebuild", prediction_type=PredictionType.FAIL_SLOW)

    earlier = await recall(fake.table(), DISK, STALL)

    assert earlier is not None
    assert (earlier.insight_id, earlier.risk_score, earlier.created_at) == ("02", 71, AT - 2 * DAY)
    assert (earlier.verdict, earlier.text) == (Verdict.WRONG_CAUSE, "a rebuild")
    assert earlier.prediction_type is PredictionType.FAIL_SLOW


async def test_an_insight_of_which_nobody_said_anything_has_no_verdict() -> None:
    earlier = await recall(a_table(an_earlier(1)).table(), DISK, STALL)

    assert earlier is not None
    assert (earlier.verdict, earlier.text) == (None, None)


async def test_the_end_of_an_episode_and_the_insights_of_others_are_not_the_like() -> None:
    recovery = an_earlier(1, risk_score=20.0)
    elsewhere = an_insight("web-2:sda")

    assert await recall(a_table(recovery, elsewhere).table(), DISK, STALL) is None


async def test_where_nothing_is_wrong_the_table_is_not_asked() -> None:
    fake = a_table(an_earlier(1))

    assert await recall(fake.table(), DISK, None) is None
    assert fake.calls == []


async def test_only_the_newest_25_rows_are_looked_at() -> None:
    others = [an_earlier(2 + n, days_ago=n / 100, prediction_type=PredictionType.ANOMALY) for n in range(25)]
    fake = a_table(an_earlier(1, days_ago=5), *others)

    assert await recall(fake.table(), DISK, STALL) is None
    assert fake.calls == ["Query"]


async def test_alerts_of_the_stream_are_passed_over() -> None:
    fake = a_table(an_earlier(1))
    fake.add(items.alert_put(an_alert())["Item"])

    assert await recall(fake.table(), DISK, STALL) is not None


async def test_a_table_that_is_away_is_said() -> None:
    fake = a_table()
    fake.is_away = True

    with pytest.raises(TableUnavailable):
        await recall(fake.table(), DISK, STALL)


async def test_a_question_is_no_episode_to_remember() -> None:
    fake = FakeTable()
    told = an_insight(insight_id="01", created_at=AT - timedelta(hours=2))
    asked = an_insight(insight_id="02", created_at=AT - timedelta(hours=1), is_asked_for=True)
    fake.add(items.insight_item(told), items.insight_item(asked))

    earlier = await recall(fake.table(), told.stream_id, told.prediction_type)

    assert earlier is not None
    assert earlier.insight_id == "01"
