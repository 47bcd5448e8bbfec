"""A simulated host, replayed: its fault is found as the services find it, and other rules find other things."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
import pytest

from cli.outcome import CommandFailed, Outcome
from cli.replay.command import Asked, run_replay
from iops.alert import Alert
from iops.clock import to_epoch_ms
from tests.unit.lives import Life
from tests.unit.replayed import EVERY, FAULT_AT, FLEET, FROM_AT, TO_AT, VICTIM, Dashboard, an_alert, stored

Printed = pytest.CaptureFixture[str]


class Desk:
    """Somebody who replays the same span again and again."""

    def __init__(self, printed: Printed) -> None:
        self._printed = printed

    def text(self, *rules: str, server: Dashboard | None = None, as_json: bool = False, **changes: Any) -> str:
        asked = Asked(FROM_AT.isoformat(), TO_AT.isoformat(), rules, every_s=EVERY.total_seconds(), **changes)
        transport = httpx.MockTransport(server or Dashboard())
        outcome = run_replay("http://it", asked, as_json=as_json, transport=transport, clock=lambda: TO_AT)
        assert outcome is Outcome.OK
        return self._printed.readouterr().out

    def found(self, *rules: str, server: Dashboard | None = None, **changes: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text(*rules, server=server, as_json=True, **changes))
        return found


@pytest.fixture
def desk(capsys: Printed) -> Desk:
    return Desk(capsys)


@cache
def lived() -> list[Alert]:
    """What the services make of the same samples, from the same instant on."""

    async def live() -> list[Alert]:
        life, from_ms = Life(FLEET, at=FROM_AT), to_epoch_ms(FROM_AT)
        await life.remember({name: window.until(from_ms + 1) for name, window in stored().items()})
        coming = {name: window.since(from_ms + 1) for name, window in stored().items()}
        await life.live(coming, to_at=TO_AT, every=EVERY)
        return life.alerts()

    return asyncio.run(live())


def test_a_replay_finds_what_the_services_found(desk: Desk) -> None:
    found = desk.found()["episodes"]

    in_life = sorted(lived(), key=lambda alert: alert.opened_at)
    assert [each["prediction_type"] for each in found] == [alert.prediction_type for alert in in_life]
    assert [each["opened_at"] for each in found] == [alert.opened_at.isoformat() for alert in in_life]
    assert [each["resolved_at"] for each in found] == [a.resolved_at and a.resolved_at.isoformat() for a in in_life]
    peaks = [alert.peak_risk_score for alert in in_life]  # there the past was not rolled up yet, here it is minutes
    assert [each["peak_risk_score"] for each in found] == pytest.approx(peaks, abs=0.2)


def test_a_higher_threshold_pages_less(desk: Desk) -> None:
    found = desk.found("page_risk=94")

    assert (len(found["episodes"]), found["pages_per_stream_day"]) == (1, 8.0)  # one page of 4 streams for 45 minutes
    assert desk.found("page_risk=97")["episodes"] == []


def test_one_confirmation_opens_a_scoring_earlier_and_less_calm_ends_it_earlier(desk: Desk) -> None:
    first = desk.found("confirmations=1", "calm=1m")["episodes"][0]

    assert first["opened_at"] == (FAULT_AT + timedelta(minutes=1)).isoformat()
    assert first["resolved_at"] == "2026-11-23T03:48:00+00:00"


def test_the_rules_alone_find_the_fault_too(desk: Desk) -> None:
    found = desk.found(model="none")["episodes"]

    assert {(each["stream_id"], each["prediction_type"]) for each in found} == {(VICTIM.stream_id, "fail_slow")}


def test_of_streams_that_nobody_asked_for_nothing_is_said(desk: Desk) -> None:
    found = desk.found(model="none", streams=(FLEET[0].stream_id,), server=Dashboard(an_alert()))

    assert (found["streams"], found["episodes"], found["only_in_life"]) == (1, [], [])


def test_the_same_span_is_the_same_again_also_where_the_server_answers_in_parts(desk: Desk) -> None:
    assert desk.found(model="none", server=Dashboard(points_limit=50)) == desk.found(model="none")


def test_what_fired_in_life_is_set_beside_it(desk: Desk) -> None:
    fired = an_alert(opened_at=FAULT_AT + timedelta(seconds=30))
    lost = an_alert("stall", alert_id="a2", state="silenced", handled_by="kim")

    found = desk.found("page_risk=91", server=Dashboard(fired, lost))

    assert [(each["prediction_type"], each["later_s"]) for each in found["in_both"]] == [("fail_slow", 90.0)]
    assert found["only_in_replay"] == []
    assert [each["why"] for each in found["only_in_life"]] == ["here as fail_slow, silenced by kim"]


def test_people_read_a_table(desk: Desk) -> None:
    text = desk.text(model="none", server=Dashboard(an_alert()))

    assert "page of its own" in text
    assert "1 episode, 1 page (8 a stream-day), 0 reminders" in text
    assert "1 in both, 0 only in the replay, 0 only in life" in text
    assert "120 s later here" in text


def test_samples_that_are_minutes_by_now_are_refused(desk: Desk) -> None:
    with pytest.raises(CommandFailed, match="not kept as they were sent any more"):
        desk.found(server=Dashboard(keeps_samples=False))


def test_a_stream_that_does_not_exist_is_refused(desk: Desk) -> None:
    with pytest.raises(CommandFailed, match="no stream is like that"):
        desk.found(streams=("nobody",))
