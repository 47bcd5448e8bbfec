"""From stored samples to an insight: the scoring queue, the table and the routes, for real."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager

from iops import contract, items
from iops.bus import ScoringQueue, ScoringRequest
from iops.clock import now, to_epoch_ms
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from iops.telemetry import Sample, window_from_samples
from services.insights.app import create_app
from services.insights.settings import InsightsSettings
from tests.integration.examples import a_batch, a_sample, some_samples
from tests.integration.stand_ins import Cloud, wait_until

DISK = "web-1:nvme0n1"
STALLED: dict[str, Any] = {
    "read_iops": 0.0, "write_iops": 0.0, "read_bytes_s": 0.0, "write_bytes_s": 0.0, "read_await_ms": None,
    "write_await_ms": None, "in_flight": 8, "utilization_ratio": 1.0,
}  # fmt: skip


@pytest.fixture
async def table(settings: ServiceSettings) -> AsyncIterator[Table]:
    async with open_table(settings) as opened:
        yield opened


@asynccontextmanager
async def insights_service(url: str, *, aws_timeout_s: float = 1, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(InsightsSettings(aws_endpoint_url=url, aws_timeout_s=aws_timeout_s, **settings))
    async with LifespanManager(app, startup_timeout=30) as manager:
        transport = httpx.ASGITransport(app=manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client


async def store(table: Table, samples: Sequence[Sample], *, stream_id: str = DISK) -> None:
    """As ingest does."""
    batch = a_batch(stream_id, samples=samples)
    rows = items.chunk_items(stream_id, window_from_samples(samples))
    for start in range(0, len(rows), 25):
        await table.put_all(rows[start : start + 25], deadline_s=5)
    await table.update(items.stream_seen_update(batch, now_ms=to_epoch_ms(now())))
    await table.put(items.member_item(batch.group, stream_id))


async def ask(queue: ScoringQueue, *, since: datetime, peer_group: str = "web-1") -> None:
    assert await queue.send([ScoringRequest(peer_group=peer_group, since_ms=to_epoch_ms(since))]) == []


async def rows_of(table: Table, kind: str) -> list[items.Item]:
    return await table.query(items.list_query(kind, limit=100))


async def wait_for_messages(client: httpx.AsyncClient, count: int, *, outcome: str = "scored") -> None:
    async def is_reached() -> bool:
        return await messages(client, outcome) >= count

    await wait_until(is_reached)


async def messages(client: httpx.AsyncClient, outcome: str = "scored") -> float:
    """How many scoring messages ended so."""
    text = (await client.get("/internal/metrics")).text
    name = f'iops_scoring_messages_total{{outcome="{outcome}"}}'
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def a_stall(*, ago_s: float = 30) -> tuple[Sample, ...]:
    """A healthy half minute, then 20 s in which nothing completes, until `ago_s` ago."""
    begin = now() - timedelta(seconds=ago_s + 50)
    return (*some_samples(30, begin=begin), *some_samples(20, begin=begin + timedelta(seconds=30), **STALLED))


async def test_a_stall_becomes_an_insight_with_its_outbox_row(cloud: Cloud, table: Table, queue: ScoringQueue) -> None:
    samples = a_stall()
    await store(table, samples)
    async with insights_service(cloud.endpoint_url) as client:
        await ask(queue, since=samples[0].at)
        await wait_for_messages(client, 1)
        await ask(queue, since=samples[0].at)  # delivered twice, as SQS may
        await wait_for_messages(client, 2)
        listed = (await client.get("/insights/recent?min_risk=80")).json()["items"]
        shown = (await client.get(f"/streams/{DISK}")).json()
        one = (await client.get(f"/insights/{listed[0]['insight_id']}")).json()

    assert [(insight["stream_id"], insight["prediction_type"]) for insight in listed] == [(DISK, "stall")]
    assert listed[0]["facts"][0]["value"] == 20
    assert one == listed[0] | {"feedback": []}
    assert (shown["prediction_type"], shown["insight_id"], shown["warming_up"]) == ("stall", one["insight_id"], True)
    assert [items.item_to_insight(row).insight_id for row in await rows_of(table, "outbox")] == [one["insight_id"]]


async def test_two_replicas_that_score_at_once_write_one_insight(
    cloud: Cloud, table: Table, queue: ScoringQueue
) -> None:
    samples = a_stall()
    for number in range(6):
        await store(table, samples, stream_id=f"web-1:nvme{number}n1")
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(insights_service(cloud.endpoint_url)) for _ in range(2)]
        for _ in range(8):
            await ask(queue, since=samples[0].at)

        async def is_done() -> bool:
            return sum([await messages(client) for client in services]) >= 8

        await wait_until(is_done)

    assert len(await rows_of(table, "insight")) == len(await rows_of(table, "outbox")) == 6


async def test_a_poison_message_is_buried_and_the_rest_is_scored(
    cloud: Cloud, table: Table, queue: ScoringQueue
) -> None:
    samples = a_stall()
    await store(table, samples)
    for poison in ("not json", "{}", '{"peer_group": "a b", "since_ms": -1}', "[" * 10_000):
        url = cloud.queue_url(contract.SCORING_QUEUE)
        await cloud.call("sqs", "send_message", QueueUrl=url, MessageBody=poison)
    await ask(queue, since=samples[0].at)

    async with insights_service(cloud.endpoint_url) as client:
        await wait_for_messages(client, 1)

    dead = cloud.queue_url(contract.SCORING_DEAD_LETTERS)
    reply = await cloud.call("sqs", "receive_message", QueueUrl=dead, MaxNumberOfMessages=10)
    assert len(reply["Messages"]) == 4
    assert len(await rows_of(table, "insight")) == 1


async def test_a_damaged_chunk_hides_neither_the_stream_nor_its_stall(
    cloud: Cloud, table: Table, queue: ScoringQueue
) -> None:
    samples = a_stall()
    await store(table, samples)
    key = f"chunk#{to_epoch_ms(now()):013d}#00000000"
    await table.put(items.key_of(DISK, key) | {"data": {"B": b"\x01nonsense"}})

    async with insights_service(cloud.endpoint_url) as client:
        await ask(queue, since=samples[0].at)
        await wait_for_messages(client, 1)
        listed = (await client.get("/streams")).json()["items"]
        broken = await client.get(f"/streams/{DISK}/samples")

    assert [stream["stream_id"] for stream in listed] == [DISK]
    assert len(await rows_of(table, "insight")) == 1
    assert (broken.status_code, broken.json()["code"]) == (500, "damaged_chunk")
    assert key in broken.json()["detail"]


async def test_a_scoring_that_meets_no_table_comes_again(cloud: Cloud, table: Table, queue: ScoringQueue) -> None:
    async with insights_service(cloud.endpoint_url) as client:
        await cloud.call("dynamodb", "delete_table", TableName=contract.TABLE_NAME)
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/streams")).json()["code"] == "table_unavailable"
        samples = a_stall()
        await ask(queue, since=samples[0].at)
        await wait_for_messages(client, 1, outcome="put_off")
        await cloud.call("dynamodb", "create_table", **contract.table_schema())
        await store(table, samples)
        await wait_for_messages(client, 1)

    assert len(await rows_of(table, "insight")) == 1


async def test_a_stall_of_this_morning_pages_nobody(cloud: Cloud, table: Table, queue: ScoringQueue) -> None:
    samples = a_stall(ago_s=3 * 3600)
    await store(table, samples)
    async with insights_service(cloud.endpoint_url) as client:
        await ask(queue, since=samples[0].at)
        await wait_for_messages(client, 1)

    assert await rows_of(table, "insight") == []


def minutes_of_history(*, from_h: float, to_h: float) -> list[Sample]:
    """One healthy sample in two minutes, from `from_h` hours ago until `to_h` hours ago."""
    earliest = now() - timedelta(hours=from_h)
    begin = earliest.replace(minute=earliest.minute // 2 * 2, second=30, microsecond=0)
    return [
        a_sample(at=begin + timedelta(minutes=minute), interval_s=60.0)
        for minute in range(0, round(60 * (from_h - to_h)), 2)
    ]


@pytest.mark.parametrize(
    ("parts_h", "expected_minutes"),
    [
        ([(5, 0)], 150),
        ([(5, 4), (4, 0)], 150),
        ([(5, 4), (4, 2), (0.04, 0)], 91),  # nothing of the last hour until the end
        ([(25, 20), (25.01, 0)], 720),  # a message that speaks of more than the day that counts
    ],
)
async def test_history_counts_whatever_the_order_of_its_parts(
    cloud: Cloud, table: Table, queue: ScoringQueue, parts_h: list[tuple[float, float]], expected_minutes: int
) -> None:
    async with insights_service(cloud.endpoint_url) as client:
        for index, (from_h, to_h) in enumerate(parts_h, start=1):
            samples = minutes_of_history(from_h=from_h, to_h=to_h)
            await store(table, samples)
            await ask(queue, since=samples[0].at)
            await wait_for_messages(client, index)
        stream = (await client.get(f"/streams/{DISK}")).json()

    baseline = await table.get(items.key_of(DISK, "baseline"))
    assert baseline is not None
    assert stream["warming_up"] is False
    assert items.item_to_baseline(baseline).minutes == pytest.approx(expected_minutes, abs=2)


async def test_samples_are_answered_for_any_range(cloud: Cloud, table: Table) -> None:
    end = now().replace(microsecond=0)
    await store(table, some_samples(600, begin=end - timedelta(seconds=599)))
    async with insights_service(cloud.endpoint_url) as client:

        async def read(**query: Any) -> tuple[int, int]:
            reply = (await client.get(f"/streams/{DISK}/samples", params=query)).json()
            return len(reply["items"]), reply["stored"]

        assert await read() == (600, 600)
        begin = (end - timedelta(seconds=9)).isoformat()
        assert await read(**{"from": begin, "to": end.isoformat()}) == (10, 10)
        points, stored = await read(max_points=50)
        assert (5 <= points <= 50, stored) == (True, 600)
        far = {"from": (end - timedelta(hours=3)).isoformat(), "to": (end - timedelta(hours=2)).isoformat()}
        assert await read(**far) == (0, 0)


async def test_hours_that_are_over_are_rolled_up_and_answered_without_their_chunks(cloud: Cloud, table: Table) -> None:
    begin = (now() - timedelta(hours=9)).replace(minute=30, second=0, microsecond=0)
    await store(table, some_samples(120, begin=begin, interval_s=1.0))
    await store(table, some_samples(600, begin=begin + timedelta(hours=3, minutes=10), read_await_ms=9.0))
    query = {"from": begin.isoformat(), "to": (begin + timedelta(hours=8)).isoformat()}
    async with insights_service(cloud.endpoint_url) as client:

        async def rollups() -> list[items.Item]:
            return await table.query(items.rollups_query(DISK, from_ms=0, to_ms=to_epoch_ms(now())))

        async def are_made() -> bool:
            return len(await rollups()) == 2

        await wait_until(are_made)
        for row in await table.query(items.chunks_query(DISK, from_ms=0, to_ms=to_epoch_ms(now()))):
            await table.delete({name: row[name] for name in ("entity_id", "entity_type")})
        page = (await client.get(f"/streams/{DISK}/samples", params=query)).json()
        ready = await client.get("/health/ready")
        shown = (await client.get("/internal/metrics")).text

    assert (page["resolution_s"], page["stored"]) == (60, 12)
    assert [point["samples"] for point in page["items"]] == [60] * 12
    assert page["items"][-1]["max"]["read_await_ms"] == page["items"][-1]["read_await_ms"] == 9.0
    assert ready.status_code == 200
    assert 'iops_rollups_total{outcome="stored"} 2.0' in shown


NONSENSE = {
    "/streams?limit=0": 400,
    "/streams?limit=201": 400,
    "/streams?cursor=x": 400,
    "/streams/nobody": 404,
    "/streams/nobody/samples": 404,
    f"/streams/{'x' * 201}": 400,
    f"/streams/{DISK}/samples?from=yesterday": 400,
    f"/streams/{DISK}/samples?max_points=0": 400,
    f"/streams/{DISK}/samples?from=2026-01-01T00:00:00Z&to=2025-01-01T00:00:00Z": 400,
    f"/streams/{DISK}/samples?from=2026-01-01T00:00:00Z&to=2026-05-01T00:00:00Z": 400,
    f"/streams/{DISK}/samples?from=0001-01-01T00:00:00Z&to=0001-01-01T00:00:01Z": 400,
    f"/streams/{DISK}/samples?to=0001-01-01T00:00:00Z": 400,
    f"/streams/{DISK}/samples?to=9999-12-31T23:59:59-14:00": 400,
    "/insights/nobody": 404,
    "/insights/recent?min_risk=101": 400,
    "/insights/recent?min_risk=nan": 400,
    "/nothing": 404,
}


async def test_a_question_that_makes_no_sense_is_told_so(cloud: Cloud, table: Table) -> None:
    await store(table, some_samples(1, begin=now()))
    async with insights_service(cloud.endpoint_url) as client:
        replies = {path: await client.get(path) for path in NONSENSE}

    assert {path: reply.status_code for path, reply in replies.items()} == NONSENSE
    assert {reply.headers["content-type"] for reply in replies.values()} == {"application/problem+json"}
