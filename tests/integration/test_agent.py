"""The whole agent against a server that goes away, complains, hangs and comes back."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import uvicorn
from pydantic import TypeAdapter
from structlog.testing import capture_logs
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from agent.run import run_until
from agent.settings import AgentSettings
from iops.telemetry import Batch, Sample

LINE = " 254 0 {name} 5 0 40 2 3 0 24 9 0 11 12 0 0 0 0 0 0\n"
LIMIT_S = 20.0  # of any wait: far beyond what these need, so that a busy machine does not fail them
BATCHES = TypeAdapter(dict[str, list[Batch]])


class Door:
    """An ASGI application that answers as told and remembers what it took."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []  # the next ones; then 202
        self.asked_at_s: list[float] = []
        self.bodies: list[bytes] = []  # accepted
        self.refused: list[bytes] = []
        self.headers: dict[bytes, bytes] = {}
        self.is_hanging = False
        self._changed = asyncio.Condition()

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        assert scope["type"] == "http"
        assert (scope["method"], scope["path"]) == ("POST", "/metrics")
        self.headers = dict(scope["headers"])
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            more = message["more_body"]
        self.asked_at_s.append(time.monotonic())
        if self.is_hanging:
            await receive()  # until the agent gives up
            return
        status, headers = self.answers.pop(0) if self.answers else (202, {})
        (self.bodies if status == 202 else self.refused).append(body)
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw, "trailers": False})
        reply = json.dumps({"accepted": 1, "detail": "batches[0]: is not to our taste"}).encode()
        await send({"type": "http.response.body", "body": reply, "more_body": False})
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, is_reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S), self._changed:
            await self._changed.wait_for(is_reached)

    def samples(self, stream: str = "lab-1:vda") -> list[Sample]:
        """Everything taken of a stream, in the order of time."""
        batches = [batch for body in self.bodies for batch in unpack(body) if batch.stream_id == stream]
        return sorted((sample for batch in batches for sample in batch.samples), key=lambda sample: sample.at)


def unpack(body: bytes) -> list[Batch]:
    return BATCHES.validate_json(gzip.decompress(body))["batches"]


@asynccontextmanager
async def serving(door: Door, port: int) -> AsyncIterator[None]:
    config = uvicorn.Config(
        door, host="127.0.0.1", port=port, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def agent_running(settings: AgentSettings) -> AsyncIterator[None]:
    stop_agent = start_agent(settings)
    try:
        yield
    finally:
        await stop_agent()


def start_agent(settings: AgentSettings) -> Callable[[], Awaitable[None]]:
    """An agent that runs until the returned function is called."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_until(stop, settings))

    async def stop_agent() -> None:
        stop.set()
        await task

    return stop_agent


async def wait_until(is_reached: Callable[[], bool]) -> None:
    """For what tells nobody when it changes: a folder, a file, a server that starts."""
    async with asyncio.timeout(LIMIT_S):
        while not is_reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.fixture
def settings(tmp_path: Path, port: int) -> AgentSettings:
    (tmp_path / "diskstats").write_text(LINE.format(name="vda"))
    return AgentSettings(
        url=f"http://127.0.0.1:{port}", host="lab-1", interval_s=0.1, batch_samples=3, proc_root=tmp_path,
        sys_root=tmp_path, spool_dir=tmp_path / "spool",
    )  # fmt: skip


def spooled(settings: AgentSettings) -> list[Path]:
    return sorted(settings.spool_dir.iterdir()) if settings.spool_dir.is_dir() else []


def assert_no_sample_is_missing(samples: list[Sample]) -> None:
    """Each interval begins where the one before ended, and no instant came twice with different numbers."""
    by_instant = {sample.at: sample for sample in samples}
    assert all(by_instant[sample.at] == sample for sample in samples)
    ordered = [by_instant[at] for at in sorted(by_instant)]
    gaps_s = [(after.at - before.at).total_seconds() - after.interval_s for before, after in pairwise(ordered)]
    assert max(map(abs, gaps_s)) < 0.02  # two clocks, rounded


async def test_a_server_that_goes_away_and_comes_back_gets_every_sample(settings: AgentSettings, port: int) -> None:
    door = Door()
    stop_agent = start_agent(settings)
    async with serving(door, port):
        await door.wait_for(lambda: len(door.samples()) >= 4)
    await wait_until(lambda: len(spooled(settings)) >= 3)
    async with serving(door, port):
        before = len(door.samples())
        await door.wait_for(lambda: len(door.samples()) > before + 9 and not spooled(settings))
        await stop_agent()

    assert_no_sample_is_missing(door.samples())
    assert len({sample.at for sample in door.samples()}) == len(door.samples())
    assert spooled(settings) == []


async def test_the_first_sample_comes_at_once_and_then_batches(settings: AgentSettings, port: int) -> None:
    door = Door()
    async with serving(door, port), agent_running(settings):
        await door.wait_for(lambda: len(door.bodies) >= 3)

    assert [len(unpack(body)[0].samples) for body in door.bodies[:3]] == [1, 3, 3]
    [batch] = unpack(door.bodies[0])
    assert (batch.stream_id, batch.peer_group) == ("lab-1:vda", "lab-1")
    assert door.headers[b"content-encoding"] == b"gzip"


async def test_a_full_server_is_given_the_time_it_asks_for(settings: AgentSettings, port: int) -> None:
    door = Door()
    door.answers = [(503, {"Retry-After": "1"})]
    async with serving(door, port), agent_running(settings):
        await door.wait_for(lambda: len(door.samples()) >= 8 and not spooled(settings))

    assert door.asked_at_s[1] - door.asked_at_s[0] >= 1.0
    assert door.refused[0] in door.bodies
    assert_no_sample_is_missing(door.samples())


async def test_a_body_that_breaks_the_contract_is_dropped_and_the_rest_goes_on(
    settings: AgentSettings, port: int
) -> None:
    door = Door()
    door.answers = [(422, {})]
    with capture_logs() as logs:
        async with serving(door, port), agent_running(settings):
            await door.wait_for(lambda: len(door.bodies) >= 2)

    assert door.refused[0] not in door.bodies
    assert [line["detail"] for line in logs if line["event"] == "batches_refused"] == [
        "batches[0]: is not to our taste"
    ]
    assert spooled(settings) == []


async def test_a_server_that_hangs_delays_neither_sampling_nor_the_end(settings: AgentSettings, port: int) -> None:
    door = Door()
    door.is_hanging = True
    async with serving(door, port):
        async with agent_running(settings):
            await wait_until(lambda: bool(door.asked_at_s))
            stopped_at_s = time.monotonic()
        assert time.monotonic() - stopped_at_s < 5.0
        assert len(spooled(settings)) >= 1

        door.is_hanging = False
        async with agent_running(settings):
            await door.wait_for(lambda: not spooled(settings))
    assert door.samples() != []


async def test_sigterm_sends_what_is_held_and_exits_with_0(settings: AgentSettings, port: int, tmp_path: Path) -> None:
    door = Door()
    environment = {
        "PATH": os.environ["PATH"], "XDG_STATE_HOME": str(tmp_path), "IOPS_URL": settings.url, "IOPS_HOST": "lab-1",
        "IOPS_INTERVAL_S": "0.1", "IOPS_BATCH_SAMPLES": "1000", "IOPS_PROC_ROOT": str(tmp_path),
        "IOPS_SYS_ROOT": str(tmp_path), "IOPS_API_KEY": "iops_lab_secret", "IOPS_DEVICES": "vda,vdb",
    }  # fmt: skip
    async with serving(door, port):
        agent = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agent",
            env=environment,
            cwd=Path(__file__).parents[2],
            stderr=asyncio.subprocess.PIPE,
        )
        await door.wait_for(lambda: len(door.samples("lab-1:vda")) == 1)
        # By the time a second disk has its first sample, the first has more that are held.
        (tmp_path / "diskstats").write_text(LINE.format(name="vda") + LINE.format(name="vdb"))
        await door.wait_for(lambda: len(door.samples("lab-1:vdb")) == 1)
        agent.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            _, stderr = await agent.communicate()

    assert agent.returncode == 0
    assert len(door.samples("lab-1:vda")) >= 3
    assert_no_sample_is_missing(door.samples("lab-1:vda"))
    assert list((tmp_path / "iops-agent").glob("*")) == []
    assert [json.loads(line)["event"] for line in stderr.splitlines()][-1] == "agent_stopped"
    assert b"secret" not in stderr
    assert door.headers[b"x-api-key"] == b"iops_lab_secret"


async def test_a_disk_that_is_pulled_out_leaves_its_last_samples(settings: AgentSettings, port: int) -> None:
    door = Door()
    (settings.proc_root / "diskstats").write_text(LINE.format(name="vda") + LINE.format(name="vdb"))
    patient = settings.model_copy(update={"batch_samples": 5})
    async with serving(door, port), agent_running(patient):
        await door.wait_for(lambda: len(door.samples("lab-1:vdb")) >= 1)
        (settings.proc_root / "diskstats").write_text(LINE.format(name="vda"))
        pulled = len(door.samples("lab-1:vda"))
        await door.wait_for(lambda: len(door.samples("lab-1:vda")) >= pulled + 10)
    assert_no_sample_is_missing(door.samples("lab-1:vda"))


async def test_a_recording_is_the_batches_one_a_line(settings: AgentSettings, tmp_path: Path) -> None:
    out = tmp_path / "recording.jsonl"
    async with agent_running(settings.model_copy(update={"out": out})):
        await wait_until(lambda: out.exists() and len(out.read_text().splitlines()) >= 3)

    batches = [Batch.model_validate_json(line) for line in out.read_text().splitlines()]
    assert [len(batch.samples) for batch in batches[:3]] == [1, 3, 3]
    assert_no_sample_is_missing([sample for batch in batches for sample in batch.samples])
