"""How long a person waits for the dashboard of a large fleet: pages, their data, and news of a fault."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import httpx

from bench import processes
from bench.browse import (
    ANSWER_LIMIT_S,
    Answer,
    BenchFailed,
    ask_twice,
    figures_of,
    fleet_questions,
    hear_news,
    stream_questions,
    times,
)
from bench.fill import Filled, fill, stream_row
from bench.real_table import System, opened, running_table
from bench.weigh import weigh_files
from iops import clock
from iops.insight import PredictionType
from iops.table import Table
from ml.simulate import Stream

FLEET_LIMIT_MS: Final = 300.0
STREAM_LIMIT_MS: Final = 500.0  # the page and the data of its charts, one after the other
STREAM_LIMIT_BYTES: Final = 300_000  # with every script, packed as a browser gets it
NEWS_LIMIT_MS: Final = 6_000.0
STREAM_PAGES: Final = 30
NEWS: Final = 10  # faults, one after the other
IDLE_S: Final = 5.0
CHANGES_S: Final = 5.0  # streams that get another risk while pages are asked for: what makes sorted lists old
SEED: Final = 7


def measure(*, streams: int) -> dict[str, Any]:
    """Figures, and whether all limits are kept. Raises CannotRun."""
    with running_table() as system:
        began_s = time.monotonic()
        filled = asyncio.run(_fill(system, streams))
        filled_s = time.monotonic() - began_s
        _say(f"{filled.rows:,} rows of {streams:,} streams written in {filled_s:.0f} s")
        url, pid = system.start_insights()
        made = {"streams": streams, "rows": filled.rows, "alerts": filled.alerts, "filled_s": round(filled_s, 1)}
        return {"table": made, **asyncio.run(_browse(system, filled, url, pid))}


def judge(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Each limit beside what it limits; `ratio` is above 1 where it is missed."""
    fleet, rows, stream = figures["fleet page"], figures["GET /fleet"], figures["stream page, 24 h"]
    limits = {
        "fleet page, p95 ms": (fleet["all"]["p95_ms"], FLEET_LIMIT_MS),
        "fleet page, first look, p95 ms": (fleet["first look"]["p95_ms"], FLEET_LIMIT_MS),
        "GET /fleet, p95 ms": (rows["all"]["p95_ms"], FLEET_LIMIT_MS),
        "stream page, p95 ms": (stream["page"]["p95_ms"], STREAM_LIMIT_MS),
        "stream page with its files, bytes": (stream["bytes"]["all"], STREAM_LIMIT_BYTES),
        "fault to browser, max ms": (figures["fault to browser"]["max_ms"], NEWS_LIMIT_MS),
    }
    return {name: {"is": is_, "limit": most, "ratio": round(is_ / most, 3)} for name, (is_, most) in limits.items()}


async def _fill(system: System, streams: int) -> Filled:
    async with opened(system.table_url) as table:
        return await fill(table, streams=streams, now=clock.now())


async def _browse(system: System, filled: Filled, url: str, pid: int) -> dict[str, Any]:
    headers = {"Accept-Encoding": "gzip"}
    client = httpx.AsyncClient(base_url=url, headers=headers, timeout=ANSWER_LIMIT_S, trust_env=False)
    async with opened(system.table_url) as table, client:
        read_s = await _until_read(client)
        _say(f"the fleet is read after {read_s:.1f} s")
        idle_s = processes.cpu_s(pid)
        await asyncio.sleep(IDLE_S)
        idle_cores = (processes.cpu_s(pid) - idle_s) / IDLE_S
        began_s, busy_s = time.monotonic(), processes.machine_cpu_s()
        async with _changing(table, filled.streams):
            figures = await _ask_all(client, table, filled.streams, pid)
        busy_cores = (processes.machine_cpu_s() - busy_s) / (time.monotonic() - began_s)
    figures["idle_cores"] = round(idle_cores, 3)  # of insights while nobody asks: it visits every stream after a start
    figures["busy_cores"] = round(busy_cores, 2)  # with other programs': where all are busy, times are of waiting
    figures["memory"] = {
        "fleet_read_s": round(read_s, 1),
        "resident_mb": round(processes.rss_bytes(pid) / 1e6),
        "peak_mb": round(processes.peak_rss_bytes(pid) / 1e6),
    }
    limits = judge(figures)
    return {**figures, "limits": limits, "is_reached": all(each["ratio"] <= 1 for each in limits.values())}


async def _ask_all(client: httpx.AsyncClient, table: Table, streams: Sequence[Stream], pid: int) -> dict[str, Any]:
    rng = random.Random(SEED)

    async def make_ill(stream: Stream) -> None:
        row = stream_row(stream, 91.0, PredictionType.FAIL_SLOW, at=clock.now())
        await table.put_all([row], deadline_s=ANSWER_LIMIT_S)

    async def answers_to(questions: Sequence[tuple[str, str]]) -> tuple[list[Answer], dict[str, Any]]:
        before_s = processes.cpu_s(pid)
        answers = await ask_twice(client, questions)
        cpu_ms = (processes.cpu_s(pid) - before_s) * 1000 / len(answers)
        return answers, {**figures_of(answers), "cpu_ms_a_request": round(cpu_ms, 1)}

    some = rng.sample(list(streams), min(STREAM_PAGES, len(streams)))
    page, page_figures = await answers_to(fleet_questions(streams, path="/", seed=SEED))
    rows, rows_figures = await answers_to(fleet_questions(streams, path="/fleet", seed=SEED + 1))
    stream, stream_figures = await answers_to(stream_questions(some, clock.now))
    weight = _most([answer for answer in stream if answer.kind == "page"])
    files = await _files_bytes(client, stream_questions(some[:1], clock.now)[0][1])
    return {
        "fleet page": {**page_figures, "bytes": {"page": _most(page), "files": await _files_bytes(client, "/")}},
        "GET /fleet": {**rows_figures, "bytes": {"rows": _most(rows)}},
        "stream page, 24 h": {
            **stream_figures,
            "bytes": {"page with its data": weight, "files": files, "all": weight + files},
        },
        "fault to browser": times(await hear_news(client, some[:NEWS], make_ill, rng)),
    }


def _most(answers: Sequence[Answer]) -> int:
    """The largest answer, packed as it came."""
    return max(answer.wire_bytes for answer in answers)


async def _files_bytes(client: httpx.AsyncClient, path: str) -> int:
    """What all files of a page weigh, packed as they come."""
    page = (await client.get(path)).text
    return sum(file.wire_bytes for file in await weigh_files(client, page))


async def _until_read(client: httpx.AsyncClient) -> float:
    """Seconds until insights has read the whole fleet."""
    began_s = time.monotonic()
    while (await client.get("/fleet")).status_code != httpx.codes.OK:
        if time.monotonic() - began_s > ANSWER_LIMIT_S:
            raise BenchFailed("insights has not read the fleet")
        await asyncio.sleep(0.05)
    return time.monotonic() - began_s


@asynccontextmanager
async def _changing(table: Table, streams: Sequence[Stream]) -> AsyncIterator[None]:
    """While it lasts streams get another risk, as those of a fleet do."""

    async def change() -> None:
        rng = random.Random(SEED)
        while True:
            row = stream_row(rng.choice(streams), round(rng.uniform(0, 40), 1), None, at=clock.now())
            await table.put_all([row], deadline_s=ANSWER_LIMIT_S)
            await asyncio.sleep(1 / CHANGES_S)

    changes = asyncio.create_task(change())
    try:
        yield
    finally:
        changes.cancel()
        with suppress(asyncio.CancelledError):
            await changes


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr)
