"""A machine's login: approved by a person, for as much as they may, once; and what guessing brings."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from iops.audit import DeedKind
from iops.auth import Caller, Role
from tests.unit.builders import AT
from tests.unit.desks import OURS, URL, Front, caller_of
from tests.unit.keyrings import deeds_of


async def begin(front: Front, name: str = "laptop", address: str = "10.9.9.9") -> dict[str, Any]:
    answer = await front.browser(address=address).post("/session/device", json={"name": name})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def type_code(browser: httpx.AsyncClient, code: str, *, step: str = "approve", **headers: str) -> httpx.Response:
    return await browser.post(f"/session/device/{step}", data={"code": code}, headers=OURS | headers)


async def poll(front: Front, begun: dict[str, Any]) -> tuple[int, Any]:
    answer = await front.browser().post("/session/device/token", json={"device_code": begun["device_code"]})
    return answer.status_code, answer.json()


async def code_of(front: Front, begun: dict[str, Any]) -> str:
    status, said = await poll(front, begun)
    return said["code"] if status != 200 else "ok"


async def test_a_machine_that_a_person_approves_gets_a_key_of_theirs() -> None:
    front = Front()
    begun = await begin(front)
    assert begun["verification_url"] == f"{URL}/session/device"
    assert (len(begun["user_code"]), begun["expires_in"], begun["interval"]) == (9, 600, 5)
    approved = await type_code(await front.signed_in(), begun["user_code"].lower())
    assert approved.status_code == 200, approved.text
    status, said = await poll(front, begun)

    assert (status, said["expires_at"]) == (200, "2026-11-23T14:00:00Z")
    kept = front.ring.kept(said["key"])
    assert (kept.name, kept.created_by, kept.role) == ("login of ann on laptop", "ann", Role.OPERATOR)
    machine = front.browser(**{"X-API-Key": said["key"]})
    assert await caller_of(machine) == Caller(f"key {kept.name} ({kept.key_id})", Role.OPERATOR)
    assert [deed.kind for deed in deeds_of(front.table)] == [DeedKind.SIGNED_IN, DeedKind.KEY_CREATED]


async def test_until_somebody_approves_it_the_machine_waits() -> None:
    front = Front()
    begun = await begin(front)

    assert [(await poll(front, begun))[0], await code_of(front, begun)] == [428, "authorization_pending"]


async def test_a_machine_that_asks_too_often_is_slowed_down() -> None:
    front = Front()
    begun = await begin(front)

    assert [await code_of(front, begun) for _ in range(3)] == ["authorization_pending"] * 2 + ["slow_down"]
    front.pass_time(seconds=5)
    assert await code_of(front, begun) == "authorization_pending"


async def test_a_machine_gets_one_key_however_often_it_asks_at_once() -> None:
    front = Front()
    begun = await begin(front)
    await type_code(await front.signed_in(), begun["user_code"])
    answers = await asyncio.gather(poll(front, begun), poll(front, begun))

    assert sorted(status for status, _ in answers) == [200, 400]
    front.pass_time(seconds=5)
    assert await code_of(front, begun) == "expired_token"
    assert len(front.table.of_type("apikey")) == 1


async def test_after_ten_minutes_nothing_holds() -> None:
    front = Front()
    browser, approved, begun = await front.signed_in(), await begin(front), await begin(front)
    await type_code(browser, approved["user_code"])
    front.pass_time(minutes=10)

    assert (await type_code(browser, begun["user_code"])).status_code == 404
    assert [await code_of(front, each) for each in (approved, begun)] == ["expired_token"] * 2


async def test_the_code_that_people_see_takes_no_key() -> None:
    front = Front()
    begun = await begin(front)
    await type_code(await front.signed_in(), begun["user_code"])
    guessed = begun["device_code"][:-1] + ("A" if begun["device_code"][-1] != "A" else "E")

    assert await code_of(front, {"device_code": guessed}) == "expired_token"
    assert await code_of(front, {"device_code": begun["user_code"]}) == "invalid_input"
    assert await code_of(front, begun) == "ok"


async def test_the_table_has_a_hash_of_what_the_machine_holds() -> None:
    front = Front()
    begun = await begin(front)

    assert begun["device_code"] not in str(front.table.rows)
    assert front.table.of_type("device")[0]["ttl"] == {"N": "1795399800"}


async def test_who_approves_gives_no_more_than_they_have() -> None:
    front = Front()
    begun = await begin(front)
    viewer = front.holder(Role.VIEWER, streams=("web-*", "db-1:sda"), expires_at=AT + timedelta(hours=2))
    await type_code(viewer, begun["user_code"])
    _, said = await poll(front, begun)

    kept = front.ring.kept(said["key"])
    assert (kept.role, kept.streams) == (Role.VIEWER, ("web-*", "db-1:sda"))
    assert kept.expires_at == AT + timedelta(hours=2)


async def test_who_approves_sees_which_machine_asks_and_from_where() -> None:
    front = Front()
    begun = await begin(front, "<img src=x onerror=alert(1)>\u202e")
    page = await type_code(await front.signed_in(), begun["user_code"], step="look")

    assert "&lt;img src=x onerror=alert(1)&gt;</strong>, from the address 10.9.9.9, asks" in page.text
    assert f'value="{begun["user_code"]}"' in page.text
    assert "as operator, on the streams *" in page.text


async def test_a_page_with_a_form_lets_the_browser_say_where_it_is_from() -> None:
    page = await (await Front().signed_in()).get("/session/device")

    assert page.status_code == 200
    assert page.headers["referrer-policy"] == "same-origin"


async def test_a_browser_that_nobody_signed_in_is_sent_to_where_people_do() -> None:
    answer = await Front().browser().get("/session/device")

    assert (answer.status_code, answer.headers["location"]) == (303, "/session/sign-in?next=%2Fsession%2Fdevice")


@pytest.mark.parametrize(
    ("query", "back"),
    [
        ("?text=gp3+a%26b&min_risk=80", "/session/device?text=gp3+a%26b&min_risk=80"),
        ("?text=\\é", "/session/device?text=%5C%C3%A9"),
        (f"?text={'x' * 500}", "/session/device"),
    ],
)
async def test_who_signs_in_again_comes_back_to_the_page_with_its_filter(query: str, back: str) -> None:
    front = Front()
    browser = front.browser()
    away = await browser.get(f"/session/device{query}")
    begun = await browser.get(away.headers["location"])
    said = front.directory.sign_in(begun.headers["location"])

    assert (await browser.get("/session/callback", params=said)).headers["location"] == back


async def test_an_open_page_that_renews_itself_is_told_that_one_is_signed_out() -> None:
    answer = await Front().browser(**{"HX-Request": "true"}).get("/session/device")

    assert answer.status_code == 401


async def test_without_a_directory_the_way_back_stands_on_the_page_that_says_how_to_sign_in() -> None:
    front = Front(has_directory=False)

    page = await front.browser().get("/session/sign-in", params={"next": '/?text="><script>'})

    assert '<a href="/?text=&quot;&gt;&lt;script&gt;">go on</a>' in page.text


async def test_an_agent_approves_nothing() -> None:
    front = Front()
    begun = await begin(front)

    assert (await type_code(front.holder(Role.AGENT), begun["user_code"])).status_code == 403
    assert (await type_code(front.browser(), begun["user_code"])).status_code == 401
    assert await code_of(front, begun) == "authorization_pending"


@pytest.mark.parametrize("step", ["look", "approve"])
@pytest.mark.parametrize("origin", ["", "null", "https://evil.example"])
async def test_another_site_approves_nothing(step: str, origin: str) -> None:
    front = Front()
    begun = await begin(front)
    for browser in (await front.signed_in(), front.holder()):
        answer = await type_code(browser, begun["user_code"], step=step, Origin=origin)
        assert answer.status_code == 403

    assert await code_of(front, begun) == "authorization_pending"


async def test_who_guesses_codes_gets_five_a_minute() -> None:
    front = Front()
    browser, begun = await front.signed_in(), await begin(front)
    guesses = await asyncio.gather(*(type_code(browser, "BBBB-BBB" + last, step="look") for last in "BCDFGHJK"))

    assert [guess.status_code for guess in guesses] == [404] * 5 + [429] * 3
    assert (await type_code(browser, begun["user_code"])).status_code == 429
    front.pass_time(seconds=12)
    assert (await type_code(browser, begun["user_code"])).status_code == 200


async def test_right_codes_are_not_counted() -> None:
    front = Front()
    browser, begun = await front.signed_in(), await begin(front)

    assert {(await type_code(browser, begun["user_code"], step="look")).status_code for _ in range(20)} == {200}


async def test_a_machine_is_approved_once() -> None:
    front = Front()
    begun = await begin(front)
    viewer, admin = front.holder(Role.VIEWER), front.holder(Role.ADMIN)
    first, second = await type_code(viewer, begun["user_code"]), await type_code(admin, begun["user_code"])
    _, said = await poll(front, begun)

    assert (first.status_code, second.status_code) == (200, 404)
    assert front.ring.kept(said["key"]).role == Role.VIEWER


async def test_one_address_makes_ten_machines_wait() -> None:
    front = Front()
    for _ in range(10):
        await begin(front)
    answer = await front.browser(address="10.9.9.9").post("/session/device", json={"name": "x"})

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
    await begin(front, address="10.9.9.10")


@pytest.mark.parametrize("name", ["", " \n", "\u202e", "x" * 65, None, 5], ids=repr)
async def test_a_machine_has_a_name_that_can_be_read(name: object) -> None:
    answer = await Front().browser().post("/session/device", json={"name": name})

    assert answer.status_code == 422


@pytest.mark.parametrize("body", [b"", b"code=", b"code=%00", b"&".join([b"a=1"] * 50), b"\xff" * 9], ids=repr)
async def test_a_form_that_holds_no_code_is_a_wrong_one(body: bytes) -> None:
    browser = await Front().signed_in()
    answer = await browser.post("/session/device/look", content=body, headers=OURS)

    assert answer.status_code == 404


async def test_a_machine_ends_its_own_key() -> None:
    front = Front()
    begun = await begin(front)
    await type_code(await front.signed_in(), begun["user_code"])
    _, said = await poll(front, begun)
    answer = await front.browser(**{"X-API-Key": said["key"]}).delete("/session")

    assert answer.json() == {"revoked": True}
    assert front.ring.kept(said["key"]).revoked_at == AT
    assert deeds_of(front.table)[-1].kind == DeedKind.KEY_REVOKED
