"""What a finding is worth beside what the table already says of its stream."""

from datetime import timedelta
from typing import Any

import pytest

from iops.errors import Conflict
from iops.insight import Fact, Finding, Insight, PredictionType
from iops.items import Standing, Stream, item_to_insight
from services.insights.recall import Around
from services.insights.record import Worth, evidence_of, make_insight, weigh, write_insight
from tests.unit.builders import AT, AT_MS, DISK, a_finding, a_stream, a_window, nothing_wrong
from tests.unit.fakes import FakeTable

FAIL_SLOW = PredictionType.FAIL_SLOW
DEGRADED = PredictionType.PERFORMANCE_DEGRADATION
STALL = PredictionType.STALL
SPIKE = PredictionType.LATENCY_SPIKE


def worth(stream: Stream, finding: Finding) -> Worth:
    return weigh(stream, finding, stream.standing, now_ms=AT_MS)


def an_ill_stream(risk_score: float, kind: PredictionType = STALL, *, minutes_ago: float = 5, **fields: Any) -> Stream:
    """A stream whose newest insight said so."""
    insight: dict[str, Any] = {
        "insight_id": "01",
        "insight_risk_score": risk_score,
        "insight_type": kind,
        "insight_at": AT - timedelta(minutes=minutes_ago),
        "risk_score": risk_score,
        "prediction_type": kind,
        "version": 1,
    }
    return a_stream(**insight | fields)


@pytest.mark.parametrize(("risk_score", "expected"), [(60, Worth.INSIGHT), (59.9, Worth.SCORE)])
def test_a_new_illness_of_60_is_an_insight(risk_score: float, expected: Worth) -> None:
    assert worth(a_stream(), a_finding(risk_score)) is expected


def test_a_stream_that_was_never_scored_is_scored() -> None:
    assert worth(a_stream(risk_score=None, scored_at=None), nothing_wrong()) is Worth.SCORE


@pytest.mark.parametrize(("risk_score", "expected"), [(4.9, Worth.NOTHING), (5, Worth.SCORE)])
def test_the_row_moves_only_with_the_risk(risk_score: float, expected: Worth) -> None:
    assert worth(a_stream(risk_score=0.0), nothing_wrong(risk_score)) is expected


def test_the_row_moves_once_an_hour_and_when_the_stream_has_warmed_up() -> None:
    assert worth(a_stream(scored_at=AT - timedelta(hours=1)), nothing_wrong()) is Worth.SCORE
    assert worth(a_stream(is_warming_up=True), nothing_wrong()) is Worth.SCORE
    assert worth(a_stream(), nothing_wrong()) is Worth.NOTHING


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(62, 71.9, False), (62, 72, True), (85, 94.9, False), (85, 95, True), (95, 60, False), (95, 84, False)],
)
def test_an_illness_that_goes_on_is_news_when_it_jumps_by_10(before: float, after: float, expected: bool) -> None:
    assert (worth(an_ill_stream(before), a_finding(after)) is Worth.INSIGHT) is expected


@pytest.mark.parametrize("before", [70.1, 75, 79, 79.9])
def test_an_illness_that_becomes_worth_a_page_is_news(before: float) -> None:
    assert worth(an_ill_stream(before), a_finding(80)) is Worth.INSIGHT


def test_one_that_stays_worth_a_page_is_not() -> None:
    assert worth(an_ill_stream(80), a_finding(81)) is Worth.NOTHING
    assert worth(an_ill_stream(80), a_finding(86)) is Worth.SCORE


def test_another_type_is_news_but_two_names_of_one_slowness_are_not() -> None:
    assert worth(an_ill_stream(90, STALL), a_finding(90, FAIL_SLOW)) is Worth.INSIGHT
    assert worth(an_ill_stream(90, SPIKE), a_finding(90, FAIL_SLOW)) is Worth.NOTHING
    assert worth(an_ill_stream(90, DEGRADED), a_finding(90, FAIL_SLOW)) is Worth.NOTHING
    assert worth(an_ill_stream(90, FAIL_SLOW), a_finding(90, DEGRADED)) is Worth.NOTHING
    assert worth(an_ill_stream(90, FAIL_SLOW), a_finding(90, PredictionType.THROUGHPUT_THROTTLING)) is Worth.NOTHING


def test_a_recovery_is_told_but_not_within_the_minute() -> None:
    assert worth(an_ill_stream(90, minutes_ago=1), nothing_wrong()) is Worth.RECOVERY
    assert worth(an_ill_stream(90, minutes_ago=0.9), nothing_wrong()) is Worth.SCORE
    assert worth(an_ill_stream(90, minutes_ago=5), a_finding(59.9)) is Worth.RECOVERY


def test_a_recovery_is_told_once() -> None:
    assert worth(an_ill_stream(20.0), nothing_wrong(20.0)) is Worth.NOTHING


def test_the_insight_carries_the_words_and_the_numbers() -> None:
    fact = Fact(name="stalled_s", value=20, unit="s", sentence="nothing completed for 20 s")
    began_at = AT - timedelta(seconds=20)
    finding = Finding(
        risk_score=93.3, prediction_type=STALL, facts=(fact,), is_hard_rule=True, confidence=0.95, began_at=began_at
    )

    insight = an_insight_of(a_stream(), finding)

    assert insight.title == f"{DISK} has stalled: requests are in flight and none completes"
    assert "Evidence: nothing completed for 20 s." in insight.explanation
    assert (insight.risk_score, insight.prediction_type, insight.began_at) == (93.3, STALL, began_at)
    assert (insight.window_from, insight.window_to) == (AT - timedelta(seconds=59), AT)
    assert (insight.scored_by, insight.explained_by) == ("rules", "template")
    assert 2 <= len(insight.recommendations) <= 4


def test_a_recovery_has_the_type_of_what_it_ends() -> None:
    insight = an_insight_of(an_ill_stream(90, FAIL_SLOW), nothing_wrong(), Worth.RECOVERY)

    assert (insight.prediction_type, insight.risk_score) == (FAIL_SLOW, 0)
    assert insight.title == f"{DISK} has recovered"
    assert insight.explanation == "What was reported as fail slow is no longer seen."


def test_an_insight_of_a_running_slowness_keeps_its_name() -> None:
    stream = an_ill_stream(70, DEGRADED)

    insight = an_insight_of(stream, a_finding(85, FAIL_SLOW))

    assert insight.prediction_type is DEGRADED


def an_insight_of(stream: Stream, finding: Finding, worth: Worth = Worth.INSIGHT) -> Insight:
    evidence = evidence_of(stream, finding, a_window(60), Around(peers=3), now=AT)
    return make_insight(stream, finding, evidence, worth=worth, standing=Standing(), now=AT)


def a_stored_stream(**fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"entity_id": {"S": DISK}, "entity_type": {"S": "stream"}, "peer_group": {"S": "web-1"}}
    return row | fields


async def test_of_two_scorers_that_saw_the_same_one_writes_and_the_other_writes_nothing() -> None:
    fake = FakeTable()
    fake.add(a_stored_stream())
    stream, finding = a_stream(), a_finding()
    first, second = (an_insight_of(stream, finding) for _ in range(2))

    await write_insight(fake.table(), stream, finding, first, Standing())
    with pytest.raises(Conflict):
        await write_insight(fake.table(), stream, finding, second, Standing())

    assert [item_to_insight(row) for row in fake.of_type("insight")] == [first]
    assert [item_to_insight(row) for row in fake.of_type("outbox")] == [first]


def test_an_episode_keeps_its_name_and_its_words_follow_what_is_known_now() -> None:
    finding = a_finding(100, PredictionType.THROUGHPUT_THROTTLING)

    insight = an_insight_of(an_ill_stream(85, FAIL_SLOW), finding)

    assert insight.prediction_type is FAIL_SLOW
    assert "throttled at its provisioned limit" in insight.title


def quiet(kind: PredictionType, *, hours: float = 1) -> dict[str, Any]:
    """An operator dismissed it, so many hours before it may be told again."""
    return {"quiet_until": {kind: AT + timedelta(hours=hours)}}


def test_what_was_dismissed_is_not_told_again_while_it_is_quiet() -> None:
    assert worth(a_stream(**quiet(FAIL_SLOW)), a_finding(94.9, FAIL_SLOW)) is Worth.QUIETED
    assert worth(a_stream(**quiet(FAIL_SLOW, hours=0)), a_finding(94.9, FAIL_SLOW)) is Worth.INSIGHT
    assert worth(a_stream(**quiet(FAIL_SLOW)), a_finding(94.9, SPIKE)) is Worth.INSIGHT


def test_a_risk_of_95_and_a_hard_rule_are_told_whatever_was_dismissed() -> None:
    hard = a_finding(90, STALL).model_copy(update={"is_hard_rule": True})

    assert worth(a_stream(**quiet(FAIL_SLOW)), a_finding(95, FAIL_SLOW)) is Worth.INSIGHT
    assert worth(a_stream(**quiet(STALL)), hard) is Worth.INSIGHT


def test_another_name_of_the_dismissed_slowness_is_quiet_while_the_episode_runs() -> None:
    stream = an_ill_stream(62, FAIL_SLOW, **quiet(FAIL_SLOW))

    assert worth(stream, a_finding(80, DEGRADED)) is Worth.QUIETED


def test_a_dismissed_trouble_may_still_recover() -> None:
    assert worth(an_ill_stream(90, FAIL_SLOW, **quiet(FAIL_SLOW)), nothing_wrong()) is Worth.RECOVERY
