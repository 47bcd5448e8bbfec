"""How a service is served: `python -m services.<name>`, every limit explicit, drained at SIGTERM."""

import asyncio
import resource
import sys
from collections.abc import Callable
from socket import socket
from typing import Final, TypeVar

import uvicorn
from pydantic import ValidationError
from starlette.types import ASGIApp

from iops.settings import ServiceSettings
from iops.slow_clients import CONNECTIONS_LIMIT, BoundedHttpProtocol

GRACEFUL_SHUTDOWN_S: Final = 8  # above ingest's 5 s for one write; below the 10 s of `iops up`, and ECS's 30 s
BACKLOG: Final = 1_024  # connections that the kernel holds for us
OPEN_FILES: Final = 2 * CONNECTIONS_LIMIT  # sockets in, sockets out, and files

Chosen = TypeVar("Chosen", bound=ServiceSettings)


def serve(create_app: Callable[[Chosen], ASGIApp], settings_class: type[Chosen]) -> None:
    """Runs until SIGTERM or SIGINT; where the settings cannot be used, says why and exits with 1."""
    try:
        settings = settings_class()
    except ValidationError as error:
        sys.exit(str(error))
    _raise_open_files()
    app = create_app(settings)
    server = _Server(server_config(app, settings))
    server.stopping = getattr(app, "stopping", None)
    server.run()
    if not server.started:
        sys.exit(1)


class _Server(uvicorn.Server):
    """uvicorn waits for answers that are under way; one that has no end is told."""

    stopping: asyncio.Event | None = None

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Says it first."""
        if self.stopping is not None:
            self.stopping.set()
        await super().shutdown(sockets)


def server_config(app: ASGIApp, settings: ServiceSettings) -> uvicorn.Config:
    """uvicorn's configuration; nothing in it is left to the environment."""
    return uvicorn.Config(
        app,
        host=settings.listen_host,
        port=settings.listen_port,
        workers=1,
        loop="auto",  # uvloop, where there is one
        http=BoundedHttpProtocol,
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,  # the app has configured it
        access_log=False,  # each request has its own line
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        limit_concurrency=None,  # it counts requests, not connections, and answers in plain text
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
    )


def _raise_open_files() -> None:
    """Where the shell's limit is 1,024, the limit of connections would never be reached, and accepting would fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
