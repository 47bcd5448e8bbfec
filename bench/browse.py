"""A person at the dashboard: which pages are asked for, one after the other, and what came of each."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx

from bench.figures import percentile
from iops.clock import Clock
from local.errors import CannotRun
from ml.simulate import Stream

PAGE_ROWS: Final = 50  # of the fleet, unless told
DEEP_PAGES: Final = 60
SEARCHES: Final = 20  # by text, and as many by peer group
DAY_STEP_S: Final = 300  # of a chart of 24 h
RENEWED: Final = timedelta(minutes=10)
ANSWER_LIMIT_S: Final = 30.0


class BenchFailed(CannotRun):
    """Something was not answered as it should be, so nothing was measured."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer took; bytes as they came over the wire, and unpacked."""

    kind: str
    is_first: bool  # nobody had asked for this before
    took_ms: float
    wire_bytes: int
    size_bytes: int


def fleet_questions(streams: Sequence[Stream], *, path: str, seed: int) -> list[tuple[str, str]]:
    """Pages of the fleet as people ask for them, each with its kind, in an order of their own."""
    rng = random.Random(seed)
    last = -(-len(streams) // PAGE_ROWS)
    asked: list[tuple[str, Mapping[str, object]]] = [("first pages", {"page": page}) for page in range(1, 5)]
    some = [rng.choice(streams) for _ in range(2 * SEARCHES)]
    asked += [("text", {"text": stream.stream_id[: rng.randint(6, 12)]}) for stream in some[:SEARCHES]]
    asked += [("text", {"text": text}) for text in ("volume_type=gp3", "nothing is called this")]
    asked += [("peer group", {"peer_group": stream.peer_group}) for stream in some[SEARCHES:]]
    asked += [("risk", {"min_risk": risk, "page": page}) for risk in (60, 80) for page in (1, 2)]
    asked += [("state", {"state": state}) for state in ("firing", "high", "warming_up")]
    asked += [("deep pages", {"page": rng.randint(min(5, last), last)}) for _ in range(DEEP_PAGES)]
    rng.shuffle(asked)
    return [(kind, f"{path}?{urlencode(query)}") for kind, query in asked]


def stream_questions(streams: Sequence[Stream], clock: Clock) -> list[tuple[str, str]]:
    """The page of each stream with its last 24 h in it, and what its script asks for then: the newest of them again."""
    now = clock()
    newest = urlencode({"from": (now - RENEWED).isoformat(), "step_s": DAY_STEP_S})
    names = [quote(stream.stream_id, safe="") for stream in streams]
    return [
        each
        for name in names
        for each in (("page", f"/ui/streams/{name}?range=24h"), ("renewal", f"/streams/{name}/chart?{newest}"))
    ]


async def ask_twice(client: httpx.AsyncClient, questions: Sequence[tuple[str, str]]) -> list[Answer]:
    """Each page, and at once again; one after the other, as one person does."""
    return [await ask(client, path, kind, is_first=is_first) for kind, path in questions for is_first in (True, False)]


async def ask(client: httpx.AsyncClient, path: str, kind: str, *, is_first: bool) -> Answer:
    """Timed from the request to the last byte. Raises BenchFailed for another answer than 200."""
    began_s = time.perf_counter()
    reply = await client.get(path)
    took_s = time.perf_counter() - began_s
    if reply.status_code != httpx.codes.OK:
        raise BenchFailed(f"{path} answered {reply.status_code}: {reply.text[:200]}")
    return Answer(kind, is_first, took_s * 1000, reply.num_bytes_downloaded, len(reply.content))


def figures_of(answers: Sequence[Answer]) -> dict[str, Any]:
    """Times of all, of first and of repeated looks, and of each kind; and the largest answer."""
    kinds = sorted({answer.kind for answer in answers})
    return {
        "all": times([answer.took_ms for answer in answers]),
        "first look": times([answer.took_ms for answer in answers if answer.is_first]),
        "again": times([answer.took_ms for answer in answers if not answer.is_first]),
        **{kind: times([answer.took_ms for answer in answers if answer.kind == kind]) for kind in kinds},
    }


def times(took_ms: Sequence[float]) -> dict[str, float]:
    """Count, percentiles and the longest."""
    ordered = sorted(took_ms)
    shares = (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("max_ms", 1.0))
    return {"count": len(ordered), **{name: round(percentile(ordered, share), 1) for name, share in shares}}


async def hear_news(
    client: httpx.AsyncClient,
    streams: Sequence[Stream],
    make_ill: Callable[[Stream], Awaitable[None]],
    rng: random.Random,
    *,
    pause_s: float = 2.0,
) -> list[float]:
    """Milliseconds from a scorer's write to the event in a browser, for each stream, after a pause of up to that."""
    took_ms = []
    async with client.stream("GET", "/events") as reply:
        events = _events(reply)
        await anext(events)  # the first tick: it listens
        for stream in streams:
            await asyncio.sleep(rng.uniform(0, pause_s))
            began_s = time.monotonic()
            await make_ill(stream)
            async with asyncio.timeout(ANSWER_LIMIT_S):
                while not _tells(await anext(events), stream.stream_id):
                    pass
            took_ms.append((time.monotonic() - began_s) * 1000)
    return took_ms


def _tells(event: tuple[str, str], stream_id: str) -> bool:
    """null in place of names says that much has changed: a browser looks again."""
    kind, data = event
    if kind != "streams":
        return False
    names = json.loads(data)
    return names is None or stream_id in names


async def _events(reply: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """The name and the data of each event; ours have one line of data."""
    fields: dict[str, str] = {}
    async for line in reply.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif "event" in fields:
            yield fields["event"], fields.get("data") or "null"
            fields = {}
