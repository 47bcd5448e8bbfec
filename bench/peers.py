"""The same samples by remote-write to Prometheus and to ingest: values for each second of CPU of the whole process."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from bench import processes
from bench.bodies import STEP_MS
from bench.check import count_stored
from bench.ingest import say
from bench.load import Client, Request
from bench.remote_write import SERIES_PER_DISK, disks_of, requests
from local.supervisor import Child, Supervisor

DISKS: Final = 200
ROUNDS: Final = {60: 40, 6: 120}  # samples a series in one request: requests of each host, the first to warm up
LANES: Final = 10  # connections; each host keeps to one, so that none of its requests overtakes the last
BEGIN_MS_AGO: Final = 3 * 3_600_000
WRITE_PATH: Final = "/api/v1/write"

Bodies = dict[int, tuple[list[Request], list[Request]]]  # by samples a series: to warm up, and to measure


class Skipped(Exception):
    """A receiver that is not here, and why."""


async def measure(limit_s: float) -> dict[str, Any]:
    """Figures of both receivers, one after the other, with the very same bodies."""
    say(f"making the bodies: {DISKS} disks of {SERIES_PER_DISK} series")
    bodies = _make_bodies()
    found: dict[str, Any] = {
        "disks": DISKS,
        "series": DISKS * SERIES_PER_DISK,
        "values_per_request": {str(count): measured[0].tag for count, (_, measured) in bodies.items()},
    }
    for name, receive in (("prometheus", _prometheus), ("ingest", _ingest)):
        say(name)
        try:
            found[name] = await receive(bodies, limit_s)
        except* Skipped as reasons:
            found[name] = {"skipped": str(reasons.exceptions[0])}
    if "skipped" not in found["prometheus"] and "skipped" not in found["ingest"]:
        found["ingest_to_prometheus_ratio"] = {
            str(count): round(
                found["ingest"][str(count)]["values_per_cpu_s"] / found["prometheus"][str(count)]["values_per_cpu_s"], 2
            )
            for count in ROUNDS
        }
    return found


def _make_bodies() -> Bodies:
    begin_ms = int(time.time() * 1000) - BEGIN_MS_AGO
    made: Bodies = {}
    for count, rounds in ROUNDS.items():
        bodies = list(requests(disks=DISKS, samples=count, rounds=rounds, begin_ms=begin_ms, step_ms=STEP_MS))
        first_round = len(bodies) // rounds
        made[count] = bodies[:first_round], bodies[first_round:]
    return made


async def _prometheus(bodies: Bodies, limit_s: float) -> dict[str, Any]:
    program = shutil.which("prometheus")
    if program is None:
        raise Skipped("prometheus is not on the PATH; Debian's package of that name has it")
    with processes.supervised() as (supervisor, directory):
        port = processes.free_port()
        supervisor.start(_prometheus_child(program, port, directory))
        found = await _send_all(bodies, port, supervisor, ("prometheus",), limit_s)
        facts = await _facts_of_prometheus(port)
    return {**found, **facts}


def _prometheus_child(program: str, port: int, directory: Path) -> Child:
    config = directory / "prometheus.yml"
    config.write_text("scrape_configs: []\n")
    command = (
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={processes.HOST}:{port}",
        "--web.enable-remote-write-receiver",
        "--log.level=warn",
    )
    return Child("prometheus", command, processes.environment(), ready_url=f"{processes.url_of(port)}/-/ready")


async def _facts_of_prometheus(port: int) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=processes.url_of(port), trust_env=False) as client:
        build = (await client.get("/api/v1/status/buildinfo")).json()["data"]
        lines = (await client.get("/metrics")).text.splitlines()
    appended = next(line for line in lines if line.startswith("prometheus_tsdb_head_samples_appended_total"))
    return {"version": build["version"], "stored_values": int(float(appended.split()[-1]))}


async def _ingest(bodies: Bodies, limit_s: float) -> dict[str, Any]:
    with processes.supervised() as (supervisor, _):
        table_port, port = processes.free_port(), processes.free_port()
        supervisor.start(processes.table_double(table_port))
        supervisor.start(processes.ingest(port, table_port))
        async with httpx.AsyncClient(base_url=processes.url_of(port), trust_env=False) as client:
            if (await client.post(WRITE_PATH)).status_code == httpx.codes.NOT_FOUND:
                raise Skipped(f"this ingest has no {WRITE_PATH}")
        found = await _send_all(bodies, port, supervisor, ("ingest", "table-double"), limit_s)
        disks = [disk.stream_id for count in ROUNDS for disk in disks_of(DISKS, samples=count)]
        stored = await count_stored(processes.url_of(table_port), disks)
    # The first values of a disk make no sample: counters need two.
    expected = DISKS * sum(count * rounds - 1 for count, rounds in ROUNDS.items())
    return {**found, "stored_samples": stored, "expected_samples": expected}


async def _send_all(
    bodies: Bodies, port: int, supervisor: Supervisor, programs: Sequence[str], limit_s: float
) -> dict[str, Any]:
    """Figures by samples a series; the CPU of the first program alone, and of all."""
    found: dict[str, Any] = {}
    for count, (warm_up, measured) in bodies.items():
        await _send(warm_up, port, limit_s)
        before_s = [processes.cpu_s(supervisor.pids[name]) for name in programs]
        values, elapsed_s = await _send(measured, port, limit_s)
        spent_s = [
            processes.cpu_s(supervisor.pids[name]) - before for name, before in zip(programs, before_s, strict=True)
        ]
        found[str(count)] = {
            "values": values,
            "elapsed_s": round(elapsed_s, 2),
            "cpu_s": round(spent_s[0], 2),
            "values_per_cpu_s": round(values / spent_s[0]),
        }
        if len(programs) > 1:
            found[str(count)]["values_per_cpu_s_with_table"] = round(values / sum(spent_s))
    return found


async def _send(bodies: Sequence[Request], port: int, limit_s: float) -> tuple[int, float]:
    """How many values were acknowledged, and in how long."""
    begin_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        lanes = [group.create_task(_send_lane(bodies[lane::LANES], port, limit_s)) for lane in range(LANES)]
    return sum(lane.result() for lane in lanes), time.perf_counter() - begin_s


async def _send_lane(bodies: Sequence[Request], port: int, limit_s: float) -> int:
    async with Client(port, connections=1) as client:
        tally = await client.closed_loop(iter(bodies), duration_s=limit_s)
    if tally.refused:
        raise Skipped(f"it refused requests: {dict(tally.answered)}")
    return sum(tag for tag in tally.acknowledged if isinstance(tag, int))
