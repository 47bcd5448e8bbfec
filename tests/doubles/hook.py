"""A receiver of webhooks that does as a test says: takes, refuses, hangs, drips, redirects."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

DRIP_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Does:
    """What it does with one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    drips: bool = False  # one byte after the other, for ever


class Hook:
    """`does` is what comes next; then it takes everything."""

    def __init__(self) -> None:
        self.does: deque[Does] = deque()
        self.always = Does()
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.port = 0
        self.is_over = asyncio.Event()  # a server waits for its handlers

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/hook"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.headers.append(request.headers)
        does = self.does.popleft() if self.does else self.always
        if does.hangs:
            await self.is_over.wait()
        if does.drips:
            return await self._drip(request)
        return web.Response(status=does.status, body=does.body, headers=does.headers)

    async def _drip(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not self.is_over.is_set():
            await response.write(b"o")
            await asyncio.sleep(DRIP_S)
        return response


@asynccontextmanager
async def running_hook(host: str = "127.0.0.1", *, port: int = 0) -> AsyncIterator[Hook]:
    """A server of its own, on any free port where none is given."""
    hook = Hook()
    runner = web.ServerRunner(web.Server(hook.answer), handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        hook.port = runner.addresses[0][1]
        yield hook
    finally:
        hook.is_over.set()
        await runner.cleanup()
