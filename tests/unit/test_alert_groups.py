"""Alerts as they are grouped for a person, and what happened to one in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from iops.alert import Alert, AlertState, Change, EventKind
from iops.insight import PredictionType
from iops.story import MailView, Taken
from services.insights.pages.alert_groups import group_alerts
from services.insights.pages.timeline import Line, timeline
from tests.unit.builders import AT, an_alert

MINUTE = timedelta(minutes=1)


def alert_of(disk: str, state: AlertState = AlertState.FIRING, **fields: Any) -> Alert:
    return an_alert(f"web-1:{disk}", state=state, **fields)


def a_change(version: int, what: str, **fields: Any) -> Change:
    usual = {"alert_id": "a", "at": AT + version * MINUTE, "by": "scorer", "risk_score": 90}
    return Change(version=version, what=what, **usual | fields)


def test_alerts_of_one_page_are_one_group_whatever_their_type() -> None:
    errors = alert_of("b", page_id="p", prediction_type=PredictionType.IO_ERRORS)
    (group,) = group_alerts([alert_of("a", page_id="p", risk_score=80), errors])

    assert [alert.stream_id for alert in group.alerts] == ["web-1:b", "web-1:a"]
    assert group.kinds == ["io_errors", "stall"]


def test_two_pages_of_one_peer_group_are_two_groups() -> None:
    assert len(group_alerts([alert_of("a", page_id="p"), alert_of("b", page_id="q")])) == 2


def test_what_nobody_was_told_of_is_grouped_by_peer_group_and_type() -> None:
    silenced = [alert_of(disk, AlertState.SILENCED) for disk in "ab"]
    other = an_alert("db-1:a", state=AlertState.SILENCED)

    assert [len(group.alerts) for group in group_alerts([*silenced, other])] == [1, 2]


def test_what_fires_comes_before_what_is_worse_and_taken() -> None:
    taken = alert_of("a", AlertState.ACKNOWLEDGED, page_id="p", risk_score=100)
    quiet = alert_of("b", AlertState.SILENCED, page_id="q", risk_score=100)
    mild, grave = (alert_of(f"c{risk}", page_id=f"r{risk}", risk_score=risk) for risk in (80, 95))

    groups = group_alerts([quiet, taken, mild, grave])

    assert [group.first.stream_id for group in groups] == ["web-1:c95", "web-1:c80", "web-1:a", "web-1:b"]


def test_a_group_says_since_when_how_bad_and_who_is_at_it() -> None:
    first = alert_of("a", page_id="p", risk_score=82, peak_risk_score=97, opened_at=AT - MINUTE)
    second = alert_of("b", AlertState.ACKNOWLEDGED, page_id="p", risk_score=84, handled_by="ann")
    (group,) = group_alerts([second, first])

    assert (group.state, group.opened_at, group.handled_by) == ("firing", AT - MINUTE, ["ann"])
    assert (group.risk_score, group.peak_risk_score) == (84, 97)
    assert group.ids_in(AlertState.FIRING) == ["web-1-a"]
    assert group.ids_in(AlertState.FIRING, AlertState.ACKNOWLEDGED) == ["web-1-a", "web-1-b"]


def test_text_is_searched_in_what_a_person_reads() -> None:
    found = [alert_of("a").is_about(text) for text in (" WEB-1:A ", "stalled", "", "lost path")]

    assert found == [True, True, True, False]


def test_a_story_is_told_newest_first_with_persons_and_their_reasons() -> None:
    changes = [
        a_change(3, "resolved", by="time"),
        a_change(2, "acknowledged", by="ann", reason="on it"),
        a_change(1, "opened", insight_id="01"),
    ]

    assert timeline(changes, []) == [
        Line(AT + 3 * MINUTE, "Resolved by itself"),
        Line(AT + 2 * MINUTE, "Acknowledged", by="ann", reason="on it"),
        Line(AT + MINUTE, "Opened, risk 90", insight_id="01"),
    ]


def test_risks_that_follow_each_other_are_one_line() -> None:
    updates = [a_change(version, "updated", risk_score=80 + version, insight_id=f"{version}") for version in (4, 3, 2)]

    (line,) = timeline(updates, [])

    assert line == Line(AT + 4 * MINUTE, "Still found 3 times, at risk 82 to 84", insight_id="4")


def test_what_people_were_told_stands_where_it_happened() -> None:
    mail = MailView(
        event_id="e",
        kind=EventKind.OPENED,
        at=AT + 90 * timedelta(seconds=1),
        lines=(),
        taken=(Taken(target="bus", at=AT),),
        waiting_for=("team",),
    )
    lines = timeline([a_change(2, "updated", insight_id="2"), a_change(1, "opened", insight_id="1")], [mail])

    assert [line.text for line in lines] == [
        "Still found, risk 90",
        "People were told: bus took it; team did not yet",
        "Opened, risk 90",
    ]


def test_a_change_of_a_newer_program_is_told_in_its_own_word() -> None:
    assert timeline([a_change(1, "moved_away", by="ann")], [])[0].text == "Moved away"
