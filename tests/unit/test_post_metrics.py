"""POST /metrics as a sender sees it: 202 when the table has it, else an answer that says what to do."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI

from iops import items
from iops.bus import parse_scoring_request
from iops.observability import Metrics
from iops.web import Health, create_service, running
from services.ingest import routes
from services.ingest.limits import Limits
from services.ingest.notify import ScoringNotifier
from services.ingest.register import Registry
from services.ingest.settings import IngestSettings
from services.ingest.store import GroupCommit
from tests.unit.builders import AT, AT_MS, DISK, a_batch, a_sample, clock_at, some_samples
from tests.unit.fakes import FakeQueue, FakeTable, aws_error


class Door:
    """The service on a fake table and a fake queue."""

    def __init__(self) -> None:
        self.table, self.queue, self.client = FakeTable(), FakeQueue(), httpx.AsyncClient(verify=False, trust_env=False)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        settings = IngestSettings(store_deadline_s=0.1, store_wait_s=0.5, body_timeout_s=0.2, store_linger_ms=0)
        metrics, health = Metrics(), Health()
        commit = GroupCommit(self.table.table(), settings, metrics)
        notifier = ScoringNotifier(self.queue.queue(), metrics)
        registry = Registry(self.table.table(), clock_at(), limit=100, wait_s=5)

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            app.state.ingest = routes.Ingest(settings, clock_at(), commit, registry, notifier, Limits(settings))
            async with running(health, commit=commit.run(), notifier=notifier.run()):
                yield

        app = create_service(
            "ingest",
            routers=[routes.router],
            lifespan=lifespan,
            metrics=metrics,
            health=health,
            settings=settings,
            quick={"/metrics": routes.post_metrics},
        )
        async with (
            LifespanManager(app, startup_timeout=30),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", trust_env=False
            ) as self.client,
        ):
            yield

    async def post(self, body: bytes | Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post("/metrics", content=content, headers=headers)

    def samples(self) -> int:
        return sum(len(items.item_to_window(row)) for row in self.table.of_type("chunk"))


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    async with door.opened():
        yield door


def a_body(**fields: Any) -> Any:
    return json.loads(a_batch(**fields).model_dump_json())


async def test_what_is_acknowledged_lies_in_the_table_with_its_stream(door: Door) -> None:
    answer = await door.post(a_body(samples=some_samples(60)))

    assert (answer.status_code, answer.json()) == (202, {"accepted": 60})
    assert door.samples() == 60
    assert {sort.split("#")[0] for _, sort in door.table.rows} == {"chunk", "stream", "member"}


async def test_several_batches_gzipped_are_one_request(door: Door) -> None:
    body = {"batches": [a_body(stream_id=f"web-{number}:sda", samples=some_samples(3)) for number in range(5)]}

    answer = await door.post(gzip.compress(json.dumps(body).encode()), **{"content-encoding": "gzip"})

    assert (answer.status_code, answer.json()) == (202, {"accepted": 15})
    assert door.samples() == 15


async def test_the_same_body_twice_is_stored_once(door: Door) -> None:
    for _ in range(2):
        assert (await door.post(a_body(samples=some_samples(60)))).status_code == 202

    assert door.samples() == 60


async def test_the_peer_group_is_asked_to_be_scored_from_its_earliest_sample(door: Door) -> None:
    await door.post(a_body(samples=some_samples(60, begin=AT - timedelta(minutes=1))))
    async with asyncio.timeout(5):
        while not door.queue.sent:  # noqa: ASYNC110 - a fake has no event to wait for
            await asyncio.sleep(0.001)

    request = parse_scoring_request(door.queue.sent[0][1])
    assert (request.peer_group, request.since_ms) == ("web-1", AT_MS - 60_000)


BAD = {
    "broken JSON": (b'{"stream_id": "web-1:sda", "samples": [{', {}, 400),
    "unknown field": (a_body() | {"host": "web-1"}, {}, 422),
    "NaN": (json.dumps(a_body()).replace("210.0", "NaN").encode(), {}, 422),
    "1,001 samples": (a_body() | {"samples": [a_body()["samples"][0]] * 1_001}, {}, 422),
    "2 MiB": (b"x" * 2 * 1024 * 1024, {}, 413),
    "1 GiB in gzip": (gzip.compress(b"\0" * 16 * 1024 * 1024, 9), {"content-encoding": "gzip"}, 413),
    "next week": (a_body(samples=[a_sample(at=AT + timedelta(days=7))]), {}, 422),
    "empty batch": (a_body() | {"samples": []}, {}, 422),
    "600 characters": (a_body() | {"stream_id": "a" * 600}, {}, 422),
    "half a gzip": (gzip.compress(json.dumps(a_body()).encode())[:-9], {"content-encoding": "gzip"}, 400),
    "no gzip": (b"{}", {"content-encoding": "gzip"}, 400),
    "brotli": (b"{}", {"content-encoding": "br"}, 415),
    "one bad of two": ({"batches": [a_body(), a_body() | {"stream_id": ""}]}, {}, 422),
    "nothing": (b"", {}, 400),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_body_is_refused_nothing_of_it_stored_and_the_service_lives(door: Door, case: str) -> None:
    body, headers, status = BAD[case]

    answer = await door.post(body, **headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert door.table.rows == {}
    assert (await door.post(a_body())).status_code == 202


async def test_a_body_that_stops_half_way_is_a_408(door: Door) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b'{"stream_id": "web-1:sda",'
        await asyncio.Event().wait()

    answer = await door.client.post("/metrics", content=half())

    assert answer.status_code == 408
    assert door.table.rows == {}


@pytest.mark.parametrize("call", ["BatchWriteItem", "UpdateItem", "PutItem"])
async def test_a_table_that_is_away_asks_to_come_again_and_the_next_try_stores_it_once(door: Door, call: str) -> None:
    door.table.failures[call].extend([aws_error("ThrottlingException")] * (1_000 if call == "BatchWriteItem" else 1))

    answer = await door.post(a_body())

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "table_unavailable"
    door.table.failures.clear()
    assert (await door.post(a_body())).status_code == 202
    assert door.samples() == 1
    assert ("group#web-1", f"member#{DISK}") in door.table.rows


async def test_a_queue_that_is_away_keeps_nobody_from_storing(door: Door) -> None:
    door.queue.is_away = True

    assert (await door.post(a_body())).status_code == 202
    assert (await door.client.get("/health/ready")).status_code == 200
