"""What admins do with keys: made, listed, rotated, revoked; who did it is written with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from iops import items
from iops.audit import DeedKind
from iops.auth import Caller, Role
from iops.contract import service_for_path
from iops.errors import Unauthenticated
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.web import Health, create_service
from services.insights import key_routes
from services.insights.routes import Insights
from tests.unit.fakes import aws_error
from tests.unit.keyrings import NEW, Ring, client_of, deeds_of
from tests.unit.routed import nothing_to_open

BODY: dict[str, Any] = {"name": "web-fleet", "role": "agent", "streams": ["web-*"]}


@cache
def an_app() -> FastAPI:
    return create_service(
        "test",
        routers=[key_routes.router],
        lifespan=nothing_to_open,
        metrics=Metrics(),
        health=Health(),
        settings=ServiceSettings(auth="on"),
    )


class Desktop:
    """The routes behind a real gate on a fake table, and an admin before them."""

    def __init__(self) -> None:
        self.ring = Ring()
        table, app = self.ring.table.table(), an_app()
        app.state.gate = self.ring.gate
        app.state.insights = Insights(table, self.ring.times.now)
        self.admin = client_of(app, self.ring.add(Role.ADMIN, name="ann"))

    async def make(self, **fields: Any) -> tuple[str, dict[str, Any]]:
        made = await self.ask("POST", "/keys", 201, json=BODY | fields)
        return made["key"], made["view"]

    async def ask(self, method: str, path: str, status: int = 200, **request: Any) -> Any:
        client: httpx.AsyncClient = request.pop("client", self.admin)
        answer = await client.request(method, path, **request)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def holder(self, key: str) -> Caller:
        """Whom the key lets in, as a replica says that never saw it."""
        fresh = Ring(table=self.ring.table)
        fresh.pass_s(self.ring.times.passed_s)
        return await fresh.keys.caller_of(key.encode())


@pytest.fixture
async def desk() -> AsyncIterator[Desktop]:
    desk = Desktop()
    async with desk.admin:
        yield desk


@pytest.mark.parametrize("path", ["/keys", "/keys/abc", "/keys/abc/rotate"])
def test_keys_are_led_to_insights(path: str) -> None:
    assert service_for_path(path) == "insights"


async def test_a_key_that_was_made_lets_its_holder_in_with_its_role_and_streams(desk: Desktop) -> None:
    key, view = await desk.make()

    caller = await desk.holder(key)
    assert (caller.role, caller.streams) == (Role.AGENT, ("web-*",))
    assert (view["name"], view["created_by"].split(" (")[0], view["secrets"]) == (
        "web-fleet",
        "key ann",
        [{"until": None}],
    )


async def test_the_secret_is_in_no_row_and_in_no_list(desk: Desktop) -> None:
    key, _ = await desk.make()
    listed = await desk.admin.get("/keys")

    assert key[22:] not in str(desk.ring.table.rows) + listed.text
    assert not any(word in listed.text for word in ("digest", "pepper", NEW.id, '"version"'))


async def test_lists_page_newest_first(desk: Desktop) -> None:
    for number in range(3):
        desk.ring.pass_s(1)
        await desk.make(name=f"n{number}")

    first = await desk.ask("GET", "/keys?limit=2")
    second = await desk.ask("GET", f"/keys?limit=2&cursor={first['cursor']}")
    assert [key["name"] for key in first["items"] + second["items"]] == ["n2", "n1", "n0", "ann"]


async def test_a_key_ends_when_it_was_to_expire(desk: Desktop) -> None:
    key, view = await desk.make(expires_in_s=60)
    assert view["expires_at"] == "2026-11-23T02:01:00Z"

    desk.ring.pass_s(60)
    with pytest.raises(Unauthenticated):
        await desk.holder(key)


async def test_after_a_rotation_both_secrets_hold_for_an_hour(desk: Desktop) -> None:
    old, view = await desk.make()
    made = await desk.ask("POST", f"/keys/{view['key_id']}/rotate")

    assert [secret["until"] for secret in made["view"]["secrets"]] == [None, "2026-11-23T03:00:00Z"]
    desk.ring.pass_s(3_599)
    assert await desk.holder(old) == await desk.holder(made["key"])
    desk.ring.pass_s(1)
    assert (await desk.holder(made["key"])).name == f"key web-fleet ({view['key_id']})"
    with pytest.raises(Unauthenticated):
        await desk.holder(old)


async def test_a_second_rotation_within_the_hour_ends_the_oldest_secret_at_once(desk: Desktop) -> None:
    oldest, view = await desk.make()
    older, newest = [(await desk.ask("POST", f"/keys/{view['key_id']}/rotate"))["key"] for _ in range(2)]

    assert await desk.holder(older) == await desk.holder(newest)
    with pytest.raises(Unauthenticated):
        await desk.holder(oldest)


async def test_a_revoked_key_lets_nobody_in_and_stays_in_the_list(desk: Desktop) -> None:
    key, view = await desk.make()
    desk.ring.pass_s(5)
    revoked = await desk.ask("DELETE", f"/keys/{view['key_id']}")
    desk.ring.pass_s(5)
    again = await desk.ask("DELETE", f"/keys/{view['key_id']}")

    assert revoked == again == view | {"revoked_at": "2026-11-23T02:00:05Z", "secrets": []}
    assert revoked in (await desk.ask("GET", "/keys"))["items"]
    with pytest.raises(Unauthenticated):
        await desk.holder(key)
    row = desk.ring.table.rows[f"apikey#{view['key_id']}", "apikey"]
    assert row["ttl"] == {"N": "1826935205"}  # a year after it was revoked


@pytest.mark.parametrize("end", ["revoke", "expire"])
async def test_a_key_that_has_ended_is_not_rotated(desk: Desktop, end: str) -> None:
    _, view = await desk.make(expires_in_s=60)
    desk.ring.pass_s(60 if end == "expire" else 0)
    if end == "revoke":
        await desk.ask("DELETE", f"/keys/{view['key_id']}")

    assert "make another" in (await desk.ask("POST", f"/keys/{view['key_id']}/rotate", 422))["detail"]


async def test_each_change_is_written_with_who_did_it_and_from_where(desk: Desktop) -> None:
    _, view = await desk.make()
    await desk.ask("POST", f"/keys/{view['key_id']}/rotate", headers={"X-Request-Id": "r-1"})
    for _ in range(2):
        await desk.ask("DELETE", f"/keys/{view['key_id']}")

    deeds = deeds_of(desk.ring.table)
    assert sorted(deed.kind for deed in deeds) == sorted(
        [DeedKind.KEY_CREATED, DeedKind.KEY_ROTATED, DeedKind.KEY_REVOKED]
    )
    assert {(deed.about, deed.by[:8], deed.role, deed.address) for deed in deeds} == {
        (view["key_id"], "key ann ", Role.ADMIN, "127.0.0.1")
    }
    assert "r-1" in {deed.request_id for deed in deeds}


async def test_a_key_is_written_down_in_few_words_and_without_what_looks_like_a_secret(desk: Desktop) -> None:
    await desk.make(name="web password:hunter2", streams=[f"rack-{number}-of-hall-1:*" for number in range(20)])

    (deed,) = deeds_of(desk.ring.table)
    assert deed.detail["name"] == "web password:[hidden]"
    assert (len(deed.detail["streams"]), deed.detail["streams"][-1]) == (300, "…")


async def test_a_change_that_somebody_was_faster_with_is_made_on_top_of_theirs(desk: Desktop) -> None:
    _, view = await desk.make()
    lost = aws_error("TransactionCanceledException", CancellationReasons=[{"Code": "ConditionalCheckFailed"}])
    desk.ring.table.failures["TransactWriteItems"].append(lost)

    assert (await desk.ask("DELETE", f"/keys/{view['key_id']}"))["revoked_at"] is not None


async def test_a_key_that_a_newer_program_wrote_more_of_can_be_revoked(desk: Desktop) -> None:
    _, view = await desk.make()
    row = desk.ring.table.rows[f"apikey#{view['key_id']}", "apikey"]
    row["doc"]["S"] = row["doc"]["S"].replace("{", '{"colour": "red", ', 1)

    assert (await desk.ask("DELETE", f"/keys/{view['key_id']}"))["revoked_at"] is not None


@pytest.mark.parametrize(("role", "status"), [("agent", 403), ("viewer", 403), ("operator", 403), ("admin", 200)])
async def test_only_an_admin_sees_keys(desk: Desktop, role: Role, status: int) -> None:
    async with client_of(an_app(), desk.ring.add(Role(role))) as client:
        await desk.ask("GET", "/keys", status, client=client)
        await desk.ask("POST", "/keys", 201 if status == 200 else status, client=client, json=BODY)


async def test_an_admin_of_some_streams_reaches_no_further(desk: Desktop) -> None:
    _, everything = await desk.make(streams=["*"])
    async with client_of(an_app(), desk.ring.add(Role.ADMIN, streams=("web-*", "db-1:sda"))) as client:
        for beyond in (["*"], ["w*"], ["db-*"], ["db-1:sda*"], ["web-1*", "db-2:sda"]):
            await desk.ask("POST", "/keys", 403, client=client, json=BODY | {"streams": beyond})
        for within in (["web-*"], ["web-1*", "db-1:sda"]):
            await desk.ask("POST", "/keys", 201, client=client, json=BODY | {"streams": within})
        await desk.ask("POST", f"/keys/{everything['key_id']}/rotate", 403, client=client)
        await desk.ask("DELETE", f"/keys/{everything['key_id']}", 403, client=client)
        listed = await desk.ask("GET", "/keys", client=client)

    assert everything["key_id"] not in {key["key_id"] for key in listed["items"]}
    assert len(listed["items"]) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\x1b[31m"},
        {"name": "x" * 65},
        {"role": "root"},
        {"streams": []},
        {"streams": ["web-*-1"]},
        {"streams": [f"web-{number}" for number in range(21)]},
        {"expires_in_s": 0},
        {"expires_in_s": 10**10},
        {"colour": "red"},
    ],
    ids=str,
)
async def test_a_key_that_makes_no_sense_is_refused(desk: Desktop, wrong: dict[str, Any]) -> None:
    await desk.ask("POST", "/keys", 422, json=BODY | wrong)
    assert len(desk.ring.table.of_type("apikey")) == 1


async def test_a_key_that_is_not_there_or_cannot_be_read_is_a_404(desk: Desktop) -> None:
    desk.ring.table.add(items.api_key_key("damaged") | {"doc": {"S": "{"}})
    for key_id in ("nobody", "damaged"):
        await desk.ask("DELETE", f"/keys/{key_id}", 404)
        await desk.ask("POST", f"/keys/{key_id}/rotate", 404)


async def test_while_the_table_is_away_nothing_is_shown_as_made(desk: Desktop) -> None:
    await desk.ask("GET", "/keys")
    desk.ring.table.failures["TransactWriteItems"].append(aws_error("ThrottlingException"))

    assert "key" not in await desk.ask("POST", "/keys", 503, json=BODY)
