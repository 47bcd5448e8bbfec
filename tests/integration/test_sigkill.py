"""Ingest dies without warning under load: what it said it had, the table has."""

import asyncio
import random
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from iops import contract
from iops.clock import now
from iops.items import chunk_items
from iops.telemetry import Batch, window_from_samples
from local.supervisor import ROOT
from local.up import make_plan
from tests.integration.examples import a_batch, a_sample
from tests.integration.stand_ins import LIMIT_S, Cloud, wait_until, web_child

CLIENTS = 8
BATCH_SAMPLES = 30
ENOUGH = 20  # acknowledged before the kill may come


@dataclass(slots=True)
class Client:
    """One agent that sends batch after batch, and goes on with the one that was not acknowledged."""

    number: int
    acknowledged: list[Batch] = field(default_factory=list)
    waiting: Batch | None = None

    async def send_on(self, url: str) -> None:
        """Until the server is gone."""
        async with httpx.AsyncClient(base_url=url, timeout=LIMIT_S) as http:
            while await self.send_one(http):
                pass

    async def send_one(self, http: httpx.AsyncClient) -> bool:
        batch = self.waiting = self.waiting or self._next()
        try:
            reply = await http.post("/metrics", content=batch.model_dump_json())
        except httpx.TransportError:
            return False
        assert reply.status_code == 202, reply.text
        self.acknowledged.append(batch)
        self.waiting = None
        return True

    def _next(self) -> Batch:
        begin = now() - timedelta(hours=6) + timedelta(seconds=BATCH_SAMPLES * len(self.acknowledged))
        samples = [
            a_sample(at=begin + timedelta(seconds=second), read_iops=float(len(self.acknowledged)))
            for second in range(BATCH_SAMPLES)
        ]
        return a_batch(f"host-{self.number}:sda", samples=samples)


# One stream of a test sends more in a second than a real one in a minute.
NO_RATE_LIMIT = {"IOPS_STREAM_RATE": "100000", "IOPS_STREAM_BURST": "100000"}


async def start_ingest(cloud: Cloud, port: int) -> asyncio.subprocess.Process:
    child = web_child("ingest", "services.ingest.app:create_app", port, cloud.environment)
    assert child.ready_url is not None
    process = await asyncio.create_subprocess_exec(
        *child.command, env=dict(child.environment) | NO_RATE_LIMIT, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
    )
    async with httpx.AsyncClient() as http:

        async def is_ready() -> bool:
            assert process.returncode is None
            try:
                return (await http.get(str(child.ready_url))).status_code == 200
            except httpx.TransportError:
                return False

        await wait_until(is_ready)
    return process


async def stop(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    process.send_signal(number)
    async with asyncio.timeout(LIMIT_S):
        await process.wait()


async def chunk_keys(cloud: Cloud) -> list[tuple[str, str]]:
    """Every chunk of the table, page after page."""
    request: dict[str, Any] = {"TableName": contract.TABLE_NAME, "ProjectionExpression": "entity_id, entity_type"}
    keys: list[tuple[str, str]] = []
    while True:
        page = await cloud.call("dynamodb", "scan", **request)
        keys += [(row["entity_id"]["S"], row["entity_type"]["S"]) for row in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return [key for key in keys if key[1].startswith("chunk#")]
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def keys_of(batches: list[Batch]) -> set[tuple[str, str]]:
    rows = [row for batch in batches for row in chunk_items(batch.stream_id, window_from_samples(batch.samples))]
    return {(row["entity_id"]["S"], row["entity_type"]["S"]) for row in rows}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_acknowledged_batch_survives_a_sigkill(cloud: Cloud, seed: int) -> None:
    port = make_plan(cloud.plan.state_dir, 0).port
    url = f"http://127.0.0.1:{port}"
    clients = [Client(number) for number in range(CLIENTS)]
    ingest = await start_ingest(cloud, port)

    load = [asyncio.create_task(client.send_on(url)) for client in clients]
    await wait_until(lambda: sum(len(client.acknowledged) for client in clients) >= ENOUGH)
    await asyncio.sleep(random.Random(seed).uniform(0, 1))  # not to wait for anything: the moment is the test
    await stop(ingest, signal.SIGKILL)
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*load)

    acknowledged = keys_of([batch for client in clients for batch in client.acknowledged])
    interrupted = keys_of([client.waiting for client in clients if client.waiting])
    stored = set(await chunk_keys(cloud))
    assert acknowledged <= stored
    assert stored <= acknowledged | interrupted

    ingest = await start_ingest(cloud, port)
    async with httpx.AsyncClient(base_url=url, timeout=LIMIT_S) as http:
        assert all([await client.send_one(http) for client in clients])
    await stop(ingest, signal.SIGTERM)
    stored_again = await chunk_keys(cloud)
    assert sorted(stored_again) == sorted(acknowledged | interrupted)
