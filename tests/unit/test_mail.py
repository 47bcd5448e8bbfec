"""What a person reads at 3 a.m."""

from datetime import timedelta
from typing import Any

from iops.alert import AlertState, Event, EventKind, Page
from iops.insight import Fact, PredictionType
from services.alerts.mail import write_mail
from services.alerts.notice import Notice
from tests.unit.builders import AT, an_alert, an_insight

URL = "http://iops/alerts/1"
STALL = Fact(name="stalled_s", value=20, unit="s", sentence="nothing completed for 20 s")


def a_page(count: int, **fields: Any) -> Page:
    usual: dict[str, Any] = {
        "page_id": "p",
        "peer_group": "web-1",
        "prediction_type": PredictionType.STALL,
        "lead_alert_id": "0",
        "opened_at": AT,
        "told_at": AT,
        "streams": tuple(f"web-1:nvme{number}" for number in range(min(count, 20))),
        "streams_total": count,
        "open_alerts": tuple(str(number) for number in range(count)),
        "version": 1,
    }
    return Page(**usual | fields)


def lines_of(kind: EventKind, *, after: timedelta = timedelta(0), **parts: Any) -> list[str]:
    event = Event(event_id="01", kind=kind, at=AT + after, alert_id="0", page_id="p")
    return list(write_mail(Notice(event, URL, **parts)).lines)


def test_an_opening_says_what_where_since_when_why_and_what_to_do() -> None:
    alert = an_alert(facts=(STALL,), recommendations=("Look for a lost path.", "Move the workload."))

    assert lines_of(EventKind.OPENED, alert=alert, page=a_page(1), insight=an_insight()) == [
        "web-1:nvme0n1 has stalled",
        "Where: web-1:nvme0n1 in peer group web-1",
        "Since: 2026-11-23 01:59:00 UTC (for 60 s)",
        "Risk: 90 of 100",
        "nothing completed for 20 s",
        "Next step: Look for a lost path.",
        "Then: Move the workload.",
        "Requests are in flight and none completes.",
        URL,
    ]


def test_three_facts_leave_room_for_the_next_step() -> None:
    alert = an_alert(facts=(STALL,) * 5, recommendations=("Look.", "Move."))

    assert lines_of(EventKind.OPENED, alert=alert)[4:8] == [STALL.sentence] * 3 + ["Next step: Look."]


def test_a_page_of_many_names_the_first_five_and_counts_the_rest() -> None:
    lines = lines_of(EventKind.OPENED, alert=an_alert("web-1:nvme0", facts=(STALL,)), page=a_page(25))

    assert lines[0] == "25 streams of web-1: stall"
    assert lines[1] == (
        "Where: web-1:nvme0, web-1:nvme1, web-1:nvme2, web-1:nvme3, web-1:nvme4 and 20 more in peer group web-1"
    )
    assert lines[4] == "web-1:nvme0: nothing completed for 20 s"


def test_a_reminder_says_how_long_and_that_nobody_has_taken_it() -> None:
    alert = an_alert(risk_score=85, peak_risk_score=97, facts=(STALL,))

    lines = lines_of(EventKind.REMINDER, after=timedelta(hours=4), alert=alert, page=a_page(1))

    assert lines[0] == "Still firing after 4 h: web-1:nvme0n1 has stalled"
    assert lines[2] == "Since: 2026-11-23 02:00:00 UTC (for 4 h); nobody has acknowledged it"
    assert lines[3] == "Risk: 85 of 100 now, 97 at its worst"


def test_a_reminder_of_a_page_counts_what_still_fires_and_what_is_taken() -> None:
    page = a_page(5, open_alerts=("0", "1", "2"), handled_alerts=("1",))

    lines = lines_of(EventKind.REMINDER, after=timedelta(hours=4), alert=an_alert(), page=page)

    assert lines[0] == "Still firing after 4 h: 3 of 5 streams of web-1: stall"
    assert lines[2].endswith("; 1 of 3 are acknowledged or silenced")


def test_a_resolve_says_how_long_it_lasted_its_worst_and_who_took_it() -> None:
    over = AT + timedelta(minutes=42)
    alert = an_alert(
        state=AlertState.RESOLVED, resolved_at=over, risk_score=20, peak_risk_score=97, facts=(STALL,), handled_by="ann"
    )

    lines = lines_of(
        EventKind.RESOLVED, after=timedelta(minutes=42), alert=alert, page=a_page(1, open_alerts=(), resolved_at=over)
    )

    assert lines == [
        "Resolved after 42 min: stall of web-1:nvme0n1",
        "Where: web-1:nvme0n1 in peer group web-1",
        "From 2026-11-23 02:00:00 UTC to 2026-11-23 02:42:00 UTC",
        "Risk: 20 of 100 now, 97 at its worst",
        "It was: web-1:nvme0n1 has stalled",
        "Last seen: nothing completed for 20 s",
        "Handled by: ann",
        "Next step: none. If it comes back within 30 minutes, it is the same alert.",
        URL,
    ]


def test_what_came_back_is_said_to_have_come_back() -> None:
    assert "came back 3 times" in lines_of(EventKind.OPENED, alert=an_alert(reopened=3))[2]


def test_a_canary_asks_for_nothing() -> None:
    assert lines_of(EventKind.CANARY)[0].endswith("alerting works. Nothing is wrong, and there is nothing to do.")


def test_no_mail_has_more_than_nine_lines() -> None:
    rich = an_alert(facts=(STALL,) * 9, recommendations=("Look.",) * 9, reopened=2, handled_by="ann")

    for kind in EventKind:
        assert len(lines_of(kind, alert=rich, page=a_page(30), insight=an_insight())) <= 9
        assert len(lines_of(kind)) <= 9
