"""What the session routes work with, and the two questions that they all ask of a request."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import quote

import aiohttp
from fastapi import Depends, Request
from fastapi.exceptions import HTTPException
from starlette.datastructures import QueryParams

from iops.auth import Caller, Role
from iops.clock import Clock
from iops.errors import Forbidden, Unauthenticated
from iops.gate import Admit, Gate, Nobody, OpenGate, Tokens, origin_of
from iops.keys import RandomBytes
from iops.peppers import Peppers
from iops.table import Table
from services.insights.session.hosted_ui import EXCHANGE_TIMEOUT_S, HostedUi, asking
from services.insights.session.limits import Limits
from services.insights.settings import InsightsSettings

NEXT_LIMIT: Final = 500  # characters of where a sign-in ends; they lie in a cookie meanwhile


@dataclass(frozen=True, slots=True)
class Desk:
    """The lifespan opens it, as `app.state.session`."""

    table: Table
    clock: Clock
    peppers: Callable[[], Peppers]
    people: Tokens
    public_url: str
    hosted_ui: HostedUi | None  # None where people have no directory
    random_bytes: RandomBytes = secrets.token_bytes
    monotonic_s: Callable[[], float] = time.monotonic
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", Limits(self.monotonic_s))

    @property
    def is_https(self) -> bool:
        """Whether browsers come by https."""
        return self.public_url.lower().startswith("https://")

    def url_of(self, path: str) -> str:
        """As somebody types it."""
        return f"{self.public_url.rstrip('/')}{path}"

    def check_origin(self, request: Request) -> None:
        """Raises Forbidden unless a page of ours sent it."""
        if request.headers.get("origin") != origin_of(self.public_url):
            raise Forbidden("this is for this product's own pages only")


@asynccontextmanager
async def open_desk(
    settings: InsightsSettings, table: Table, gate: Gate | OpenGate, *, people: Tokens | None, now: Clock
) -> AsyncIterator[Desk | None]:
    """None where everybody is let in. It asks nobody before somebody signs in."""
    if isinstance(gate, OpenGate):
        yield None
        return
    timeout = aiohttp.ClientTimeout(total=EXCHANGE_TIMEOUT_S)
    async with aiohttp.ClientSession(
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        hosted_ui = None
        if settings.hosted_ui_url:
            client_id, public_url = settings.client_ids[0], settings.public_url
            hosted_ui = HostedUi(
                settings.hosted_ui_url, client_id=client_id, public_url=public_url, ask=asking(session)
            )
        yield Desk(table, now, gate.keys.peppers, people or Nobody(), settings.public_url, hosted_ui)


async def _desk(request: Request) -> Desk:
    desk: Desk | None = request.app.state.session
    if desk is None:
        raise Forbidden("IOPS_AUTH=off: everybody is let in here, and nobody signs in")
    return desk


TheDesk = Annotated[Desk, Depends(_desk)]


class AdmitToPage(Admit):
    """The same for a page: a browser that nobody signed in is sent to where people do."""

    async def __call__(self, request: Request) -> Caller:
        """Raises HTTPException, a 303, instead of Unauthenticated; not to an open page that renews itself, whose
        script could not follow it to the directory."""
        try:
            return await super().__call__(request)
        except Unauthenticated as error:
            if "hx-request" in request.headers:
                raise
            there = QueryParams({"next": _way_back(request)})
            raise HTTPException(303, "sign in first", {"Location": f"/session/sign-in?{there}"}) from error


def _way_back(request: Request) -> str:
    """The page with its filter, in ASCII; without it where that is too long."""
    path, query = quote(request.url.path), quote(request.url.query, safe="=&%+")
    whole = f"{path}?{query}" if query else path
    return whole if len(whole) <= NEXT_LIMIT else path


PageViewer = Annotated[Caller, Depends(AdmitToPage(Role.VIEWER))]
