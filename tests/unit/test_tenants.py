"""What a caller of some streams sees of the others: nothing, by no route; and what they can do to them: nothing."""

import base64
import json
import re
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from iops import items, table
from iops.alert import Silence, SilenceScope
from iops.auth import Caller, Role
from services.insights.silence import ALL_HOSTS
from tests.unit.builders import AT, EVERYBODY, an_alert, an_insight
from tests.unit.tenants import NOTHING, WEB, House, Things, names_of, routes

NOW_MS = r'data-now-ms="\d+"'  # a page says when it was made
HOUR = {"duration_s": 3_600, "reason": "a restore"}
# Of each route: the body it takes, and what an own thing is answered with.
OF_ONE: dict[tuple[str, str], tuple[Any, int]] = {
    ("GET", "/streams/{stream_id}"): (None, 200),
    ("GET", "/streams/{stream_id}/samples"): (None, 200),
    ("GET", "/streams/{stream_id}/chart"): (None, 200),
    ("GET", "/ui/streams/{stream_id}"): (None, 200),
    ("POST", "/streams/{stream_id}/insight"): (None, 201),
    ("GET", "/insights/{insight_id}"): (None, 200),
    ("POST", "/insights/{insight_id}/feedback"): ({"verdict": "dismiss"}, 201),
    ("GET", "/alerts/{alert_id}"): (None, 200),
    ("GET", "/alerts/{alert_id}/mails"): (None, 200),
    ("GET", "/ui/alerts/{alert_id}"): (None, 200),
    ("GET", "/ui/insights/{insight_id}"): (None, 200),
    ("POST", "/alerts/{alert_id}/acknowledge"): (None, 200),
    ("POST", "/alerts/{alert_id}/silence"): (HOUR, 200),
    ("POST", "/alerts/{alert_id}/resolve"): (None, 200),
    ("DELETE", "/alerts/silences/{silence_id}"): (None, 200),
}
LISTS = ["/streams", "/insights/recent", "/alerts", "/alerts/silences"]
OF_ALL: dict[tuple[str, str], Any] = {  # for callers who see all
    ("GET", "/cost"): None,
    ("GET", "/audit"): None,
    ("GET", "/alerts/dead-letters"): None,
    ("POST", "/alerts/dead-letters/redrive"): {"queue": "scoring"},
}
KEYS = [("GET", "/keys"), ("POST", "/keys"), ("POST", "/keys/{key_id}/rotate"), ("DELETE", "/keys/{key_id}")]
SESSIONS = [
    *(("POST", "/session/links"), ("GET", "/session/device"), ("POST", "/session/device/look")),
    *(("POST", "/session/device/approve"), ("DELETE", "/session")),
]
READ_API = [
    *(
        (method, f"/api/v1/{name}")
        for method in ("GET", "POST")
        for name in ("query", "query_range", "series", "labels")
    ),
    *(("GET", "/api/v1/label/{name}/values"), ("GET", "/api/v1/metadata")),
]
ELSEWHERE = {
    ("POST", "/alerts/silences"),  # below
    ("GET", "/ui/alerts"),  # test_alerts_page.py
    *(("GET", "/"), ("GET", "/fleet"), ("GET", "/events")),  # test_get_fleet.py
    ("GET", "/tiers"),  # nothing in it is of streams
    *READ_API,  # test_read_api.py
    *(("GET", "/system"), ("GET", "/ui/system")),  # sums of all streams are left out: test_get_system.py
    *SESSIONS,  # of callers, not of streams: test_links.py, test_device_login.py
    *KEYS,  # test_manage_keys.py
}


@pytest.fixture
def house() -> House:
    return House()


def test_every_route_is_tried_with_what_is_somebody_elses() -> None:
    assert routes() == {*OF_ONE, *(("GET", path) for path in LISTS), *OF_ALL, *ELSEWHERE}


@pytest.mark.parametrize("route", OF_ONE, ids=" ".join)
async def test_what_is_somebody_elses_is_not_there_and_stays_as_it_is(house: House, route: tuple[str, str]) -> None:
    (method, path), (body, status) = route, OF_ONE[route]
    own, foreign = await house.move_in("web-1"), await house.move_in("db-1")
    await house.watch.fleet.look_once()
    before = house.rows()

    async def answer(things: Things, caller: Caller = WEB) -> tuple[int, str]:
        got = await house.ask(method, path.format(**asdict(things)), caller=caller, body=body)
        text = re.sub(NOW_MS, "", got.text).replace(things.stream_id, "it").replace(things.insight_id, "it")
        return got.status_code, text.replace(things.alert_id, "it").replace(things.silence_id, "it")

    assert await answer(foreign) == await answer(NOTHING)
    assert (await answer(foreign))[0] == 404
    assert house.rows() == before
    assert (await answer(own))[0] == status
    assert (await answer(foreign, EVERYBODY))[0] == status, "what was refused would have been done"


@pytest.mark.parametrize("route", OF_ALL, ids=" ".join)
async def test_what_is_of_all_streams_is_for_who_sees_all(house: House, route: tuple[str, str]) -> None:
    everybodys = await house.ask(*route, caller=EVERYBODY, body=OF_ALL[route])
    answer = await house.ask(*route, body=OF_ALL[route])

    assert everybodys.status_code == 200
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "all streams" in answer.json()["detail"]


async def many(house: House) -> set[str]:
    """Forty streams with one of everything, of which every fourth is the web team's; the ids of those."""
    for number in range(40):
        stream_id, at = f"{'db' if number % 4 else 'web'}-{number}:sda", AT + timedelta(seconds=number // 8)
        silence = Silence(
            silence_id=f"{number:04}", scope=SilenceScope.STREAM, value=stream_id, begins_at=AT,
            ends_at=at + timedelta(hours=1), reason="a restore", created_by="somebody",
        )  # fmt: skip
        await house.add_stream(stream_id, second=number // 8)
        house.table.add(
            items.insight_item(an_insight(stream_id, created_at=at)),
            items.alert_put(an_alert(stream_id, updated_at=at))["Item"],
            items.silence_item(silence),
        )
    return {f"web-{number}:sda" for number in range(0, 40, 4)}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("reads", [(1_000, 20), (3, 1), (1, 3)], ids=str)
async def test_a_list_has_own_rows_only_on_all_its_pages_and_names_no_other(
    house: House, path: str, reads: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await many(house)
    monkeypatch.setattr(table, "OWN_READ_ROWS", max(reads[0], 9 // reads[1]))  # eight rows are of one instant
    monkeypatch.setattr(table, "LIST_PAGES_LIMIT", reads[1])

    found, cursors = await house.list(path, limit=3)

    assert names_of(found) == own
    assert len(found) == len(own), "nothing twice"
    assert "db-" not in json.dumps(found)
    assert not any(b"db-" in base64.urlsafe_b64decode(cursor) for cursor in cursors)


@pytest.mark.parametrize("path", LISTS)
async def test_a_cursor_that_was_made_up_shows_nothing_of_others(house: House, path: str) -> None:
    own = await many(house)
    kind = {"/streams": "stream", "/insights/recent": "insight", "/alerts": "alert"}.get(path, "silence")
    for row in house.table.of_type(kind):
        answer = await house.ask("GET", path, cursor=items.start_to_cursor(row))
        assert names_of(answer.json()["items"]) <= own


async def test_insights_asked_for_by_others_names_are_none(house: House) -> None:
    own, foreign = await house.move_in("web-1"), await house.move_in("db-1")

    assert await house.list("/insights/recent", stream_id=foreign.stream_id) == ([], [])
    (insight,), _ = await house.list("/insights/recent", stream_id=own.stream_id)
    assert insight["insight_id"] == own.insight_id


async def test_alerts_asked_for_by_others_names_are_none(house: House) -> None:
    own, foreign = await house.move_in("web-1"), await house.move_in("db-1")

    asked: list[Any] = [{"stream_id": foreign.stream_id}, {"peer_group": "db-1"}]
    asked.append({"state": "firing", "peer_group": "db-1"})
    for params in asked:
        assert await house.list("/alerts", **params) == ([], [])
    (alert,), _ = await house.list("/alerts", state="firing")
    assert alert["alert_id"] == own.alert_id


@pytest.mark.parametrize(
    ("scope", "value", "status"),
    [
        ("stream", "web-1:sda", 201),
        ("peer_group", "web-1", 201),
        ("stream", "db-1:sda", 403),
        ("stream", "db-9:sda", 403),  # which is not there
        ("peer_group", "db-1", 403),
        ("prediction_type", "stall", 403),
    ],
)
async def test_one_silences_what_is_ones_own(house: House, scope: str, value: str, status: int) -> None:
    await house.move_in("web-1")
    await house.move_in("db-1")
    before = house.rows()

    answer = await house.ask("POST", "/alerts/silences", body={"scope": scope, "value": value, **HOUR})

    assert answer.status_code == status
    assert (house.rows() == before) == (status == 403)
    assert [alert["state"] for alert in (await house.list("/alerts", caller=EVERYBODY, peer_group="db-1"))[0]] == [
        "firing"
    ]


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [("web-*", {"web-1"}), ("web-1", {"web-1"}), ("web-1:*", set()), ("a*", set()), ("*", {"web-1", ALL_HOSTS})],
)
async def test_a_silent_agent_is_told_to_who_sees_its_host(house: House, pattern: str, seen: set[str]) -> None:
    house.table.add(items.insight_item(an_insight("web-1")), items.insight_item(an_insight(ALL_HOSTS)))

    found, _ = await house.list("/insights/recent", caller=Caller("somebody", Role.VIEWER, (pattern,)))

    assert names_of(found) == seen


async def test_a_silence_of_a_type_is_seen_by_who_sees_all(house: House) -> None:
    body = {"scope": "prediction_type", "value": "stall", **HOUR}
    made = (await house.ask("POST", "/alerts/silences", caller=EVERYBODY, body=body)).json()

    assert await house.list("/alerts/silences") == ([], [])
    assert (await house.ask("DELETE", f"/alerts/silences/{made['silence_id']}")).status_code == 404
