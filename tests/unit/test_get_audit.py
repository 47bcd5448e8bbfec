"""Who may read who changed what, and that no route changes it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from iops import items
from iops.audit import DeedKind
from iops.auth import Caller, Role
from iops.errors import Forbidden
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.web import Health, create_service, routes_with_roles
from services.alerts import acts, silencing
from services.alerts import routes as alerts_routes
from services.insights import audit, routes
from tests.unit.builders import AT, a_deed, clock_at
from tests.unit.fakes import FakeTable
from tests.unit.routed import nothing_to_open

ADMIN = Caller("ann", Role.ADMIN)
KINDS = (DeedKind.KEY_CREATED, DeedKind.SILENCE_MADE, DeedKind.KEY_CREATED)


class FixedGate:
    """Whoever comes is this one."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def admit(self, _: Any, role: Role) -> Caller:
        if not self.caller.may(role):
            raise Forbidden("no")
        return self.caller


@cache
def an_app() -> FastAPI:
    return create_service(
        "test",
        routers=[audit.router, routes.router, silencing.router, acts.router, alerts_routes.router],
        lifespan=nothing_to_open,
        metrics=Metrics(),
        health=Health(),
        settings=ServiceSettings(),
    )


class Archive:
    """Three deeds, and somebody who asks for them."""

    def __init__(self) -> None:
        self.table = FakeTable()
        an_app().state.insights = routes.Insights(self.table.table(), clock_at())
        an_app().state.alerts = alerts_routes.Alerts(self.table.table(), clock_at(), ["bus"])
        self.come(ADMIN)
        for number, kind in enumerate(KINDS):
            at, by = AT + timedelta(seconds=number), "ann" if number else "bob"
            deed = a_deed(f"{number}", at=at, kind=kind, about=f"thing {number}", by=by)
            self.table.add(items.deed_put(deed)["Item"])
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(an_app()), base_url="http://127.0.0.1")

    def come(self, caller: Caller) -> None:
        an_app().state.gate = FixedGate(caller)

    async def ids(self, **params: Any) -> tuple[str, str | None]:
        answer = await self.client.get("/audit", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        return "".join(deed["deed_id"] for deed in page["items"]), page["cursor"]


@pytest.fixture
async def archive() -> AsyncIterator[Archive]:
    archive = Archive()
    async with archive.client:
        yield archive


async def test_deeds_are_listed_newest_first_page_by_page(archive: Archive) -> None:
    first, cursor = await archive.ids(limit=2)
    second, end = await archive.ids(limit=2, cursor=cursor)

    assert (first, second, end) == ("21", "0", None)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"kind": "key_created"}, "20"),
        ({"by": "ann"}, "21"),
        ({"about": "thing 1"}, "1"),
        ({"by": "ann", "kind": "key_created"}, "2"),
        ({"by": "an"}, ""),
    ],
    ids=str,
)
async def test_deeds_are_found_by_kind_thing_and_name(archive: Archive, params: dict[str, str], found: str) -> None:
    assert await archive.ids(**params) == (found, None)


@pytest.mark.parametrize(
    "caller", [*(Caller("x", role) for role in Role if role is not Role.ADMIN), Caller("x", Role.ADMIN, ("web-*",))]
)
async def test_only_an_admin_who_sees_all_streams_reads_them(archive: Archive, caller: Caller) -> None:
    archive.come(caller)

    answer = await archive.client.get("/audit")

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ["/streams/audit%231", "/insights/audit%231", "/alerts/audit%231", "/audit/1"])
async def test_no_other_route_reads_them(archive: Archive, path: str) -> None:
    assert (await archive.client.get(path)).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/audit", "/audit/1", "/alerts/silences/audit%231", "/alerts/audit%231/resolve"])
async def test_no_route_changes_or_deletes_one_not_even_for_an_admin(archive: Archive, method: str, path: str) -> None:
    before = dict(archive.table.rows)

    answer = await archive.client.request(method, path, json={} if method == "POST" else None)

    assert answer.status_code in (404, 405)
    assert archive.table.rows == before


def test_the_only_route_of_the_audit_reads() -> None:
    found = [(route.path, route.methods, role) for route, role in routes_with_roles(an_app())]

    assert [each for each in found if each[0] and "audit" in each[0]] == [("/audit", {"GET"}, Role.ADMIN)]


@pytest.mark.parametrize("params", [{"kind": "x"}, {"by": ""}, {"about": "x" * 201}, {"limit": 0}, {"cursor": "x"}])
async def test_what_cannot_be_asked_is_a_problem(archive: Archive, params: dict[str, Any]) -> None:
    assert (await archive.client.get("/audit", params=params)).status_code in (400, 422)


async def test_a_damaged_row_hides_no_other(archive: Archive) -> None:
    archive.table.rows["audit#1", "audit"]["doc"] = {"S": "{"}

    assert await archive.ids() == ("20", None)
