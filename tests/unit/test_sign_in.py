"""Signing in by the directory: the way of a person, and every way of somebody who wants to be one."""

import json

import httpx
import pytest

from iops.audit import DeedKind
from iops.auth import Caller, Role
from iops.errors import IdentityUnavailable
from tests.unit.desks import DIRECTORY, OURS, URL, Directory, Front, caller_of
from tests.unit.keyrings import deeds_of
from tests.unit.signing import CLIENT, id_claims, signed

ANN = Caller("ann", Role.OPERATOR)


async def begin(browser: httpx.AsyncClient, directory: Directory, next_path: str = "/") -> dict[str, str]:
    begun = await browser.get("/session/sign-in", params={"next": next_path})
    return directory.sign_in(begun.headers["Location"])


async def come_back(browser: httpx.AsyncClient, said: dict[str, str], status: int = 303) -> httpx.Response:
    answer = await browser.get("/session/callback", params=said)
    assert answer.status_code == status, answer.text
    return answer


async def test_a_browser_is_sent_to_the_directory_with_pkce() -> None:
    answer = await Front().browser().get("/session/sign-in")
    there = httpx.URL(answer.headers["Location"])

    assert answer.status_code == 303
    assert str(there).startswith(f"{DIRECTORY}/oauth2/authorize?")
    said = dict(there.params)
    assert {len(said.pop(name)) for name in ("state", "nonce", "code_challenge")} == {43}
    assert said == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": f"{URL}/session/callback",
        "scope": "openid email",
        "code_challenge_method": "S256",
    }


async def test_somebody_who_signed_in_comes_in_and_lands_where_they_were_going() -> None:
    front = Front()
    browser = front.browser()
    answer = await come_back(browser, await begin(browser, front.directory, "/streams?limit=5"))

    assert answer.headers["Location"] == "/streams?limit=5"
    assert await caller_of(browser) == ANN
    (deed,) = deeds_of(front.table)
    assert (deed.kind, deed.by, deed.role, deed.address) == (DeedKind.SIGNED_IN, "ann", Role.OPERATOR, "10.0.0.7")


async def test_the_cookies_say_exactly_what_they_are() -> None:
    front = Front()
    browser = front.browser()
    begun = await browser.get("/session/sign-in")
    answer = await come_back(browser, front.directory.sign_in(begun.headers["Location"]))

    def attributes(answer: httpx.Response) -> list[tuple[str, str]]:
        cookies = [cookie.partition("=") for cookie in answer.headers.get_list("set-cookie")]
        return [(name, value.partition("; ")[2]) for name, _, value in cookies]

    lasting = "HttpOnly; Max-Age={}; Path=/; SameSite=lax; Secure"
    assert attributes(begun) == [("__Host-iops_sign_in", lasting.format(600))]
    assert attributes(answer) == [
        ("__Host-iops_session", lasting.format(3_600)),
        ("__Host-iops_sign_in", lasting.format(0)),
    ]


async def test_without_https_the_cookies_are_for_a_laptop() -> None:
    front = Front(public_url="http://127.0.0.1:8080")
    browser = await front.signed_in()

    assert dict(browser.cookies).keys() == {"iops_session"}
    assert await caller_of(browser) == ANN


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "/%0d%0aSet-Cookie: a=b\r\n",
        "streams",
        " /",
        "",
        "/é",
    ],
    ids=repr,
)
async def test_nobody_is_led_elsewhere_after_signing_in(path: str) -> None:
    answer = await Front().browser().get("/session/sign-in", params={"next": path})

    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers
    assert "evil" not in answer.text


async def test_a_victim_is_not_signed_in_as_who_sends_them_a_link() -> None:
    front = Front()
    said = await begin(front.browser(), front.directory)  # in the attacker's browser
    victim = front.browser()

    await come_back(victim, said, 401)
    await begin(victim, front.directory)  # one of their own is under way
    await come_back(victim, said, 401)

    assert await caller_of(victim) is None
    assert front.directory.asked == []


@pytest.mark.parametrize("change", ["payload", "mac", "pepper", "cut", "empty"])
async def test_an_attempt_that_somebody_made_up_is_none(change: str) -> None:
    front = Front()
    browser = front.browser()
    said = await begin(browser, front.directory)
    pepper, payload, mac = browser.cookies["__Host-iops_sign_in"].split(".")
    made_up = {
        "payload": f"{pepper}.{'A' if payload[5] != 'A' else 'B'}{payload[1:]}.{mac}",
        "mac": f"{pepper}.{payload}.{'0' * 64}",
        "pepper": f"p-gone.{payload}.{mac}",
        "cut": payload,
        "empty": "",
    }[change]
    stranger = front.browser(Cookie=f"__Host-iops_sign_in={made_up}")

    await come_back(stranger, said, 401)
    assert front.directory.asked == []


async def test_an_attempt_survives_a_rotation_of_the_peppers_and_lasts_ten_minutes() -> None:
    front = Front()
    browser, late = front.browser(), front.browser()
    said, too_late = await begin(browser, front.directory), await begin(late, front.directory)
    front.pass_time(minutes=9)
    await come_back(browser, said)
    front.pass_time(minutes=1)

    await come_back(front.browser(Cookie=f"__Host-iops_sign_in={late.cookies['__Host-iops_sign_in']}"), too_late, 401)


@pytest.mark.parametrize("missing", ["code", "state"])
async def test_a_callback_without_its_parts_signs_nobody_in(missing: str) -> None:
    front = Front()
    browser = front.browser()
    said = await begin(browser, front.directory)

    await come_back(browser, {name: value for name, value in said.items() if name != missing}, 401)
    assert await caller_of(browser) is None


async def test_what_came_back_once_does_not_come_back_again() -> None:
    front = Front()
    browser = front.browser()
    said = await begin(browser, front.directory)
    cookie = browser.cookies["__Host-iops_sign_in"]
    await come_back(browser, said)

    await come_back(browser, said, 401)  # its attempt is gone
    answer = await come_back(front.browser(Cookie=f"__Host-iops_sign_in={cookie}"), said, 401)  # the code is
    assert "__Host-iops_session" not in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"nonce": "another"}, 401),
        ({"aud": "another"}, 401),
        ({"token_use": "access", "client_id": CLIENT}, 401),
        ({"iss": "https://evil.example"}, 401),
        ({"cognito:groups": []}, 403),
    ],
    ids=str,
)
async def test_a_token_that_is_not_of_this_sign_in_signs_nobody_in(claims: dict[str, object], status: int) -> None:
    front = Front()
    front.directory.claims = claims
    browser = front.browser()

    await come_back(browser, await begin(browser, front.directory), status)
    assert await caller_of(browser) is None
    assert deeds_of(front.table) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>hunter2</html>",
        b'{"access_token": "a.b.c"}',
        b'{"id_token": 5}',
        b'{"id_token": "a.b.c; Path=/evil"}',
        json.dumps({"id_token": f"a.{'b' * 4_000}.c"}).encode(),
    ],
    ids=["html", "access token", "number", "cookie", "too long"],
)
async def test_an_answer_that_is_no_token_is_told_without_it(answer: bytes) -> None:
    front = Front()
    front.directory.answer = answer
    browser = front.browser()
    page = await come_back(browser, await begin(browser, front.directory), 503)

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["retry-after"] == "2"
    assert "hunter2" not in page.text


async def test_while_the_directory_is_away_people_are_told_so() -> None:
    front = Front()
    front.directory.failure = IdentityUnavailable("the directory does not answer")
    browser = front.browser()
    page = await come_back(browser, await begin(browser, front.directory), 503)

    assert "the directory does not answer" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]


async def test_nobody_comes_in_whose_coming_cannot_be_written_down() -> None:
    front = Front()
    browser = front.browser()
    said = await begin(browser, front.directory)
    front.table.is_away = True

    await come_back(browser, said, 503)
    assert dict(browser.cookies) == {}


async def test_without_a_directory_a_person_is_told_of_iops_open() -> None:
    answer = await Front(has_directory=False).browser().get("/session/sign-in")

    assert answer.status_code == 404
    assert "iops open" in answer.text


async def test_signing_out_clears_the_cookie_and_says_where_the_directory_forgets() -> None:
    browser = await Front().signed_in()
    answer = await browser.post("/session/sign-out", headers=OURS)

    assert answer.json() == {
        "logout_url": f"{DIRECTORY}/logout?client_id={CLIENT}&logout_uri=https%3A%2F%2Fiops.example.com%2F"
    }
    assert await caller_of(browser) is None


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", f"{URL}.evil.example", "http://iops.example.com"]
)
async def test_another_site_signs_nobody_out(origin: str | None) -> None:
    browser = await Front().signed_in()
    answer = await browser.post("/session/sign-out", headers={"Origin": origin} if origin else {})

    assert answer.status_code == 403
    assert await caller_of(browser) == ANN


async def test_a_session_with_a_token_of_nobody_is_none() -> None:
    forged = signed(id_claims(exp=2_000_000_000), key="k" * 32, alg="HS256")

    assert await caller_of(Front().browser(Cookie=f"__Host-iops_session={forged}")) is None


async def test_who_comes_where_there_is_no_directory_reads_how_to_come_in() -> None:
    front = Front()
    object.__setattr__(front.desk, "hosted_ui", None)
    answer = await front.browser().get("/session/sign-in")

    assert answer.status_code == 404
    assert "iops open --url" in answer.text
