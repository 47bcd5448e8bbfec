"""What it costs to know who sends: POST /metrics with and without keys, in turns, and the gate's own microseconds."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import processes
from bench.bodies import DAY_MS, STEP_MS, fleet_of, requests
from bench.check import opened_table
from bench.load import Client, Request
from iops import clock, contract, items
from iops.auth import Role
from iops.gate import Gate, Nobody
from iops.keyring import KeyRing
from iops.keys import ApiKey, keep, new_key, new_key_id
from iops.peppers import Peppers, first_peppers
from iops.table import Table

STREAMS: Final = 200
CONNECTIONS: Final = 64
ROUNDS: Final = 12
ROUND_S: Final = 1.5
ADMISSIONS: Final = 200_000


async def measure() -> dict[str, Any]:
    """About a minute. The share is the median of the rounds' own: what disturbs one disturbs its neighbour too."""
    table_port, open_port, keyed_port = (processes.free_port() for _ in range(3))
    with processes.supervised() as (supervisor, folder):
        supervisor.start(processes.table_double(table_port))
        async with opened_table(processes.url_of(table_port)) as table:
            peppers, key = await _make_key(table, folder / "secrets.json")
            keyed = {"IOPS_AUTH": "on", "IOPS_SECRETS_FILE": str(folder / "secrets.json")}
            supervisor.start(processes.ingest(open_port, table_port, name="open"))
            supervisor.start(processes.ingest(keyed_port, table_port, keyed, name="keyed"))
            streams, now_ms = fleet_of(STREAMS, name="bench"), int(time.time() * 1000)
            header = f"X-API-Key: {key}"
            sides = {
                "open": (open_port, requests(streams, count=1, begin_ms=now_ms - 3 * DAY_MS, step_ms=STEP_MS)),
                "keyed": (keyed_port, requests(streams, header, count=1, begin_ms=now_ms - DAY_MS, step_ms=STEP_MS)),
            }
            found: dict[str, list[float]] = {"open": [], "keyed": []}
            for _ in range(ROUNDS + 1):
                for name, (port, bodies) in sides.items():
                    found[name].append(await _cpu_us(port, supervisor.pids[name], bodies))
            admit_us = await _admission_us(table, peppers, key)
    pairs = list(zip(found["open"][1:], found["keyed"][1:], strict=True))  # the first of each warmed up
    open_us, keyed_us = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    return {
        "open_request_cpu_us": round(open_us, 1),
        "keyed_request_cpu_us": round(keyed_us, 1),
        "auth_cpu_ratio": round(median(keyed / bare - 1 for bare, keyed in pairs), 4),
        "admit_us": round(admit_us, 2),
        "admit_ratio": round(admit_us / keyed_us, 4),
        "rounds": ROUNDS,
    }


async def _make_key(table: Table, path: Path) -> tuple[Peppers, str]:
    now = clock.now()
    peppers, key_id = first_peppers(now, secrets.token_bytes), new_key_id(secrets.token_bytes)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        json.dump({contract.PEPPER_SECRETS: peppers.reveal()}, file)
    key = new_key(key_id, secrets.token_bytes)
    kept = ApiKey(
        key_id=key_id,
        name="bench",
        role=Role.AGENT,
        streams=("bench-*",),
        secrets=(keep(key.encode(), peppers.current),),
        created_at=now,
        created_by="bench",
        last_used_at=now,  # the double knows no conditions, which noting it would need
    )
    await table.put(items.api_key_put(kept, replaces=None)["Item"])
    return peppers, key


async def _cpu_us(port: int, pid: int, bodies: Iterator[Request]) -> float:
    async with Client(port, connections=CONNECTIONS) as client:
        before_s = processes.cpu_s(pid)
        tally = await client.closed_loop(bodies, duration_s=ROUND_S)
    if tally.refused or not tally.succeeded:
        raise RuntimeError(f"ingest answered {dict(tally.answered)}")
    return (processes.cpu_s(pid) - before_s) / tally.succeeded * 1e6


async def _admission_us(table: Table, peppers: Peppers, key: str) -> float:
    """Of one admission, with the headers of a real request, in this process."""
    gate = Gate(KeyRing(table, lambda: peppers, clock.now), Nobody())
    names = ("host", "content-length", "content-type", "content-encoding", "user-agent", "accept")
    headers = [(name.encode(), b"-") for name in names] + [(b"x-api-key", key.encode())]
    scope = {"type": "http", "method": "POST", "headers": headers, "client": ("127.0.0.1", 1)}
    await gate.admit(scope, Role.AGENT)
    before_s = time.process_time()
    for _ in range(ADMISSIONS):
        await gate.admit(scope, Role.AGENT)
    return (time.process_time() - before_s) / ADMISSIONS * 1e6
