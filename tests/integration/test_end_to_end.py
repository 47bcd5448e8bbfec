"""The whole product as a person runs it: a recorded fault of a real device goes in, one mail comes out."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from iops import contract
from iops.events import read_mail
from iops.private_file import read_private
from local import ministack
from local.errors import InstallFailed
from local.up import MINISTACK_VENV
from tests.integration import replay
from tests.integration.stand_ins import plain_client, wait_until

pytestmark = pytest.mark.slow

START_LIMIT_S = 60.0
STOP_LIMIT_S = 90.0
MAIL_LIMIT_S = 30.0  # the 10 s between two messages of a group, and a machine that is busy
SLOW_BEGINS_AT = datetime(2026, 11, 23, 4, 32, 6, tzinfo=UTC)  # tests/recordings/README.md
SLOW_ENDS_AT = SLOW_BEGINS_AT + timedelta(seconds=59)


@dataclass(frozen=True, slots=True)
class Stack:
    """A running `iops up`."""

    process: asyncio.subprocess.Process
    facts: dict[str, Any]  # up.json
    state_dir: Path
    client: httpx.AsyncClient

    def mails(self, stream_id: str) -> list[str]:
        texts = [path.read_text() for path in Path(self.facts["mail_dir"]).glob("*.eml")]
        bodies = [read_mail(text.partition("\n\n")[2])[1] for text in texts]
        return [text for text, body in zip(texts, bodies, strict=True) if body["stream_id"] == stream_id]

    def scorings(self, peer_group: str) -> int:
        """How often a group was scored."""
        lines = (Path(self.facts["log_dir"]) / "insights.log").read_text().splitlines()
        return sum('"event": "group_scored"' in line and f'"peer_group": "{peer_group}"' in line for line in lines)

    async def post(self, recording: replay.Recording, *, host: str) -> None:
        for body in replay.to_bodies(recording, peer_group=host, host=host):
            reply = await self.client.post("/metrics", content=body, headers={"Content-Encoding": "gzip"})
            assert reply.status_code == 202, reply.text

    async def alerts(self, stream_id: str) -> list[dict[str, Any]]:
        listed = (await self.client.get("/alerts")).json()["items"]
        return [alert for alert in listed if alert["stream_id"] == stream_id]

    async def has_insight(self, stream_id: str) -> bool:
        listed = (await self.client.get("/insights/recent")).json()["items"]
        return any(insight["stream_id"] == stream_id and insight["risk_score"] >= 80 for insight in listed)

    async def lists_a_disk(self) -> bool:
        streams = (await self.client.get("/streams")).json()["items"]
        return bool(streams) and streams[0]["latest"] is not None

    def outbox(self) -> list[Any]:
        found: list[Any] = plain_client("dynamodb", self.facts["aws_endpoint_url"]).query(
            TableName=contract.TABLE_NAME,
            IndexName=contract.ENTITY_TYPE_INDEX,
            KeyConditionExpression="entity_type = :type",
            ExpressionAttributeValues={":type": {"S": "outbox"}},
        )["Items"]
        return found


@asynccontextmanager
async def stack_running(state_dir: Path, *options: str) -> AsyncIterator[Stack]:
    """`iops up` as a process of its own; ended with SIGINT where the test has not ended it."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("iops")),
        *("up", "--port", str(free_port()), "--state-dir", str(state_dir), *options),
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    facts_path = state_dir / "up.json"
    try:
        await wait_until(lambda: facts_path.exists() or process.returncode is not None, limit_s=START_LIMIT_S)
        assert process.returncode is None, (await process.communicate())[1].decode()
        facts = json.loads(facts_path.read_text())
        headers = {"X-API-Key": read_private(Path(facts["operator_token_file"]))}
        async with httpx.AsyncClient(base_url=facts["url"], headers=headers, timeout=30, trust_env=False) as client:
            yield Stack(process, facts, state_dir, client)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    try:
        ministack.install(MINISTACK_VENV, say=print)
    except InstallFailed as error:
        pytest.skip(f"the whole stack needs ministack: {str(error).splitlines()[0]}")


async def test_a_recorded_fault_becomes_one_mail_and_ctrl_c_ends_everything(tmp_path: Path) -> None:
    async with stack_running(tmp_path, "--no-agent") as stack:
        await a_stall_is_mailed_once(stack)
        await a_disk_that_turned_slow_is_mailed(stack)

        stack.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_LIMIT_S):
            assert await stack.process.wait() == 0

    assert [name for name, pid in stack.facts["pids"].items() if is_running(pid)] == []
    assert not (tmp_path / "up.json").exists()


async def a_stall_is_mailed_once(stack: Stack) -> None:
    """Nothing but the recording is known of the device: a stall needs no history."""
    recording = replay.move(replay.load("stall.jsonl.gz"), end=datetime.now(UTC))
    await stack.post(recording, host="lab-1")
    await wait_until(lambda: len(stack.mails("lab-1:loop1")) == 1, limit_s=MAIL_LIMIT_S)

    assert "Risk: 9" in stack.mails("lab-1:loop1")[0]
    assert "nothing completed for 19 s" in stack.mails("lab-1:loop1")[0]
    alerts = await stack.alerts("lab-1:loop1")
    assert [(alert["prediction_type"], alert["state"]) for alert in alerts] == [("stall", "firing")]
    assert alerts[0]["facts"][0]["value"] == pytest.approx(19, abs=0.1)
    assert alerts[0]["risk_score"] >= contract.PAGE_RISK_SCORE

    before = stack.scorings("lab-1")
    await stack.post(recording, host="lab-1")
    await wait_until(lambda: stack.scorings("lab-1") > before, limit_s=MAIL_LIMIT_S)
    await wait_until(lambda: not stack.outbox())
    shown = (await stack.client.get("/streams/lab-1:loop1/samples")).json()
    assert shown["stored"] == len(recording["lab-1:loop1"])
    for device in ("loop2", "loop3", "loop4"):
        assert await stack.alerts(f"lab-1:{device}") == []
    assert len(stack.mails("lab-1:loop1")) == 1


async def a_disk_that_turned_slow_is_mailed(stack: Stack) -> None:
    """Four hours of the device when it was well, then a minute in which it is slow and its neighbours are not.

    No hard rule finds it, so the second scoring pages.
    """
    recording = replay.load("slow.jsonl.gz")
    now = datetime.now(UTC)
    well = replay.cut(recording, begin=SLOW_BEGINS_AT - timedelta(hours=1), end=SLOW_BEGINS_AT)
    slow = replay.cut(recording, begin=SLOW_BEGINS_AT, end=SLOW_ENDS_AT)
    await stack.post(replay.tile(well, end=now - timedelta(minutes=1), span=timedelta(hours=4)), host="lab-2")
    slow = replay.move(slow, end=now)
    first_part_ends_at = now - timedelta(seconds=10)
    await stack.post(replay.cut(slow, begin=now - timedelta(minutes=2), end=first_part_ends_at), host="lab-2")
    await wait_until(lambda: stack.has_insight("lab-2:loop1"), limit_s=MAIL_LIMIT_S)
    assert stack.mails("lab-2:loop1") == [], "one scoring is no page where no hard rule found it"
    await stack.post(replay.cut(slow, begin=first_part_ends_at, end=now + timedelta(seconds=1)), host="lab-2")
    await wait_until(lambda: len(stack.mails("lab-2:loop1")) == 1, limit_s=MAIL_LIMIT_S)

    alerts = await stack.alerts("lab-2:loop1")
    facts = {fact["name"]: fact for fact in alerts[0]["facts"]}
    assert [(alert["prediction_type"], alert["state"]) for alert in alerts] == [("fail_slow", "firing")]
    assert facts["await_ms"]["value"] > 10 * facts["await_ms"]["baseline"]
    assert facts["peer_await_ratio"]["value"] > 10
    assert facts["await_ms"]["sentence"] in stack.mails("lab-2:loop1")[0]
    shown = (await stack.client.get("/streams/lab-2:loop1")).json()
    assert (shown["warming_up"], shown["peer_group"]) == (False, "lab-2")


async def test_the_disks_of_this_machine_are_listed_and_a_service_that_dies_is_named(tmp_path: Path) -> None:
    async with stack_running(tmp_path) as stack:
        if has_disks():
            await wait_until(stack.lists_a_disk, limit_s=30)

        assert stack.process.stderr is not None
        os.kill(stack.facts["pids"]["alerts"], signal.SIGKILL)
        async with asyncio.timeout(STOP_LIMIT_S):
            said = (await stack.process.stderr.read()).decode()
            assert await stack.process.wait() == 1

    assert "alerts ended (killed by SIGKILL)" in said
    assert str(tmp_path / "logs" / "alerts.log") in said
    assert [name for name, pid in stack.facts["pids"].items() if is_running(pid)] == []


def has_disks() -> bool:
    """Whether this machine has a whole disk that the agent watches unasked."""
    names = [line.split()[2] for line in Path("/proc/diskstats").read_text().splitlines()]
    return any(name.startswith(("sd", "vd", "nvme", "xvd")) for name in names)
