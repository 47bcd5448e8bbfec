"""The system of docker-compose.yml as a project of its own, and senders that never give up on it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
import pytest

from bench.processes import free_port
from iops import clock
from local.supervisor import ROOT
from tests.integration.examples import a_batch, a_sample
from tests.integration.stand_ins import wait_until

BUILD_LIMIT_S: Final = 900  # with nothing in the cache
UP_LIMIT_S: Final = 150  # a minute on a machine that does nothing else
HOSTS: Final = 50
DISKS: Final = ("sda", "sdb", "sdc", "sdd")
INTERVAL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Compose:
    """A running project."""

    name: str
    port: int
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={"X-API-Key": self.token}, timeout=10, trust_env=False)

    def ids(self) -> dict[str, str]:
        """Container by service, those that run."""
        rows = compose(self.name, "ps", "--format", "json").stdout.splitlines()
        return {row["Service"]: row["ID"] for row in map(json.loads, rows)}

    def shell(self, service: str, script: str) -> str:
        return compose(self.name, "exec", "-T", service, "sh", "-c", script).stdout

    def up(self) -> None:
        compose(self.name, "up", "--detach", "--wait", "--no-recreate", limit_s=UP_LIMIT_S)

    def mails(self) -> str:
        return self.shell("mailbox", "cat /mail/*.eml 2> /dev/null || true")

    def exit_code(self, service: str) -> int:
        """Of a container that has ended."""
        row = json.loads(compose(self.name, "ps", "--all", "--format", "json", service).stdout)
        return int(row["ExitCode"])

    def memory(self) -> dict[str, str]:
        """As Docker counts it: with the page cache that is in use."""
        form = "{{.Name}} {{.MemUsage}}"
        lines = docker("stats", "--no-stream", "--format", form, *self.ids().values()).stdout.splitlines()
        return {line.split()[0].split("-")[-2]: line.split()[1] for line in lines}


def docker(*arguments: str, limit_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("docker", *arguments), check=True, capture_output=True, text=True, timeout=limit_s, cwd=ROOT)


def compose(name: str, *arguments: str, limit_s: float = 60) -> subprocess.CompletedProcess[str]:
    try:
        return docker("compose", "--project-name", name, *arguments, limit_s=limit_s)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"docker compose {' '.join(arguments)}: {error.stderr[-2000:]}")


def tell(figure: str) -> None:
    """For docs/performance.md; `pytest -s` shows it."""
    print(f"\n{figure}")  # noqa: T201


@contextmanager
def running_containers(state_dir: Path) -> Iterator[Compose]:
    """Builds, starts, and at the end removes; skips where Docker does not answer."""
    try:
        docker("info", limit_s=10)
        docker("compose", "version", limit_s=10)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"Docker does not answer: {error}")
    name, port = f"iops-test-{os.getpid()}", free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IOPS_PORT", str(port))
        patch.setenv("PROMETHEUS_PORT", str(free_port()))
        try:
            compose(name, "build", "--quiet", limit_s=BUILD_LIMIT_S)
            begun_at = clock.now()
            compose(name, "up", "--detach", "--wait", limit_s=UP_LIMIT_S)
            tell(f"healthy after {(clock.now() - begun_at).total_seconds():.1f} s")
            token = state_dir / "operator.token"
            compose(name, "cp", "setup:/state/operator.token", str(token))
            yield Compose(name, port, token.read_text().strip())
        finally:
            with suppress(subprocess.SubprocessError):
                docker("compose", "--project-name", name, "down", "--volumes", "--rmi", "local", "--timeout", "2")


@dataclass(slots=True)
class Senders:
    """200 disks of 50 hosts; a body that was not acknowledged is sent again until it is."""

    http: httpx.AsyncClient
    acknowledged: dict[str, set[datetime]] = field(default_factory=lambda: defaultdict(set))
    bodies: int = 0  # acknowledged
    refused: int = 0

    async def wait_for(self, more: int) -> None:
        """Until as many more bodies are acknowledged."""
        wanted = self.bodies + more
        await wait_until(lambda: self.bodies >= wanted)

    async def send_on(self) -> None:
        while True:
            at = clock.now()
            await self._send(at.replace(microsecond=at.microsecond // 1000 * 1000))
            await asyncio.sleep(INTERVAL_S)

    async def _send(self, at: datetime) -> None:
        streams = [(f"host-{number}", f"host-{number}:{disk}") for number in range(HOSTS) for disk in DISKS]
        batches = [a_batch(stream, peer_group=host, samples=[a_sample(at=at)]) for host, stream in streams]
        content = json.dumps({"batches": [batch.model_dump(mode="json") for batch in batches]})
        while not await self._is_stored(content):
            self.refused += 1
            await asyncio.sleep(INTERVAL_S)
        for _, stream in streams:
            self.acknowledged[stream].add(at)
        self.bodies += 1

    async def _is_stored(self, content: str) -> bool:
        try:
            reply = await self.http.post("/metrics", content=content)
        except httpx.TransportError:
            return False
        assert reply.status_code in (202, 502, 503, 504), reply.text
        return reply.status_code == 202

    async def missing(self, reader: httpx.AsyncClient) -> list[tuple[str, datetime]]:
        """What was acknowledged and cannot be read."""
        gaps = []
        for stream, instants in self.acknowledged.items():
            query: dict[str, str | int] = {
                "from": min(instants).isoformat(),
                "to": max(instants).isoformat(),
                "max_points": 20_000,
            }
            reply = await reader.get(f"/streams/{stream}/samples", params=query)
            assert reply.status_code == 200, reply.text
            found = {datetime.fromisoformat(point["at"]) for point in reply.json()["items"]}
            gaps += [(stream, at) for at in instants - found]
        return gaps


@asynccontextmanager
async def sending(stack: Compose) -> AsyncIterator[Senders]:
    """Senders at work while the block runs; they can be asked for their results afterwards."""
    async with stack.client() as http:
        senders = Senders(http)
        work = asyncio.create_task(senders.send_on())
        try:
            yield senders
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
