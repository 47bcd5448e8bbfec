"""What a person does about an alert: done once, told to nobody twice, and written down with the name."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iops import items, story
from tests.unit.alerting import Desk
from tests.unit.builders import AT, an_insight
from tests.unit.fakes import aws_error

DEEDS = ("acknowledge", "silence", "resolve")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with desk.client:
        yield desk


def body_of(deed: str) -> dict[str, Any]:
    return {"duration_s": 7_200, "reason": "a restore"} if deed == "silence" else {"reason": "a restore"}


@pytest.mark.parametrize(("deed", "state"), [*zip(DEEDS, ("acknowledged", "silenced", "resolved"), strict=True)])
async def test_a_deed_is_in_the_history_with_who_did_it_and_why(desk: Desk, deed: str, state: str) -> None:
    alert_id = await desk.open_one()
    desk.later(minutes=1)

    after = await desk.post(f"/alerts/{alert_id}/{deed}", **body_of(deed))

    assert (after["state"], after["handled_by"], after["version"]) == (state, "127.0.0.1", 2)
    shown = await desk.get(f"/alerts/{alert_id}")
    assert (shown["changes_total"], [change["what"] for change in shown["history"]]) == (2, [state, "opened"])
    newest = shown["history"][0]
    assert (newest["by"], newest["reason"], newest["at"]) == ("127.0.0.1", "a restore", "2026-11-23T02:01:00Z")


@pytest.mark.parametrize("deed", ["acknowledge", "silence"])
async def test_a_deed_twice_is_done_once_and_there_are_no_reminders(desk: Desk, deed: str) -> None:
    alert_id = await desk.open_one()
    assert desk.reminders() == ["page"]

    until: dict[str, Any] = {"until": "2026-11-23T04:00:00Z", "reason": "x"} if deed == "silence" else {}
    first = await desk.post(f"/alerts/{alert_id}/{deed}", **until)
    again = await desk.post(f"/alerts/{alert_id}/{deed}", **until)

    assert again == first
    assert desk.reminders() == (["alert"] if deed == "silence" else []), "an alert's timer ends its silence"


async def test_what_is_resolved_takes_no_other_deed_and_stays_resolved(desk: Desk) -> None:
    alert_id = await desk.open_one()
    first = await desk.post(f"/alerts/{alert_id}/resolve")

    assert await desk.post(f"/alerts/{alert_id}/resolve") == first
    assert desk.events() == ["opened", "resolved"]
    for deed in ("acknowledge", "silence"):
        problem = await desk.post(f"/alerts/{alert_id}/{deed}", 422, **body_of(deed))
        assert problem["detail"] == "alert_id: this alert is resolved; there is nothing to do about it"


@pytest.mark.parametrize("deed", DEEDS)
async def test_an_unknown_alert_is_a_404(desk: Desk, deed: str) -> None:
    assert (await desk.post(f"/alerts/nothing/{deed}", 404, **body_of(deed)))["code"] == "not_found"


async def test_two_people_at_once_are_both_heard(desk: Desk) -> None:
    alert_id = await desk.open_one()

    await asyncio.gather(*(desk.post(f"/alerts/{alert_id}/{deed}", **body_of(deed)) for deed in DEEDS[:2]))

    history = (await desk.get(f"/alerts/{alert_id}"))["history"]
    assert {change["what"] for change in history} == {"opened", "acknowledged", "silenced"}
    assert [change["version"] for change in history] == [3, 2, 1]


async def test_a_table_that_is_away_changes_nothing_and_asks_to_come_again(desk: Desk) -> None:
    alert_id = await desk.open_one()
    desk.table.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))

    assert (await desk.post(f"/alerts/{alert_id}/acknowledge", 503))["code"] == "table_unavailable"

    assert (await desk.get(f"/alerts/{alert_id}"))["state"] == "firing"


async def test_somebody_who_is_always_faster_is_a_409(desk: Desk) -> None:
    alert_id = await desk.open_one()
    lost = aws_error("TransactionCanceledException", CancellationReasons=[{"Code": "ConditionalCheckFailed"}])
    desk.table.failures["TransactWriteItems"].extend([lost] * 5)

    assert (await desk.post(f"/alerts/{alert_id}/acknowledge", 409))["code"] == "conflict"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"duration_s": 60}, "reason: Field required"),
        ({"duration_s": 60, "reason": " \x1b "}, "say why, for the next person"),
        ({"reason": "x"}, "say either until or duration_s"),
        ({"reason": "x", "duration_s": 60, "until": "2026-11-23T03:00:00Z"}, "say either until or duration_s"),
        ({"reason": "x", "until": "2026-11-23T01:00:00Z"}, "is past; a silence ends in the future"),
        ({"reason": "x", "until": "2026-11-23T03:00:00"}, "should have timezone info"),
        ({"reason": "x", "until": "9999-12-31T23:59:59-14:00"}, "a silence lasts at most 30 days"),
        ({"reason": "x", "until": "0001-01-01T00:00:00+14:00"}, "is past"),
        ({"reason": "x", "duration_s": 0}, "greater than or equal to 1"),
        ({"reason": "x", "duration_s": 30 * 86_400 + 1}, "less than or equal to 2592000"),
        ({"reason": "x", "duration_s": 60, "mood": "good"}, "mood: Extra inputs are not permitted"),
        ({"reason": "x" * 1_001, "duration_s": 60}, "at most 1000 characters"),
    ],
    ids=str,
)
async def test_a_silence_that_makes_no_sense_is_a_422_with_a_sentence(
    desk: Desk, body: dict[str, Any], sentence: str
) -> None:
    alert_id = await desk.open_one()

    assert sentence in (await desk.post(f"/alerts/{alert_id}/silence", 422, **body))["detail"]

    assert (await desk.get(f"/alerts/{alert_id}"))["state"] == "firing"


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 200), (b"{}", 200), (b"[]", 422), (b"{", 422), (b'{"by":"me"}', 422), (b" " * 16_385, 413)],
)
async def test_a_deed_needs_no_body_and_takes_no_wrong_one(desk: Desk, content: bytes, status: int) -> None:
    alert_id = await desk.open_one()

    answer = await desk.client.post(f"/alerts/{alert_id}/acknowledge", content=content)

    assert answer.status_code == status


async def test_an_alert_shows_its_page_and_who_has_yet_to_be_told(desk: Desk) -> None:
    first, _ = await desk.open(*(an_insight(f"web-1:{disk}", created_at=AT) for disk in ("sda", "sdb")))

    page = (await desk.get(f"/alerts/{first.alert_id}"))["page"]

    assert (page["streams"], page["streams_total"]) == (["web-1:sda", "web-1:sdb"], 2)
    assert (page["told_at"], page["waiting_for"]) == ("2026-11-23T02:00:00Z", ["bus"])


async def test_a_long_history_is_bounded_and_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "HISTORY_LIMIT", 3)
    alert_id = await desk.open_one()
    for _ in range(2):
        await desk.post(f"/alerts/{alert_id}/acknowledge")
        await desk.post(f"/alerts/{alert_id}/silence", duration_s=60, reason="x")

    shown = await desk.get(f"/alerts/{alert_id}")

    assert ([change["version"] for change in shown["history"]], shown["changes_total"]) == ([5, 4, 3], 5)


async def test_alerts_are_listed_by_peer_group_state_and_stream(desk: Desk) -> None:
    for stream_id in ("web-1:sda", "web-1:sdb", "web-2:sda"):
        await desk.open_one(stream_id)
        desk.later(minutes=1)
    (second,) = (await desk.get("/alerts?stream_id=web-1:sdb"))["items"]
    await desk.post(f"/alerts/{second['alert_id']}/resolve")

    async def listed(query: str) -> list[str]:
        return [alert["stream_id"] for alert in (await desk.get(f"/alerts?{query}"))["items"]]

    assert await listed("") == ["web-1:sdb", "web-2:sda", "web-1:sda"]
    assert await listed("peer_group=web-1&state=firing") == ["web-1:sda"]
    assert await listed("stream_id=web-1:sdb&state=resolved") == ["web-1:sdb"]
    assert await listed("stream_id=web-1:sdb&state=firing") == []


async def test_what_a_person_resolves_is_news_to_the_scorer_again(desk: Desk) -> None:
    alert_id = await desk.open_one()
    row = items.key_of("web-1:sda", "stream") | {"peer_group": {"S": "web-1"}, "labels": {"S": "{}"}}
    told = {"first_seen": {"N": "0"}, "insight_risk_score": {"N": "93"}, "confirmed": {"BOOL": True}}
    desk.table.add(row | told | {"version": {"N": "7"}})

    await desk.post(f"/alerts/{alert_id}/resolve")

    stream = items.item_to_stream(desk.table.rows["web-1:sda", "stream"])
    assert (stream.insight_risk_score, stream.standing.is_confirmed, stream.version) == (0, False, 8)
