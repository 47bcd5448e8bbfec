"""GET /fleet, its page and its events, as a person and a program see them."""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from starlette.types import Scope

from iops import items
from iops.auth import Caller, Role
from iops.errors import Forbidden
from services.insights import fleet_routes
from services.insights.fleet_routes import LISTENERS, LISTENERS_EACH
from services.insights.pages import assets
from tests.unit.builders import AT, EVERYBODY, a_window
from tests.unit.tenants import WEB, GateFor, House, apps

VIEWER = Caller("somebody", Role.VIEWER)


async def a_house(*hosts: str) -> House:
    """With a disk of each host, that has an alert."""
    house = House()
    for host in hosts:
        await house.move_in(host)
    await house.watch.fleet.look_once()
    return house


async def test_the_fleet_has_each_stream_with_its_alert_its_hour_and_its_newest_numbers() -> None:
    house = await a_house("web-1")
    await house.add_stream("web-2:sda")
    house.table.add(*items.chunk_items("web-2:sda", a_window(30, read_await_ms=2.5)))
    await house.watch.fleet.look_once()
    fleet = (await house.ask("GET", "/fleet")).json()
    ill, row = fleet["items"]

    assert (fleet["total"], fleet["pages"], fleet["counts"]["alerts"]) == (2, 1, 1)
    assert (ill["stream_id"], ill["alert"]["state"], ill["is_read"]) == ("web-1:sda", "firing", True)
    assert (row["stream_id"], row["alert"], row["is_read"]) == ("web-2:sda", None, True)
    assert (row["latest"]["iops"], row["latest"]["await_ms"]) == (200.0, 2.5)
    assert [value for value in row["spark"] if value is not None] == [2.5]


async def test_the_strip_has_the_numbers_of_all_for_who_sees_all() -> None:
    house = await a_house("web-1")
    seen = (await house.ask("GET", "/", caller=EVERYBODY)).text
    own = await house.ask("GET", "/")

    assert "Samples a second" in seen
    assert "$0.02" in seen
    assert "Samples a second" not in own.text
    assert (await house.ask("GET", "/fleet")).json()["strip"]["spend_today_usd"] is None


async def test_pages_hold_every_stream_once_and_beyond_the_last_is_the_last() -> None:
    house = await a_house(*(f"web-{number}" for number in range(7)))
    pages = [(await house.ask("GET", "/fleet", limit=3, page=page)).json() for page in (1, 2, 3, 9)]

    assert [len(page["items"]) for page in pages] == [3, 3, 1, 1]
    assert len({row["stream_id"] for page in pages for row in page["items"]}) == 7
    assert pages[3]["page"] == 3


async def test_nothing_of_others_is_in_the_fleet_its_page_or_its_events() -> None:
    house = await a_house("web-1", "db-1")
    for path in ("/fleet", "/"):
        answer = await house.ask("GET", path)
        assert answer.status_code == 200
        assert "web-1:sda" in answer.text
        assert "db-1" not in answer.text
    assert (await house.ask("GET", "/fleet", text="db-1")).json()["total"] == 0
    assert (await house.ask("GET", "/fleet", caller=EVERYBODY)).json()["total"] == 2


@pytest.mark.parametrize("params", [{"min_risk": "nan"}, {"state": "ill"}, {"page": 0}, {"limit": 201}], ids=str)
async def test_a_question_that_makes_no_sense_is_a_400(params: dict[str, Any]) -> None:
    house = await a_house("web-1")
    assert (await house.ask("GET", "/fleet", **params)).status_code == 400


async def test_before_the_table_was_read_the_fleet_is_a_503_and_no_empty_list() -> None:
    house = House()
    assert (await house.ask("GET", "/fleet")).status_code == 503
    page = await house.ask("GET", "/")
    assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")


class Reader(HTMLParser):
    """What a page says, and what it would run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.scripts: list[str | None] = []
        self.handlers: list[str] = []
        self.rows: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "script":
            self.scripts.append(named.get("src"))
        if "data-row" in named:
            self.rows.append(named["data-row"])
        self.handlers += [name for name in named if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


async def test_the_page_lists_streams_without_a_script_and_runs_none_of_its_own_text() -> None:
    house = await a_house("web-1", "web-2")
    house.scene.now += timedelta(minutes=28)
    reader = Reader((await house.ask("GET", "/", caller=EVERYBODY)).text)

    assert reader.rows == ["web-1:sda", "web-2:sda"]
    assert "alert firing for 28 min" in " ".join(reader.text)
    assert not reader.handlers, "the policy would stop them"
    assert all(source and source.startswith("/static/") for source in reader.scripts)


async def test_what_a_filter_asks_for_comes_back_as_text() -> None:
    house = await a_house("web-1")
    hostile = '"><script>alert(1)</script>'
    answer = await house.ask("GET", "/", text=hostile, peer_group=hostile, min_risk=hostile, state=hostile)

    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "No stream fits the filter" in answer.text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/?page=0", 400, "page: Input should be greater than or equal to 1"),
        (f"/?text={'x' * 201}", 400, "text: String should have at most 200 characters"),
        (f"/ui/alerts/{'x' * 65}", 400, "alert_id: String should have at most 64 characters"),
        ("/ui/nothing", 404, "no page is at this address"),
    ],
)
async def test_who_asks_for_a_page_is_told_in_a_page_what_is_wrong(path: str, status: int, said: str) -> None:
    house = await a_house("web-1")
    answer = await house.ask("GET", path)
    problem = await house.ask("GET", "/fleet?page=0")

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert said in answer.text
    assert (problem.status_code, problem.headers["content-type"]) == (400, "application/problem+json")


async def test_an_agents_key_is_told_in_a_page_that_pages_are_not_for_it() -> None:
    app = apps()[0]
    app.state.gate = TooLittle()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        answer = await client.get("/")

    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "this is for viewer" in answer.text


class TooLittle:
    async def admit(self, _: Scope, role: Role) -> Caller:
        raise Forbidden(f"this is for {role}")


async def test_an_asset_is_kept_for_a_year_under_its_digest_only() -> None:
    house = await a_house()
    css = await house.ask("GET", assets.url_of("style.css"))
    other = await house.ask("GET", "/static/000000000000/style.css")

    assert (css.status_code, css.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert (other.text, other.headers["cache-control"]) == (css.text, "no-store")
    for name in ("nothing.js", "../assets.py", "..%2fassets.py", "style.css/", ""):
        assert (await house.ask("GET", f"/static/x/{name}")).status_code == 404


async def hear(house: House, caller: Caller = WEB) -> list[tuple[str, Any]]:
    """What one who listens is told until it ends."""
    app = apps()[0]
    app.state.gate = GateFor(caller)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        text = (await client.get("/events")).text
    told = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block.strip()]
    return [(each["event"], json.loads(each.get("data", "null"))) for each in told if "event" in each]


async def test_who_listens_is_told_what_changed_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_routes, "LISTEN_S", 0.6)
    monkeypatch.setattr(fleet_routes, "LOOK_S", 0.05)
    house = await a_house("web-1", "db-1")
    listening = asyncio.create_task(hear(house))
    await asyncio.sleep(0.2)
    mine = (await house.move_in("web-2")).alert_id
    await house.move_in("db-2")
    for stream_id in ("web-2:sda", "db-2:sda"):
        await house.add_stream(stream_id)
    await house.watch.fleet.look_once()

    told = await listening

    assert told[0][0] == "tick"
    assert [each for each in told if each[0] != "tick"] == [("streams", ["web-2:sda"]), ("alerts", [mine])]


async def test_that_an_alert_is_over_is_told_without_a_name_to_who_sees_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_routes, "LISTEN_S", 0.6)
    monkeypatch.setattr(fleet_routes, "LOOK_S", 0.05)
    house = await a_house("web-1", "db-1")
    listening = asyncio.create_task(hear(house))
    await asyncio.sleep(0.2)
    house.watch.fleet._alerts._drop(set(house.watch.fleet.alerts))

    assert [each for each in await listening if each[0] != "tick"] == [("alerts", None)]


async def test_who_listens_is_let_go_when_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_routes, "LOOK_S", 0.02)
    house = await a_house("web-1")
    stopping = asyncio.Event()
    monkeypatch.setattr(apps()[0], "stopping", stopping)
    listening = asyncio.create_task(hear(house))
    await asyncio.sleep(0.1)
    assert not listening.done()

    stopping.set()
    assert [event for event, _ in await asyncio.wait_for(listening, 2)] == ["tick"]


async def test_one_too_many_who_listens_is_told_to_ask_instead() -> None:
    house = await a_house("web-1")
    async with AsyncExitStack() as seats:
        for number in range(LISTENERS):
            await seats.enter_async_context(house.watch.a_seat(Caller(f"screen {number}", Role.VIEWER)))
        answer = await house.ask("GET", "/events")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


async def test_who_listens_in_many_tabs_keeps_nobody_else_from_hearing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_routes, "LISTEN_S", 0)
    house = await a_house("web-1")
    async with AsyncExitStack() as seats:
        for _ in range(LISTENERS_EACH):
            await seats.enter_async_context(house.watch.a_seat(WEB))
        refused = await house.ask("GET", "/events", caller=WEB)
        other = await house.ask("GET", "/events", caller=VIEWER)
    again = await house.ask("GET", "/events", caller=WEB)

    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "rate_exceeded", "30")
    assert "web team listens 32 times already" in refused.json()["detail"]
    assert (other.status_code, again.status_code) == (200, 200)


async def test_a_fleet_that_is_not_read_any_more_says_how_old_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_routes, "LISTEN_S", 0)
    house = await a_house("web-1")
    fresh = (await house.ask("GET", "/")).text
    house.watch.clock = lambda: AT + timedelta(seconds=40)
    old = (await house.ask("GET", "/")).text

    assert 'data-age-s="0.0"' in fresh
    assert "The table does not answer" not in fresh
    assert 'data-age-s="40.0"' in old
    assert "The table does not answer: this is how the fleet was" in old
    assert await hear(house) == [("tick", 40.0)]


async def test_who_listens_before_the_fleet_is_read_is_asked_to_come_again() -> None:
    answer = await House().ask("GET", "/events")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_who_listens_hears_nothing_more_when_their_key_is_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_routes, "LOOK_S", 0.02)
    monkeypatch.setattr(fleet_routes, "TICK_S", 0.05)
    house = await a_house("web-1")
    listening = asyncio.create_task(hear(house))
    await asyncio.sleep(0.2)
    assert not listening.done()

    apps()[0].state.gate = TooLittle()
    assert {event for event, _ in await asyncio.wait_for(listening, 2)} == {"tick"}
