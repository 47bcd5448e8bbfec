"""Keys against a real table: made by one replica, held, rotated and revoked on another, through the real door."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager

from iops import clock, items
from iops.auth import Role
from iops.keys import ApiKey, keep, new_key, new_key_id
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from services.insights.app import create_app
from services.insights.settings import InsightsSettings
from tests.integration.stand_ins import Cloud
from tests.secret_documents import the_peppers, write_secrets

BODY: dict[str, Any] = {"name": "web-fleet", "role": "viewer", "streams": ["*"]}


class Time:
    """The wall clock, some while ahead; the replicas' monotonic clocks go on as they are."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return clock.now() + self.ahead


class Replicas:
    """Two of insights, each with its own ring, on one table."""

    def __init__(self, apps: list[Any], time: Time, table: Table, admin: str) -> None:
        self.time, self.table, self._apps, self._admin = time, table, apps, admin

    async def ask(self, replica: int, method: str, path: str, status: int, *, key: str = "", **request: Any) -> Any:
        transport = httpx.ASGITransport(self._apps[replica])
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.request(method, path, headers={"X-API-Key": key or self._admin}, **request)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def status(self, replica: int, key: str) -> int:
        transport = httpx.ASGITransport(self._apps[replica])
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/streams", headers={"X-API-Key": key})).status_code

    def pass_s(self, seconds: float) -> None:
        """On every clock: also what the rings remember is older by then."""
        self.time.ahead += timedelta(seconds=seconds)
        for app in self._apps:
            ring = app.state.gate.keys
            before = ring._monotonic_s
            ring._monotonic_s = lambda before=before: before() + seconds

    async def used_at(self, key: str) -> datetime | None:
        row = await self.table.get(items.api_key_key(key[5:21]))
        assert row is not None
        return items.item_to_api_key(row).last_used_at


@pytest.fixture
async def replicas(cloud: Cloud, tmp_path: Any) -> AsyncIterator[Replicas]:
    settings = InsightsSettings(
        aws_endpoint_url=cloud.endpoint_url, auth="on", secrets_file=write_secrets(tmp_path / "secrets.json")
    )
    time, key_id = Time(), new_key_id(secrets.token_bytes)
    admin = new_key(key_id, secrets.token_bytes)
    kept = ApiKey(
        key_id=key_id,
        name="ann",
        role=Role.ADMIN,
        secrets=(keep(admin.encode(), the_peppers().current),),
        created_at=time(),
        created_by="a test",
    )
    apps = [create_app(settings, now=time) for _ in range(2)]
    async with (
        open_table(ServiceSettings(aws_endpoint_url=cloud.endpoint_url)) as table,
        LifespanManager(apps[0], startup_timeout=30),
        LifespanManager(apps[1], startup_timeout=30),
    ):
        await table.transact([{"Put": items.api_key_put(kept, replaces=None)}])
        yield Replicas(apps, time, table, admin)


async def test_a_key_lives_from_its_making_to_its_end_on_every_replica(replicas: Replicas) -> None:
    made = await replicas.ask(0, "POST", "/keys", 201, json=BODY)
    first, path = made["key"], f"/keys/{made['view']['key_id']}"
    assert [await replicas.status(replica, first) for replica in (0, 1)] == [200, 200]

    second = (await replicas.ask(1, "POST", f"{path}/rotate", 200))["key"]
    replicas.pass_s(1)
    assert [await replicas.status(0, key) for key in (first, second)] == [200, 200]
    replicas.pass_s(3_590)
    assert [await replicas.status(1, key) for key in (first, second)] == [200, 200]
    replicas.pass_s(10)
    assert [await replicas.status(0, key) for key in (first, second)] == [401, 200]

    await replicas.ask(0, "DELETE", path, 200)
    again = await replicas.ask(1, "DELETE", path, 200)
    replicas.pass_s(60)
    assert [await replicas.status(replica, second) for replica in (0, 1)] == [401, 401]
    listed = (await replicas.ask(1, "GET", "/keys", 200))["items"]
    assert listed[0] == again
    assert [key["name"] for key in listed] == ["web-fleet", "ann"]
    await replicas.ask(1, "POST", f"{path}/rotate", 422)


async def test_a_revoked_key_ends_on_a_replica_that_remembers_it_within_a_minute(replicas: Replicas) -> None:
    made = await replicas.ask(0, "POST", "/keys", 201, json=BODY)
    assert await replicas.status(1, made["key"]) == 200
    await replicas.ask(0, "DELETE", f"/keys/{made['view']['key_id']}", 200)

    replicas.pass_s(60)
    assert await replicas.status(1, made["key"]) == 401


async def test_a_key_expires_everywhere_at_its_instant(replicas: Replicas) -> None:
    made = await replicas.ask(0, "POST", "/keys", 201, json=BODY | {"expires_in_s": 30})
    assert await replicas.status(1, made["key"]) == 200

    replicas.pass_s(30)
    assert [await replicas.status(replica, made["key"]) for replica in (0, 1)] == [401, 401]


async def test_a_use_is_noted_once_an_hour_whichever_replica_sees_it(replicas: Replicas) -> None:
    key = (await replicas.ask(0, "POST", "/keys", 201, json=BODY))["key"]
    await replicas.status(0, key)
    first = await replicas.used_at(key)
    assert first is not None
    replicas.pass_s(1_800)
    await replicas.status(1, key)
    assert await replicas.used_at(key) == first
    replicas.pass_s(1_900)
    await replicas.status(0, key)
    assert await replicas.used_at(key) != first


async def test_each_change_left_a_row_that_says_who_did_it(replicas: Replicas) -> None:
    made = await replicas.ask(0, "POST", "/keys", 201, json=BODY)
    path = f"/keys/{made['view']['key_id']}"
    await replicas.ask(1, "POST", f"{path}/rotate", 200)
    await replicas.ask(0, "DELETE", path, 200)

    rows = await replicas.table.query(items.list_query("audit", limit=100, oldest_first=True))
    deeds = [items.item_to_deed(row) for row in rows]
    assert [deed.kind.value for deed in deeds] == ["key_created", "key_rotated", "key_revoked"]
    assert {(deed.about, deed.role) for deed in deeds} == {(made["view"]["key_id"], Role.ADMIN)}
    assert made["key"][22:] not in str(rows)


async def test_whoever_is_no_admin_is_refused_and_whoever_is_nobody_is_asked_who_they_are(replicas: Replicas) -> None:
    viewer = (await replicas.ask(0, "POST", "/keys", 201, json=BODY))["key"]

    assert (await replicas.ask(1, "GET", "/keys", 403, key=viewer))["code"] == "forbidden"
    assert (await replicas.ask(1, "POST", "/keys", 403, key=viewer, json=BODY))["code"] == "forbidden"
    assert (await replicas.ask(1, "GET", "/keys", 401, key="iops_nobody"))["code"] == "unauthenticated"
