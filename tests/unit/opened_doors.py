"""The doors of other senders, open on a fake table and a fake queue, and what those send."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from google.protobuf import json_format

from iops import items
from iops.observability import Metrics
from iops.web import Health, create_service, running
from services.ingest import doors, routes
from services.ingest.limits import Limits
from services.ingest.notify import ScoringNotifier
from services.ingest.register import Registry
from services.ingest.settings import IngestSettings
from services.ingest.store import GroupCommit
from tests.unit.builders import AT_MS, DISK, clock_at
from tests.unit.door_bodies import HEADERS, counters_at, disk_series, otlp_request, packed, write_request
from tests.unit.fakes import FakeQueue, FakeTable

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


class Service:
    """Both doors on a fake table and a fake queue."""

    def __init__(self) -> None:
        self.table, self.queue, self.client = FakeTable(), FakeQueue(), httpx.AsyncClient()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        settings = IngestSettings(
            stream_burst=10**6, store_deadline_s=0.1, store_wait_s=0.5, body_timeout_s=0.2, store_linger_ms=0
        )
        metrics, health = Metrics(), Health()
        table = self.table.table()
        commit = GroupCommit(table, settings, metrics)
        notifier = ScoringNotifier(self.queue.queue(), metrics)
        registry = Registry(table, clock_at(), limit=100, wait_s=5)
        ingest = routes.Ingest(settings, clock_at(), commit, registry, notifier, Limits(settings))

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            app.state.doors = doors.Doors(ingest, table, metrics)
            async with running(health, commit=commit.run(), notifier=notifier.run()):
                yield

        quick = {"/v1/metrics": doors.post_otlp, "/api/v1/write": doors.post_remote_write}
        app = create_service(
            "ingest",
            routers=[doors.router],
            lifespan=lifespan,
            metrics=metrics,
            health=health,
            quick=quick,
            settings=settings,
        )
        async with (
            LifespanManager(app, startup_timeout=30),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as self.client,
        ):
            yield

    async def write(self, content: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/api/v1/write", content=content, headers=HEADERS | named)

    async def export(self, content: bytes, headers: dict[str, str]) -> httpx.Response:
        return await self.client.post("/v1/metrics", content=content, headers=headers)

    def instants(self, stream_id: str = DISK) -> list[int]:
        rows = [row for row in self.table.of_type("chunk") if row["entity_id"]["S"] == stream_id]
        return sorted(at_ms for row in rows for at_ms in items.item_to_window(row).at_ms)

    async def metric(self, line: str) -> bool:
        return line in (await self.client.get("/internal/metrics")).text.splitlines()


SECONDS = [counters_at(AT_MS + 1_000 * second, second) for second in range(4)]


def a_write(first: int = 0, last: int = 4, **fields: Any) -> bytes:
    return packed(write_request(disk_series(*SECONDS[first:last], **fields)))


def an_export(first: int = 0, last: int = 4, **fields: Any) -> bytes:
    content: bytes = otlp_request(*SECONDS[first:last], **fields).SerializeToString()
    return content


def an_export_in_json(first: int = 0, last: int = 4, **fields: Any) -> bytes:
    return json_format.MessageToJson(otlp_request(*SECONDS[first:last], **fields)).encode()
