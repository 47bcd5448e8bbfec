"""Hosts with a disk that turns slow, and the insights service that asks doubles of language models about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from iops import items
from iops.bus import ScoringQueue, ScoringRequest
from iops.clock import now, to_epoch_ms
from iops.insight import Insight
from iops.table import Table
from iops.telemetry import Batch, Sample, window_from_samples
from tests.doubles.bedrock import Bedrock
from tests.doubles.chat import Chat
from tests.integration.examples import a_sample
from tests.integration.stand_ins import wait_until
from tests.integration.test_insights import insights_service, rows_of
from tests.secret_documents import write_secrets

MINUTES: Final = 14  # no history, so only peers speak, and they need ten
WRITES_AT_ONCE: Final = 16
CALL_USD: Final = 0.002695  # what the double's answer costs: 1,200 x $1.10 + 250 x $5.50, a million
RISK_65, RISK_70, RISK_85 = 3.0, 3.302, 5.657  # times slower than peers


@dataclass(frozen=True, slots=True)
class Host:
    """Four disks; the first is so many times slower than the others, by all that was measured."""

    name: str = "web-1"
    slowdown: float = 1.0
    sick: str = ""  # the first one's id, where it is another one
    labels: dict[str, str] = field(default_factory=dict)  # of all four
    stalls: bool = False  # nothing completes any more, instead

    @property
    def stream_id(self) -> str:
        return self.sick or f"{self.name}:sda"


@dataclass(frozen=True, slots=True)
class Service:
    """The insights app, and what its operators see."""

    client: httpx.AsyncClient

    async def analyse(self, stream_id: str) -> Insight:
        """As a person asks."""
        reply = await self.client.post(f"/streams/{quote(stream_id)}/insight")
        assert reply.status_code == 201, reply.text
        return Insight.model_validate_json(reply.content)

    async def number(self, name: str) -> float:
        """One of its metrics, summed over the labels that `name` leaves out."""
        lines = (await self.client.get("/internal/metrics")).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    async def cost(self) -> dict[str, Any]:
        return dict((await self.client.get("/cost")).json())

    async def wait_for(self, name: str, least: float) -> None:
        async def is_reached() -> bool:
            return await self.number(name) >= least

        await wait_until(is_reached)


def asking(*doubles: Bedrock) -> dict[str, Any]:
    """The settings of a service that asks these, in this order."""
    settings: dict[str, Any] = {
        "explainers": tuple("openai" if isinstance(one, Chat) else "bedrock" for one in doubles)
    }
    for double in doubles:
        if isinstance(double, Chat):
            settings |= {"openai_base_url": f"{double.url}/v1", "openai_model": "local-model"}
        else:
            settings |= {"bedrock_endpoint_url": double.url}
    return settings


@asynccontextmanager
async def explaining(
    url: str, folder: Path, *, flags: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Service]:
    """The service with its flags read from `folder`; language models may be asked where `flags` do not forbid it."""
    file, said = folder / "flags.json", {"ai_enabled": True, "llm_daily_usd": 5.0} | (flags or {})
    file.write_text(json.dumps(said))
    settings.setdefault("secrets_file", write_secrets(folder / "secrets.json"))
    async with insights_service(url, flags_file=file, **settings) as client:
        service = Service(client)

        async def are_read() -> bool:
            return await service.number('iops_flag{flag="llm_daily_usd"}') == float(said["llm_daily_usd"])

        await wait_until(are_read)
        yield service


async def store_hosts(table: Table, hosts: Sequence[Host]) -> datetime:
    """Stores what all disks did lately; answers when that began."""
    begin = now().replace(second=0, microsecond=0) - timedelta(minutes=MINUTES)
    places = asyncio.Semaphore(WRITES_AT_ONCE)

    async def store(host: Host, number: int) -> None:
        stream_id = host.stream_id if number == 0 else f"{host.name}:sd{'abcd'[number]}"
        samples = _samples(host if number == 0 else Host(host.name), begin)
        # As a row may be that no door of ours let in: nothing is checked.
        batch = Batch.model_construct(
            stream_id=stream_id,
            peer_group=host.name,
            labels=host.labels,
            provisioned_iops=None,
            samples=samples,
        )
        async with places:
            await table.put_all(items.chunk_items(stream_id, window_from_samples(samples)), deadline_s=5)
            await table.update(items.stream_seen_update(batch, now_ms=to_epoch_ms(now())))
            await table.put(items.member_item(host.name, stream_id))

    await asyncio.gather(*(store(host, number) for host in hosts for number in range(4)))
    return begin


async def ask_for(queue: ScoringQueue, hosts: Sequence[Host], *, since: datetime) -> None:
    """Asks for a score of each host, as ingest does."""
    requests = [ScoringRequest(peer_group=host.name, since_ms=to_epoch_ms(since)) for host in hosts]
    sent = [queue.send(requests[start : start + 10]) for start in range(0, len(requests), 10)]
    assert await asyncio.gather(*sent) == [[]] * len(sent)


async def insights_of(table: Table) -> list[Insight]:
    return [items.item_to_insight(row) for row in await rows_of(table, "insight")]


async def told_of(table: Table) -> list[Insight]:
    """What lies in the outbox, the newest first."""
    return [items.item_to_insight(row) for row in await rows_of(table, "outbox")]


async def wait_for_insights(table: Table, count: int = 1, *, limit_s: float = 20) -> list[Insight]:
    async def are_there() -> bool:
        return len(await rows_of(table, "insight")) >= count

    await wait_until(are_there, limit_s=limit_s)
    return await insights_of(table)


async def wait_for_words(table: Table, count: int = 1, *, limit_s: float = 20) -> list[Insight]:
    """The insights, when all of them say who worded them in the end, or who was asked in vain."""

    async def are_settled() -> bool:
        found = await insights_of(table)
        return len(found) == count and all(each.call or each.explainers_asked for each in found)

    await wait_until(are_settled, limit_s=limit_s)
    return await insights_of(table)


def _samples(host: Host, begin: datetime) -> tuple[Sample, ...]:
    slow = {"write_iops": 0.0, "write_bytes_s": 0.0, "write_await_ms": None, "read_await_ms": host.slowdown}
    samples = [
        a_sample(at=begin + timedelta(minutes=minute), interval_s=60.0, **slow) for minute in range(1, MINUTES + 1)
    ]
    if host.stalls:
        halted = slow | {"read_iops": 0.0, "read_bytes_s": 0.0, "read_await_ms": None, "utilization_ratio": 1.0}
        last = samples[-2:]
        samples[-2:] = [a_sample(at=each.at, interval_s=60.0, in_flight=8, **halted) for each in last]
    return tuple(samples)
