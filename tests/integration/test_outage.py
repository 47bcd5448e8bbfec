"""The table is away, and comes back: no sample is lost, and none is there twice."""

import asyncio
import gzip
import json
import signal
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from iops import contract
from local.supervisor import ROOT
from tests.integration.door import Door, a_batch, instants, instants_of, open_door, stored
from tests.integration.stand_ins import LIMIT_S, Cloud, wait_until


@pytest.fixture
async def door(cloud: Cloud) -> AsyncIterator[Door]:
    async with open_door(cloud) as opened:
        yield opened


@pytest.mark.parametrize("fault", ["is_cut", "is_deaf"])
async def test_a_table_that_is_away_asks_for_the_batch_again(door: Door, cloud: Cloud, fault: str) -> None:
    assert (await door.post(a_batch(stream_id="web-1:sda"))).status_code == 202  # its connections are open
    batch = a_batch(30)
    door.wire.cut()
    if fault == "is_deaf":  # the write gets through, its confirmation does not
        door.wire.mend()
        door.wire.is_deaf = True

    reply = await door.post(batch)
    assert (reply.status_code, reply.json()["code"]) == (503, "table_unavailable")
    assert int(reply.headers["retry-after"]) >= 1
    assert (await door.client.get("/health/ready")).status_code == 503
    assert (await door.client.get("/health/live")).status_code == 200

    door.wire.mend()
    assert (await door.post(batch)).status_code == 202
    assert (await door.client.get("/health/ready")).status_code == 200
    assert instants(await stored(cloud)) == instants_of(batch)


async def test_a_table_that_is_gone_asks_for_the_batch_again(door: Door, cloud: Cloud) -> None:
    await cloud.call("dynamodb", "delete_table", TableName=contract.TABLE_NAME)

    reply = await door.post(a_batch())

    assert (reply.status_code, reply.json()["code"]) == (503, "table_unavailable")
    assert (await door.client.get("/health/ready")).json()["failed"][
        "table"
    ] == "what it stands on does not answer; come again"


async def test_a_full_queue_refuses_at_once(cloud: Cloud) -> None:
    async with open_door(cloud, waiting_samples_limit=60_000, store_wait_s=10, store_deadline_s=5) as door:
        door.wire.cut()
        fleet = [
            {"batches": [a_batch(1_000, stream_id=f"web-{host}:{disk}") for disk in range(3)]} for host in range(25)
        ]
        bodies = [gzip.compress(json.dumps(body).encode()) for body in fleet]
        posts = [asyncio.create_task(door.post(body, content_encoding="gzip")) for body in bodies]
        done, _ = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED, timeout=LIMIT_S)
        replies = [post.result() for post in done]
        assert {reply.json()["code"] for reply in replies} == {"queue_full"}
        assert {reply.status_code for reply in replies} == {503}
        assert "retry-after" in replies[0].headers
        door.wire.mend()
        assert {reply.status_code for reply in await asyncio.gather(*posts)} == {202, 503}


async def test_an_agent_loses_nothing_while_the_table_is_away(door: Door, cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "diskstats").write_text(" 254 0 vda 5 0 40 2 3 0 24 9 0 11 12 0 0 0 0 0 0\n")
    spool = tmp_path / "spool"
    told = {
        "URL": f"http://127.0.0.1:{door.port}", "HOST": "lab-1", "INTERVAL_S": "0.1", "BATCH_SAMPLES": "3",
        "PROC_ROOT": str(tmp_path), "SYS_ROOT": str(tmp_path), "SPOOL_DIR": str(spool),
    }  # fmt: skip
    environment = {**cloud.environment, **{f"IOPS_{name}": value for name, value in told.items()}}

    async def is_seen() -> bool:
        return bool(await stored(cloud, "lab-1:vda"))

    agent = await asyncio.create_subprocess_exec(sys.executable, "-m", "agent", env=environment, cwd=ROOT)
    try:
        await wait_until(is_seen)
        door.wire.cut()
        await wait_until(lambda: spool.is_dir() and len(list(spool.glob("*.json.gz"))) >= 3)
        door.wire.mend()
        await wait_until(lambda: not list(spool.glob("*.json.gz")))
    finally:
        agent.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            assert await agent.wait() == 0

    windows = await stored(cloud, "lab-1:vda")
    at_ms = instants(windows)
    assert len(at_ms) >= 10  # the first, three of three while it was away, and what came after
    assert len(at_ms) == len(set(at_ms))
    intervals_ms = {
        at: 1000 * span_s for window in windows for at, span_s in zip(window.at_ms, window["interval_s"], strict=True)
    }
    # Each interval begins where the one before ended; the two are rounded apart.
    assert max(abs(after - before - intervals_ms[after]) for before, after in pairwise(at_ms)) < 20
