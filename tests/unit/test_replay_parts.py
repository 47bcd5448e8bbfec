"""What a replay is made of: its options, life's episodes, joined pages, and an installation without the services."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from cli.outcome import CommandFailed, Misused
from cli.replay.command import Asked, run_replay
from cli.replay.desk import Desk
from cli.replay.options import Trial, parse_span, parse_trial
from cli.replay.real import episodes_of
from iops.alert import Alert, Change
from services.alerts.rules import Rules
from tests.unit.builders import AT, an_insight
from tests.unit.replayed import an_alert


def test_rules_are_typed_as_name_and_value() -> None:
    trial = parse_trial(["page_risk=85.5", "calm=20m", "together=0", "confirmations=1"])

    assert trial == Trial(Rules(page_risk=85.5, calm=timedelta(minutes=20), together=timedelta()), confirmations=1)
    assert parse_trial([]) == Trial(Rules(), confirmations=2)


@pytest.mark.parametrize("rule", ["page_risk=59", "page_risk=nan", "calm=soon", "confirmations=3", "volume=11", "calm"])
def test_a_rule_that_makes_no_sense_is_refused(rule: str) -> None:
    with pytest.raises(Misused):
        parse_trial([rule])


def test_a_span_is_two_instants_or_how_long_ago() -> None:
    span = parse_span("24h", "2026-11-23T02:00:00+02:00", every_s=10, now=AT)

    assert span.from_at == AT - timedelta(hours=24)
    assert span.to_at.isoformat() == "2026-11-23T00:00:00+00:00"
    assert parse_span("1h", None, every_s=10, now=AT).to_at == AT


@pytest.mark.parametrize(
    ("begin", "end", "why"),
    [
        ("8d", None, "kept for 7 days"),
        ("1h", "2h", "before --to"),
        ("1h", "2026-12-24T00:00:00Z", "not in the future"),
        ("yesterday", None, "say an instant"),
    ],
)
def test_a_span_that_cannot_be_replayed_is_refused_with_a_sentence(begin: str, end: str | None, why: str) -> None:
    with pytest.raises(Misused, match=why):
        parse_span(begin, end, every_s=10, now=AT)


def test_an_alert_that_came_back_days_later_is_two_episodes() -> None:
    lines = [("opened", 0, "scorer"), ("acknowledged", 5, "kim"), ("resolved", 60, "time"), ("opened", 600, "scorer")]
    alert = Alert.model_validate(an_alert(opened_at=AT + timedelta(minutes=600), version=4))
    history = [
        Change(alert_id="a1", version=version, at=AT + timedelta(minutes=at), what=what, by=by, risk_score=85)
        for version, (what, at, by) in enumerate(lines, start=1)
    ]

    first, second = episodes_of(alert, history)

    assert (first.opened_at, first.resolved_at, first.deeds) == (AT, AT + timedelta(hours=1), ["acknowledged by kim"])
    assert (second.opened_at, second.resolved_at, second.peak_risk_score) == (alert.opened_at, None, 91.0)
    assert [each.opened_at for each in episodes_of(alert, history[1:3])] == [alert.opened_at]


def test_alerts_of_a_host_that_open_together_are_one_page_and_are_reminded_of_as_one() -> None:
    desk = Desk(Rules())
    for place, stream_id in enumerate(["web-1:sda", "web-1:sdb"]):
        insight = an_insight(risk_score=90).model_copy(update={"stream_id": stream_id, "peer_group": "web-1"})
        desk.take(insight, now=AT + timedelta(minutes=place))

    desk.pass_time(now=AT + timedelta(hours=9))

    assert [fired.told_by for fired in desk.fired] == ["web-1:sda", "web-1:sda"]
    assert (desk.pages, desk.reminders) == (1, 2)


def test_an_installation_without_the_services_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    for name in ("cli.replay.run", "iops.model", "services.insights.scorers"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    with pytest.raises(CommandFailed, match="xgboost is not installed here"):
        run_replay("http://it", Asked("1h"), as_json=False)
