"""Silences of a stream, a peer group or a type: what they quieten, and what fires again when they are ended."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.clock import to_epoch_ms
from iops.insight import PredictionType
from services.alerts import quieten, silencing
from services.alerts.silences import Silences
from tests.unit.alerting import Desk
from tests.unit.builders import AT, an_insight, clock_at
from tests.unit.fakes import aws_error

HOUR: dict[str, Any] = {"duration_s": 3_600, "reason": "a restore"}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with desk.client:
        yield desk


async def three_alerts(desk: Desk) -> None:
    await desk.open_one("web-1:sda")
    await desk.open_one("web-1:sdb", prediction_type=PredictionType.FAIL_SLOW)
    await desk.open_one("web-2:sda")


@pytest.mark.parametrize(
    ("scope", "value", "silenced"),
    [
        ("stream", "web-1:sda", {"web-1:sda"}),
        ("peer_group", "web-1", {"web-1:sda", "web-1:sdb"}),
        ("prediction_type", "stall", {"web-1:sda", "web-2:sda"}),
        ("stream", "web-9:sda", set()),
    ],
)
async def test_a_silence_quietens_the_alerts_it_matches(desk: Desk, scope: str, value: str, silenced: set[str]) -> None:
    await three_alerts(desk)

    made = await desk.post("/alerts/silences", 201, scope=scope, value=value, **HOUR)

    assert (made["alerts_changed"], made["alerts_missed"]) == (len(silenced), 0)
    assert (made["created_by"], made["ends_at"]) == ("127.0.0.1", "2026-11-23T03:00:00Z")
    assert {stream for stream, state in (await desk.states()).items() if state == "silenced"} == silenced


async def test_what_is_acknowledged_stays_so(desk: Desk) -> None:
    alert_id = await desk.open_one()
    await desk.post(f"/alerts/{alert_id}/acknowledge")

    made = await desk.post("/alerts/silences", 201, scope="peer_group", value="web-1", **HOUR)

    assert made["alerts_changed"] == 0
    assert await desk.states() == {"web-1:sda": "acknowledged"}


async def test_ending_a_silence_lets_what_it_silenced_fire_again_and_nothing_else(desk: Desk) -> None:
    await three_alerts(desk)
    (own,) = (await desk.get("/alerts?stream_id=web-1:sdb"))["items"]
    made = await desk.post("/alerts/silences", 201, scope="peer_group", value="web-1", **HOUR)
    await desk.post(f"/alerts/{own['alert_id']}/silence", duration_s=7_200, reason="mine")
    desk.later(minutes=10)

    ended = await desk.ask("DELETE", f"/alerts/silences/{made['silence_id']}")

    assert (ended["ends_at"], ended["ended_by"], ended["alerts_changed"]) == ("2026-11-23T02:10:00Z", "127.0.0.1", 1)
    assert await desk.states() == {"web-1:sda": "firing", "web-1:sdb": "silenced", "web-2:sda": "firing"}
    again = await desk.ask("DELETE", f"/alerts/silences/{made['silence_id']}")
    assert (again["ends_at"], again["alerts_changed"]) == (ended["ends_at"], 0)
    assert (await desk.get("/alerts/silences"))["items"] == []
    assert len((await desk.get("/alerts/silences?ended=true"))["items"]) == 1


async def test_people_are_reminded_once_of_what_fires_again_together(desk: Desk) -> None:
    await desk.open(*(an_insight(f"web-1:sd{disk}", created_at=AT) for disk in "abc"))
    made = await desk.post("/alerts/silences", 201, scope="peer_group", value="web-1", **HOUR)
    desk.later(minutes=10)

    ended = await desk.ask("DELETE", f"/alerts/silences/{made['silence_id']}")

    assert (ended["alerts_changed"], desk.events()) == (3, ["opened", "reminder"])
    assert desk.reminders() == ["page"], "in four hours"


async def test_another_silence_that_matches_holds_until_its_own_end(desk: Desk) -> None:
    alert_id = await desk.open_one()
    await desk.post("/alerts/silences", 201, scope="stream", value="web-1:sda", **HOUR)
    longer = await desk.post(
        "/alerts/silences", 201, scope="prediction_type", value="stall", duration_s=9_000, reason="x"
    )

    await desk.ask("DELETE", f"/alerts/silences/{longer['silence_id']}")

    alert = await desk.get(f"/alerts/{alert_id}")
    assert (alert["state"], alert["silenced_until"]) == ("silenced", "2026-11-23T03:00:00Z")


async def test_a_silence_of_tomorrow_quietens_nothing_today(desk: Desk) -> None:
    await desk.open_one()
    begins = {"begins_at": "2026-11-24T02:00:00Z"}

    made = await desk.post("/alerts/silences", 201, scope="stream", value="web-1:sda", **begins, **HOUR)

    assert (made["begins_at"], made["ends_at"]) == ("2026-11-24T02:00:00Z", "2026-11-24T03:00:00Z")
    assert (made["alerts_changed"], await desk.states()) == (0, {"web-1:sda": "firing"})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"scope": "host"}, "scope: Input should be"),
        ({"scope": "prediction_type", "value": "gremlins"}, "value must be one of performance_degradation"),
        ({"value": ""}, "must be a name"),
        ({"value": "web\u202e-1"}, "must be a name"),
        ({"value": "x" * 201}, "at most 200 characters"),
        (
            {"begins_at": "2026-11-23T04:00:00Z", "duration_s": None, "until": "2026-11-23T03:00:00Z"},
            "before the silence",
        ),
        ({"begins_at": "9999-12-31T23:59:59Z"}, "more than 365 days ahead"),
        ({"ends_at": "2026-11-23T04:00:00Z"}, "ends_at: Extra inputs are not permitted"),
    ],
    ids=str,
)
async def test_a_silence_that_makes_no_sense_is_a_422_and_not_stored(
    desk: Desk, body: dict[str, Any], sentence: str
) -> None:
    problem = await desk.post("/alerts/silences", 422, **{"scope": "stream", "value": "a:b"} | HOUR | body)

    assert sentence in problem["detail"]
    assert desk.table.of_type("silence") == []


async def test_silences_are_listed_page_by_page_those_that_end_last_first(desk: Desk) -> None:
    for hours in (1, 3, 2):
        body = {"duration_s": hours * 3_600, "reason": "x"}
        await desk.post("/alerts/silences", 201, scope="stream", value=f"{hours}:a", **body)
    desk.later(hours=1)

    first = await desk.get("/alerts/silences?limit=1")
    second = await desk.get(f"/alerts/silences?limit=5&cursor={first['cursor']}")

    assert [each["value"] for each in first["items"] + second["items"]] == ["3:a", "2:a"]
    assert second["cursor"] is None


async def test_an_unknown_silence_is_a_404(desk: Desk) -> None:
    assert (await desk.ask("DELETE", "/alerts/silences/x", 404))["code"] == "not_found"


async def test_alerts_that_cannot_be_changed_are_counted(desk: Desk) -> None:
    await three_alerts(desk)
    desk.table.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))

    made = await desk.post("/alerts/silences", 201, scope="prediction_type", value="stall", **HOUR)

    assert (made["alerts_changed"], made["alerts_missed"]) == (1, 1)


async def test_what_cannot_be_changed_in_time_is_counted_and_the_silence_holds(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quieten, "DEADLINE_S", 0.0)
    await three_alerts(desk)

    made = await desk.post("/alerts/silences", 201, scope="prediction_type", value="stall", **HOUR)

    assert (made["alerts_changed"], made["alerts_missed"]) == (0, 2)
    assert len((await desk.get("/alerts/silences"))["items"]) == 1


async def test_a_table_that_cannot_be_read_stores_no_silence(desk: Desk) -> None:
    desk.table.failures["Query"].extend([aws_error("ThrottlingException")] * 4)

    await desk.post("/alerts/silences", 503, scope="peer_group", value="web-1", **HOUR)

    assert desk.table.of_type("silence") == []


async def test_no_more_silences_than_can_be_read_all_the_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silencing, "SILENCES_LIMIT", 1)
    await desk.post("/alerts/silences", 201, scope="stream", value="a:b", **HOUR)

    assert "end some" in (await desk.post("/alerts/silences", 422, scope="stream", value="a:c", **HOUR))["detail"]


async def test_a_page_of_streams_is_silenced_up_to_the_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quieten, "ALERTS_LIMIT", 15)
    for start in (0, 10):
        await desk.open(*(an_insight(f"web-1:d{number:02}", created_at=AT) for number in range(start, start + 10)))

    made = await desk.post("/alerts/silences", 201, scope="peer_group", value="web-1", **HOUR)

    assert (made["alerts_changed"], made["alerts_missed"]) == (15, 5)


async def test_a_silence_holds_for_what_comes(desk: Desk) -> None:
    await desk.post("/alerts/silences", 201, scope="peer_group", value="web-1", **HOUR)
    silences = Silences(desk.table.table(), clock_at(AT))
    await silences.refresh()

    until = await silences.until_now("web-1:sda", "web-1", PredictionType.STALL, now=AT)

    assert until == AT + timedelta(hours=1)
    (row,) = desk.table.of_type("silence")
    assert row["timestamp"] == {"N": str(to_epoch_ms(AT + timedelta(hours=1)))}
    assert items.item_to_silence(row).ended_by is None
