"""Links that sign a browser in: once, within a minute, and with what their maker may do."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from iops import items
from iops.audit import DeedKind
from iops.auth import Caller, Role
from iops.keys import key_id_of
from tests.unit.builders import AT
from tests.unit.desks import OURS, URL, Front, caller_of
from tests.unit.keyrings import deeds_of


async def a_code(holder: httpx.AsyncClient) -> str:
    answer = await holder.post("/session/links")
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    assert url.startswith(f"{URL}/session/link#")
    return url.partition("#")[2]


async def use(browser: httpx.AsyncClient, code: str, **headers: str) -> int:
    answer = await browser.post("/session/open", json={"code": code}, headers=OURS | headers)
    return answer.status_code


def revoke(front: Front, key: str) -> None:
    kept = front.ring.kept(key)
    front.table.add(items.api_key_put(kept.revoked(front.times.now()), replaces=kept)["Item"])


def minted(browser: httpx.AsyncClient) -> str:
    return browser.cookies["__Host-iops_session"]


async def test_a_browser_that_opens_a_link_is_in_as_its_maker() -> None:

    front = Front()
    browser = front.browser()
    code = await a_code(front.holder(Role.VIEWER, name="ann", streams=("web-*",)))
    answer = await browser.post("/session/open", json={"code": code}, headers=OURS)

    assert answer.json() == {"expires_at": "2026-11-23T14:00:00Z"}
    assert answer.headers["set-cookie"].endswith("; HttpOnly; Max-Age=43200; Path=/; SameSite=lax; Secure")
    kept = front.ring.kept(minted(browser))
    assert (kept.role, kept.streams, kept.expires_at) == (Role.VIEWER, ("web-*",), AT + timedelta(hours=12))
    assert kept.name.startswith("browser of key ann ")
    assert await caller_of(browser) == Caller(f"key {kept.name} ({kept.key_id})", Role.VIEWER, ("web-*",))


async def test_a_new_key_is_written_down_with_who_made_it() -> None:
    front = Front()
    browser = front.browser()
    await use(browser, await a_code(front.holder(Role.OPERATOR, name="ann")))

    (deed,) = deeds_of(front.table)
    assert (deed.kind, deed.about) == (DeedKind.KEY_CREATED, key_id_of(minted(browser).encode()))
    assert deed.by.startswith("key ann ")


async def test_a_link_serves_once() -> None:
    front = Front()
    code = await a_code(front.holder())

    assert [await use(front.browser(), code), await use(front.browser(), code)] == [200, 400]


async def test_of_two_browsers_at_once_one_is_in() -> None:
    front = Front()
    code = await a_code(front.holder())
    statuses = await asyncio.gather(*(use(front.browser(), code) for _ in range(5)))

    assert sorted(statuses) == [200, 400, 400, 400, 400]
    assert len(front.table.of_type("apikey")) == 2  # the maker's and one more


async def test_a_link_lasts_a_minute() -> None:
    front = Front()
    code = await a_code(front.holder())
    front.pass_time(seconds=60)

    assert await use(front.browser(), code) == 400


async def test_the_table_has_no_code() -> None:
    front = Front()
    code = await a_code(front.holder())

    assert code not in str(front.table.rows)
    assert front.table.of_type("link")[0]["ttl"] == {"N": "1795399260"}


@pytest.mark.parametrize("origin", ["", "null", "https://evil.example"])
async def test_another_site_opens_no_link(origin: str) -> None:
    front = Front()
    code = await a_code(front.holder())

    assert await use(front.browser(), code, Origin=origin) == 403
    assert await use(front.browser(), code) == 200


@pytest.mark.parametrize(
    "body", [{}, {"code": "x"}, {"code": "A" * 44}, {"code": "#" * 43}, {"code": "A" * 43}], ids=str
)
async def test_a_code_of_nobody_opens_nothing(body: dict[str, Any]) -> None:
    answer = await Front().browser().post("/session/open", json=body, headers=OURS)

    assert answer.status_code == (400 if body == {"code": "A" * 43} else 422)


async def test_who_guesses_codes_is_stopped() -> None:
    front = Front()
    statuses = [await use(front.browser(), "A" * 43) for _ in range(61)]

    assert statuses == [400] * 60 + [429]


async def test_a_key_of_a_browser_ends_when_its_makers_does() -> None:
    front = Front()
    browser = front.browser()
    await use(browser, await a_code(front.holder(expires_at=AT + timedelta(hours=1))))
    browser.headers["X-API-Key"] = minted(browser)
    again = front.browser()
    await use(again, await a_code(browser))

    assert front.ring.kept(minted(again)).expires_at == AT + timedelta(hours=1)


async def test_who_revokes_a_key_ends_the_browsers_that_it_signed_in() -> None:
    front = Front()
    stolen = front.holder()
    first, second = front.browser(), front.browser()
    await use(first, await a_code(stolen))
    await use(second, await a_code(front.browser(**{"X-API-Key": minted(first)})))
    assert await caller_of(second) is not None
    revoke(front, stolen.headers["X-API-Key"])
    front.pass_time(seconds=60)

    assert [await caller_of(browser) for browser in (first, second)] == [None, None]


async def test_a_link_of_a_key_that_was_revoked_meanwhile_signs_nobody_in() -> None:
    front = Front()
    stolen = front.holder()
    code = await a_code(stolen)
    revoke(front, stolen.headers["X-API-Key"])

    assert await use(front.browser(), code) == 401


async def test_five_keys_deep_no_link_is_made() -> None:
    front = Front()
    holder = front.holder()
    for _ in range(4):
        browser = front.browser()
        await use(browser, await a_code(holder))
        holder = front.browser(**{"X-API-Key": minted(browser)})

    assert (await holder.post("/session/links")).status_code == 403


async def test_an_agent_opens_no_browser() -> None:
    answer = await Front().holder(Role.AGENT).post("/session/links")

    assert answer.status_code == 403


async def test_signing_out_revokes_the_key_of_the_browser() -> None:
    front = Front()
    browser = front.browser()
    await use(browser, await a_code(front.holder()))
    key = minted(browser)
    answer = await browser.post("/session/sign-out", headers=OURS)

    assert (answer.status_code, dict(browser.cookies)) == (200, {})
    assert front.ring.kept(key).revoked_at == AT


async def test_only_the_holder_of_a_whole_key_ends_it() -> None:
    front = Front()
    browser = front.browser()
    await use(browser, await a_code(front.holder()))
    key = minted(browser)
    guessed = f"{key[:-1]}{'A' if key[-1] != 'A' else 'E'}"
    stranger = front.browser(Cookie=f"__Host-iops_session={guessed}")
    answer = await stranger.post("/session/sign-out", headers=OURS)

    assert answer.status_code == 200
    assert front.ring.kept(key).revoked_at is None


async def test_a_key_that_an_admin_made_is_ended_by_no_sign_out() -> None:
    front = Front()
    key = front.ring.add(Role.ADMIN, name="terraform")
    answer = await front.browser(**{"X-API-Key": key}).delete("/session")

    assert answer.status_code == 403
    assert front.ring.kept(key).revoked_at is None


async def test_the_page_of_a_link_runs_our_script_only() -> None:
    browser = Front().browser()
    page, script = await browser.get("/session/link"), await browser.get("/session/link.js")

    assert '<script src="/session/link.js" defer></script>' in page.text
    assert page.text.count("<script") == 1
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "location.hash" in script.text
