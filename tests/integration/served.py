"""An app served as the services are, and a client that says bytes no well-behaved one would."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from iops.serve import server_config
from iops.settings import ServiceSettings
from tests.integration.stand_ins import LIMIT_S, wait_until


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back before the connection ended or fell silent."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@asynccontextmanager
async def served(app: ASGIApp, settings: ServiceSettings) -> AsyncIterator[int]:
    """The port it is served on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(server_config(app, settings))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await wait_until(lambda: server.started or serving.done())
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


async def say(port: int, *parts: bytes, silence_s: float = LIMIT_S) -> bytes:
    """Says the parts, a moment apart, and hears until the end or `silence_s` of nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = bytearray()
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01 if len(parts) > 1 else 0)
        while data := await asyncio.wait_for(reader.read(65_536), silence_s):
            heard += data
    except (ConnectionError, TimeoutError):
        pass  # it hung up on what we said, or has no more to say
    finally:
        writer.transport.abort()
    return bytes(heard)


def answer_of(heard: bytes) -> Answer:
    """The first answer in it."""
    head, _, rest = heard.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]), headers, rest[: int(headers.get("content-length", len(rest)))])
