"""The agent's life: start, watch the disks, stop when told."""

from __future__ import annotations

import asyncio
import random
import signal

import httpx
import structlog

from agent.key_file import KeyFile
from agent.send import TIMEOUT, Sender
from agent.settings import AgentSettings
from agent.sink import FileSink, ServerSink, Sink
from agent.spool import Spool
from agent.watch import Watch
from iops import clock
from iops.errors import NotFound

log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def run(settings: AgentSettings) -> None:
    """Read this machine's disks until SIGTERM or SIGINT."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await run_until(stop, settings)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def run_until(stop: asyncio.Event, settings: AgentSettings) -> None:
    """Read this machine's disks until `stop`; when it returns, every sample is sent, spooled or said to be lost."""
    if not (settings.proc_root / "diskstats").is_file():
        raise NotFound(f"there is no {settings.proc_root}/diskstats: the agent reads the disks of Linux")
    target = str(settings.out) if settings.out else settings.url
    log.info("agent_started", host=settings.host, target=target, interval_s=settings.interval_s)
    async with build_client(settings) as client:
        sink = await _open_sink(settings, client)
        async with asyncio.TaskGroup() as group:
            group.create_task(sink.run())
            await Watch(settings, sink).run(stop)
            sink.finish()
    log.info("agent_stopped")


def build_client(settings: AgentSettings) -> httpx.AsyncClient:
    """One client with keep-alive for all requests. Raises UnusableFile for a key's file."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "User-Agent": "iops-agent"}
    auth: KeyFile | None = None
    if settings.api_key:
        headers["X-API-Key"] = settings.api_key.get_secret_value()
    elif settings.api_key_file:
        auth = KeyFile(settings.api_key_file)
    # A proxy from the environment is for the outside; this machine itself is never behind it.
    direct: dict[str, httpx.AsyncBaseTransport | None] = {"all://127.0.0.1": None, "all://localhost": None}
    return httpx.AsyncClient(base_url=settings.url, headers=headers, auth=auth, timeout=TIMEOUT, mounts=direct)


async def _open_sink(settings: AgentSettings, client: httpx.AsyncClient) -> Sink:
    if settings.out:
        return FileSink(settings.out)
    spool = await asyncio.to_thread(Spool, settings.spool_dir, limit_bytes=settings.spool_limit_bytes)
    return ServerSink(Sender(client, spool, rng=random.SystemRandom(), clock=clock.now))
