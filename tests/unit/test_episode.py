"""What an insight changes about the alerts of its stream."""

from datetime import timedelta
from typing import Any

import pytest

from iops.insight import Alert, AlertState, PredictionType
from services.alerts.episode import alert_id_of, decide
from tests.unit.builders import AT, DISK, an_alert, an_insight

STALL = PredictionType.STALL


def an_episode(kind: PredictionType = STALL, **fields: Any) -> Alert:
    usual: dict[str, Any] = {
        "alert_id": alert_id_of(DISK, kind),
        "prediction_type": kind,
        "opened_by": "01",
        "insight_id": "01",
    }
    return an_alert(**usual | fields)


@pytest.mark.parametrize("risk_score", [80, 80.5, 100])
def test_80_opens_an_episode_and_is_published(risk_score: float) -> None:
    insight = an_insight(risk_score=risk_score)

    decision = decide(insight, [])

    assert decision.is_published
    (alert,) = decision.changed
    assert (alert.state, alert.version, alert.opened_by) == (AlertState.FIRING, 1, insight.insight_id)
    assert (alert.title, alert.facts, alert.opened_at) == (insight.title, insight.facts, AT)


@pytest.mark.parametrize("risk_score", [60, 79, 79.9])
def test_less_opens_none_but_is_published_for_whoever_listens(risk_score: float) -> None:
    decision = decide(an_insight(risk_score=risk_score), [])

    assert (decision.changed, decision.is_published) == ((), True)


def test_the_next_insight_updates_the_episode_and_tells_nobody() -> None:
    decision = decide(an_insight(insight_id="02", risk_score=95), [an_episode(version=3)])

    assert not decision.is_published
    (alert,) = decision.changed
    assert (alert.risk_score, alert.insight_id, alert.opened_by, alert.version) == (95, "02", "01", 4)


def test_the_insight_that_opened_it_comes_again_and_is_published_again() -> None:
    decision = decide(an_insight(insight_id="01"), [an_episode()])

    assert (decision.changed, decision.is_published) == ((), True)


def test_another_insight_that_comes_again_is_not() -> None:
    decision = decide(an_insight(insight_id="02", risk_score=95), [an_episode(insight_id="02", version=2)])

    assert (decision.changed, decision.is_published) == ((), False)


def test_another_type_is_another_episode() -> None:
    decision = decide(an_insight(prediction_type=PredictionType.IO_ERRORS), [an_episode()])

    assert decision.is_published
    assert [(alert.prediction_type, alert.version) for alert in decision.changed] == [(PredictionType.IO_ERRORS, 1)]


def test_a_recovery_resolves_all_that_is_firing_and_keeps_its_facts() -> None:
    other = an_episode(PredictionType.IO_ERRORS, facts=an_insight().facts, version=7)
    over = an_episode(PredictionType.FAIL_SLOW, state=AlertState.RESOLVED)
    recovery = an_insight(insight_id="09", risk_score=0.0, facts=(), created_at=AT + timedelta(hours=1))

    decision = decide(recovery, [an_episode(), other, over])

    assert decision.is_published
    assert [(alert.state, alert.version) for alert in decision.changed] == [
        (AlertState.RESOLVED, 2),
        (AlertState.RESOLVED, 8),
    ]
    assert decision.changed[1].facts == other.facts
    assert {alert.resolved_at for alert in decision.changed} == {AT + timedelta(hours=1)}


def test_a_recovery_that_comes_again_changes_nothing() -> None:
    recovery = an_insight(insight_id="09", risk_score=0.0)
    resolved = decide(recovery, [an_episode()]).changed

    assert decide(recovery, resolved).changed == ()


def test_a_resolved_alert_fires_anew_with_the_next_version() -> None:
    before = an_episode(state=AlertState.RESOLVED, resolved_at=AT, version=4)

    decision = decide(an_insight(insight_id="05"), [before])

    assert decision.is_published
    (alert,) = decision.changed
    assert (alert.state, alert.version, alert.opened_by, alert.resolved_at) == (AlertState.FIRING, 5, "05", None)


def test_an_alerts_id_is_the_fingerprint_of_stream_and_type() -> None:
    ids = {alert_id_of(stream, kind) for stream in ("a", "b") for kind in PredictionType}

    assert len(ids) == 2 * len(PredictionType)
    assert alert_id_of("web-1:nvme0n1", STALL) == "94c4e332f71c5c2a"
    assert all(len(alert_id) == 16 for alert_id in ids)
