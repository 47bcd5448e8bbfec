"""The read API on streams whose samples lie in a table in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

import httpx
from fastapi import FastAPI

from iops import items
from iops.alert import Alert
from iops.auth import Caller, Role
from iops.clock import to_epoch_ms
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.telemetry import Window
from iops.web import Health, create_service
from services.insights.fleet import Fleet
from services.insights.prometheus import routes
from services.insights.prometheus.ask import ReadApi
from tests.unit.builders import AT, a_batch, a_finding, clock_at
from tests.unit.fakes import FakeTable
from tests.unit.routed import nothing_to_open
from tests.unit.tenants import GateFor

EVERYBODY: Final = Caller("somebody", Role.VIEWER)


@cache
def an_app() -> FastAPI:
    """The doors alone; made once."""
    parts: dict[str, Any] = {"lifespan": nothing_to_open, "metrics": Metrics(), "health": Health()}
    return create_service("test", routers=[routes.router], settings=ServiceSettings(), **parts)


@dataclass(frozen=True, slots=True)
class Door:
    """The doors, and what is behind them."""

    table: FakeTable
    fleet: Fleet
    client: httpx.AsyncClient

    async def add(self, stream_id: str, *windows: Window, risk_score: float | None = None, **fields: Any) -> None:
        """A stream with its samples; with a risk, scored at AT."""
        table, now_ms = self.table.table(), to_epoch_ms(AT)
        await table.update(items.stream_seen_update(a_batch(stream_id, **fields), now_ms=now_ms))
        self.table.add(*(row for window in windows for row in items.chunk_items(stream_id, window)))
        if risk_score is not None:
            stream = items.item_to_stream(self.table.rows[(stream_id, "stream")])
            await table.update(items.stream_scored_update(stream, a_finding(risk_score=risk_score), now_ms=now_ms))

    def alert(self, *alerts: Alert) -> None:
        self.table.add(*(items.alert_put(alert)["Item"] for alert in alerts))

    async def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        status: int = 200,
        match: str | list[str] | None = None,
        **parameters: Any,
    ) -> Any:
        """What is answered; of a success, its data."""
        await self.fleet.look_once()
        said: dict[str, Any] = parameters | ({"match[]": match} if match else {})
        is_get = method == "GET"
        answer = await self.client.request(
            method, f"/api/v1/{path}", params=said if is_get else None, data=None if is_get else said
        )
        assert answer.status_code == status, answer.text
        return answer.json()["data"] if status == 200 else answer.json()

    async def values(self, query: str, *, at: datetime = AT) -> dict[str, float]:
        """By the stream of each series; its other labels stand in the answer."""
        found = (await self.ask("query", query=query, time=at.timestamp()))["result"]
        return {each["metric"].get("stream", ""): float(each["value"][1]) for each in found}


@asynccontextmanager
async def a_door(*, now: datetime = AT, caller: Caller = EVERYBODY) -> AsyncIterator[Door]:
    table, app = FakeTable(), an_app()
    fleet = Fleet(table.table(), clock_at(now))
    app.state.prometheus, app.state.gate = ReadApi(table.table(), fleet, clock_at(now)), GateFor(caller)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield Door(table, fleet, client)


def named(found: Iterable[dict[str, Any]]) -> list[str]:
    """The streams of some label sets, in order."""
    return [each["stream"] for each in found]
