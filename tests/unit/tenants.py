"""Two tenants in one table, each with one of everything, and the door as one of them sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

import httpx
from fastapi import FastAPI
from starlette.types import Scope

from iops import items
from iops.alert import Silence, SilenceScope
from iops.auth import Caller, Role
from iops.gate import CALLER
from iops.items import Item
from iops.observability import Metrics
from iops.web import routes_with_roles
from services.alerts import episode
from services.alerts.app import create_app as create_alerts
from services.alerts.docket import Docket
from services.alerts.routes import Alerts
from services.insights.analyse import Analyst
from services.insights.app import create_app as create_insights
from services.insights.chart import Charts
from services.insights.fleet import Fleet
from services.insights.fleet_routes import Watch
from services.insights.improve import Improver
from services.insights.routes import Insights
from services.insights.sparks import Sparks
from services.insights.strip import StripNumbers
from services.insights.system import Bureau
from services.insights.tell import Teller
from tests.unit.builders import AT, a_batch, an_insight
from tests.unit.fakes import FakeBus
from tests.unit.post import FakePost
from tests.unit.test_get_system import WELL, Office
from tests.unit.test_score import Scene
from tests.unit.words import an_explainer

WEB: Final = Caller("web team", Role.ADMIN, ("web-*",))
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
Route = tuple[str, str]  # method, and path as it is declared


class GateFor:
    """Lets one caller in."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def admit(self, scope: Scope, role: Role) -> Caller:
        assert self.caller.may(role)
        scope[CALLER] = self.caller
        return self.caller


@cache
def apps() -> tuple[FastAPI, FastAPI]:
    """Insights and alerts with every route that they have."""
    return create_insights(), create_alerts()


def routes() -> set[Route]:
    """Those that ask who is calling."""
    found = [(method, route) for app in apps() for route, role in routes_with_roles(app) if role for method in METHODS]
    return {(method, str(route.path)) for method, route in found if method in (route.methods or ())}


@dataclass(frozen=True)
class Things:
    """The names of what a tenant has."""

    stream_id: str
    insight_id: str
    alert_id: str
    silence_id: str


NO_STRIP: Final = StripNumbers(None, None, None, "local", "template")
NOTHING: Final = Things("web-9:sda", "01NOTHING", "feedfeedfeedfeed", "01NOTHING")


class House:
    """Both services on one table in memory."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.table = self.scene.fake
        table, clock, metrics = self.table.table(), self.scene.clock, Metrics()
        explainer = an_explainer(metrics=metrics)
        teller = Teller(table, clock, metrics, Improver(table, explainer, clock, metrics, sets_risk=lambda: False))
        insights, alerts = apps()
        insights.state.insights = Insights(table, clock)
        sparks = Sparks(table, clock, peek=lambda _: None)
        self.watch = insights.state.watch = Watch(Fleet(table, clock), sparks, clock, a_strip)
        self.office = Office(*WELL)
        insights.state.system = Bureau(self.office.survey, None)
        insights.state.charts = Charts(table, self.watch.fleet, clock)
        insights.state.analyst = Analyst(
            table, self.scene.scorer, teller, explainer, clock=clock, sets_risk=lambda: False
        )
        alerts.state.alerts = Alerts(table, clock, ["bus"])
        alerts.state.redrive = FakePost().redrive(FakeBus())

    async def move_in(self, host: str) -> Things:
        """A tenant with a disk, an insight of it, an alert, and a silence that its operator made."""
        insight = an_insight(f"{host}:sda", peer_group=host)
        silence = Silence(
            silence_id=f"01{host.upper()}",
            scope=SilenceScope.STREAM,
            value=insight.stream_id,
            begins_at=AT,
            ends_at=AT + timedelta(hours=1),
            reason="a restore",
            created_by="somebody",
        )
        await self.scene.add_stream(insight.stream_id)
        self.table.add(items.insight_item(insight), items.silence_item(silence))
        docket = Docket(self.table.table(), ["bus"], now=AT)
        step = episode.take(insight, None, silenced_until=None, now=AT)
        assert step is not None
        await docket.take(step)
        await docket.commit()
        return Things(insight.stream_id, insight.insight_id, step.alert.alert_id, silence.silence_id)

    async def add_stream(self, stream_id: str, *, second: int = 0) -> None:
        now_ms = 1_000 * (int(AT.timestamp()) + second)
        await self.table.table().update(items.stream_seen_update(a_batch(stream_id), now_ms=now_ms))

    async def ask(
        self,
        method: str,
        path: str,
        *,
        caller: Caller = WEB,
        body: Any = None,
        headers: dict[str, str] | None = None,
        **params: Any,
    ) -> httpx.Response:
        """The answer of whichever service has the path."""
        app = apps()[path.startswith("/alerts")]
        app.state.gate = GateFor(caller)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await client.request(method, path, json=body, params=params or None, headers=headers)

    async def list(self, path: str, *, caller: Caller = WEB, **params: Any) -> tuple[list[Any], list[str]]:
        """What all pages have, and the cursors between them."""
        found: list[Any] = []
        cursors: list[str] = []
        while True:
            answer = await self.ask("GET", path, caller=caller, **params | ({"cursor": cursors[-1]} if cursors else {}))
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            if answer.json()["cursor"] is None:
                return found, cursors
            cursors.append(answer.json()["cursor"])
            assert len(cursors) < 1_000, "the list does not end"

    def rows(self) -> dict[Any, Item]:
        return {key: dict(row) for key, row in self.table.rows.items()}


async def a_strip(caller: Caller) -> StripNumbers:
    """What stands above every fleet."""
    return StripNumbers(12.5, 0.02, 1.0, "local", "template") if caller.sees_all else NO_STRIP


def names_of(found: Iterable[Any]) -> set[str]:
    """Of streams, insights, alerts or silences: what they are about."""
    return {each.get("stream_id") or each["value"] for each in found}
