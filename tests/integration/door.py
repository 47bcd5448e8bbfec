"""A running ingest, batches for it, and what the table then holds."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import uvicorn

from iops import contract, items
from iops.clock import to_epoch_ms
from iops.telemetry import Window
from services.ingest.app import create_app
from services.ingest.settings import IngestSettings
from tests.integration.stand_ins import LIMIT_S, Cloud, Wire, wait_until, wire_to

DISK: Final = "web-1:nvme0n1"
GOOD_SAMPLE: Final = {
    "interval_s": 1.0, "read_iops": 210.0, "write_iops": 95.0, "read_bytes_s": 3440640, "write_bytes_s": 1556480,
    "read_await_ms": 0.41, "write_await_ms": 0.92, "queue_depth": 0.17, "utilization_ratio": 0.14, "in_flight": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Door:
    """A running ingest and the wire between it and its table."""

    port: int
    client: httpx.AsyncClient
    wire: Wire

    async def post(self, body: Any, **headers: str) -> httpx.Response:
        """`body` as it is where it is bytes, else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/metrics", content=content, headers=named)


@asynccontextmanager
async def open_door(cloud: Cloud, **settings: float) -> AsyncIterator[Door]:
    async with wire_to(cloud.endpoint_url) as wire:
        quick: dict[str, Any] = {"body_timeout_s": 0.5, "store_deadline_s": 0.3, "store_wait_s": 1.0}
        chosen = {"aws_timeout_s": 0.5, **quick, **settings}
        app = create_app(IngestSettings(aws_endpoint_url=wire.url, **chosen))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await wait_until(lambda: server.started or serving.done())
            try:
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S) as client:
                    yield Door(port, client, wire)
            finally:
                wire.mend()
                server.should_exit = True
                await serving


def a_sample(age_s: float = 60.0, **fields: Any) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    return {"at": at.isoformat(timespec="milliseconds"), **GOOD_SAMPLE, **fields}


def a_batch(count: int = 3, *, stream_id: str = DISK, **fields: Any) -> dict[str, Any]:
    return {"stream_id": stream_id, "samples": [a_sample(count + 60 - second) for second in range(count)], **fields}


async def everything(cloud: Cloud) -> list[Any]:
    """What senders and their samples left in the table; not what services say of themselves."""
    found: list[Any] = (await cloud.call("dynamodb", "scan", TableName=contract.TABLE_NAME))["Items"]
    return [row for row in found if not row[contract.PARTITION_KEY]["S"].startswith("pulse#")]


async def stored(cloud: Cloud, stream_id: str = DISK) -> list[Window]:
    """The chunks of a stream."""
    request = items.chunks_query(stream_id, from_ms=0, to_ms=items.chunks.LAST_INSTANT_MS, is_consistent=True)
    reply = await cloud.call("dynamodb", "query", TableName=contract.TABLE_NAME, **request)
    return [items.item_to_window(row) for row in reply["Items"]]


def instants(windows: list[Window]) -> list[int]:
    return sorted(at_ms for window in windows for at_ms in window.at_ms)


def instants_of(batch: dict[str, Any]) -> list[int]:
    return sorted(to_epoch_ms(datetime.fromisoformat(sample["at"])) for sample in batch["samples"])
