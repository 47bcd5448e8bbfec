"""The whole product as a newcomer starts it: `iops up`, signed in by `iops open`, and `iops demo` sending to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from bench.processes import free_port
from iops.clock import now
from iops.private_file import read_private
from tests.integration.stand_ins import block_until

IOPS: Final = str(Path(sys.executable).with_name("iops"))
STREAMS: Final = 18  # three hosts of six disks: peers enough to compare, few enough to start in seconds
READY_LIMIT_S: Final = 90.0  # the first time it installs ministack
ALERT_LIMIT_S: Final = 240.0  # the first fires 30 s after the demo began; a busy machine takes longer
STOP_LIMIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Product:
    """A running `iops up`, and the API as its operator and its agent speak it."""

    url: str
    facts: Mapping[str, Any]  # up.json
    environment: Mapping[str, str]  # of a command that is to speak to it
    operator: httpx.Client
    agent: httpx.Client

    def link(self) -> str:
        """The page that signs one browser in."""
        command = [IOPS, "open", "--print", "--url", self.url]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.strip()

    def items(self, path: str) -> list[dict[str, Any]]:
        """The first page of a list."""
        reply = self.operator.get(path)
        assert reply.status_code == 200, reply.text
        listed: list[dict[str, Any]] = reply.json()["items"]
        return listed

    def send(self, *stream_ids: str, labels: Mapping[str, str] | None = None, **sample: float | None) -> None:
        """One interval of 6 s until now, as an agent sends it; where nothing is said of it, there were some reads."""
        calm = dict.fromkeys(("write_iops", "write_bytes_s"), 0.0) | {"write_await_ms": None, "in_flight": 0}
        calm |= {"read_iops": 200.0, "read_bytes_s": 819_200.0, "read_await_ms": 0.5}
        calm |= {"queue_depth": 0.1, "utilization_ratio": 0.1}
        samples = [{"at": now().isoformat(), "interval_s": 6.0} | calm | sample]
        batches = [
            {"stream_id": name, "peer_group": name.partition(":")[0], "labels": labels or {}, "samples": samples}
            for name in stream_ids
        ]
        reply = self.agent.post("/metrics", json={"batches": batches})
        assert reply.status_code == 202, reply.text

    def stall(self, stream_id: str, *, labels: Mapping[str, str] | None = None) -> None:
        """The disk holds 8 requests, and completes none for 6 s."""
        halted = {"read_iops": 0.0, "read_bytes_s": 0.0, "in_flight": 8, "queue_depth": 8.0, "utilization_ratio": 1.0}
        self.send(stream_id, labels=labels, read_await_ms=None, **halted)

    def stalled_alert(self, stream_id: str, *, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The alert that fires when a disk of a host of its own has stalled."""
        self.stall(stream_id, labels=labels)
        found: list[dict[str, Any]] = []

        def has_fired() -> bool:
            found[:] = [each for each in self.items("/alerts?state=firing") if each["stream_id"] == stream_id]
            return bool(found)

        block_until(has_fired)
        return found[0]

    def signal(self, name: str, number: signal.Signals) -> None:
        """To one of its programs, to stop it (SIGSTOP) and let it go on (SIGCONT)."""
        os.kill(self.facts["pids"][name], number)


@contextmanager
def running_product(state_dir: Path) -> Iterator[Product]:
    """`iops up` on a free port; ended with it."""
    up = [IOPS, "up", "--no-agent", "--port", str(free_port()), "--state-dir", str(state_dir)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "IOPS_"))}
    with (state_dir / "up.log").open("w") as log, _running(up, environment, log.fileno()) as process:
        path = state_dir / "up.json"
        block_until(lambda: path.exists() or process.poll() is not None, limit_s=READY_LIMIT_S)
        assert process.poll() is None, (state_dir / "up.log").read_text()
        facts = json.loads(path.read_text())
        key_file = facts["operator_token_file"]
        keys = [read_private(Path(file)) for file in (key_file, facts["agent_key_file"])]
        operator, agent = (
            httpx.Client(base_url=facts["url"], headers={"X-API-Key": key}, timeout=30, trust_env=False) for key in keys
        )
        with operator, agent:
            yield Product(facts["url"], facts, environment | {"IOPS_API_KEY_FILE": key_file}, operator, agent)


@contextmanager
def running_demo(product: Product, *, streams: int = STREAMS, alerts: int = 1) -> Iterator[None]:
    """A fleet with a day behind it that goes on until the end; it begins when so many `alerts` have fired."""
    demo = [IOPS, "demo", "--url", product.url, "--streams", str(streams), "--duration", "3600"]
    with _running(demo, product.environment, subprocess.DEVNULL):
        block_until(lambda: len(product.items("/alerts?state=firing")) >= alerts, limit_s=ALERT_LIMIT_S)
        yield


@contextmanager
def _running(command: list[str], environment: Mapping[str, str], output: int) -> Iterator[subprocess.Popen[bytes]]:
    """Asked to end by SIGTERM: a shell has what it starts in the background ignore Ctrl-C, and its children with it."""
    with subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()  # what it started ends with it
                raise
