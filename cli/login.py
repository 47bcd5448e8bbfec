"""Signing in: a key for this machine that a person approves, a browser for who has a key, and the end of both."""

from __future__ import annotations

import asyncio
import socket
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx

from cli import login_store
from cli.outcome import Outcome, Refused, Unreachable
from cli.screen import complain, instant, plain, print_line
from cli.server import Row, Server, Sleep, Transport

NAME_LIMIT: Final = 64  # characters
INTERVAL_S: Final = 5.0  # where the server does not say; as RFC 8628 has it
SLOWER_S: Final = 5.0  # the same says by how much, where the server finds it too often or does not answer
LONGEST_S: Final = 900.0  # whatever a server says
WAITING: Final = frozenset({"authorization_pending", "slow_down", "rate_exceeded", "unavailable", "table_unavailable"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a login touches beside the server."""

    transport: Transport | None = None
    sleep: Sleep = asyncio.sleep
    open_browser: Callable[[str], bool] = webbrowser.open


async def login(url: str, *, name: str | None, opens: bool, around: Surroundings) -> Outcome:
    """Shows a code, waits until somebody who is signed in has typed it, and keeps the key."""
    label = (name or socket.gethostname())[:NAME_LIMIT]
    async with Server(url, transport=around.transport, credential_for=_nothing) as server:
        begun = await server.post_json("/session/device", {"name": label})
        address = _web_address(begun.get("verification_url"))
        print_line(f"Open {address} and type the code {plain(begun.get('user_code'))}")
        if opens:
            await asyncio.to_thread(around.open_browser, address)  # without one, the line above is enough
        made = await _wait_for_key(server, begun, around.sleep)
    key = made.get("key")
    if not isinstance(key, str) or not key:
        raise Refused("the server approved it, and gave no key")
    login_store.keep(url, key)
    print_line(f"Signed in until {instant(made.get('expires_at'))} UTC; `iops logout` ends it")
    return Outcome.OK


async def logout(url: str, *, transport: Transport | None) -> Outcome:
    """Revokes the key of this machine's login and forgets it. Raises Unreachable, and then the key is still here."""
    key = login_store.kept(url)
    if key is None:
        raise Refused(f"nobody is signed in at {url} by `iops login`")
    async with Server(url, transport=transport, credential_for=lambda _: key) as server:
        try:
            await server.delete("/session")
        except Refused as refusal:
            if refusal.code != "unauthenticated":  # it has ended by itself
                raise
    login_store.forget(url)
    print_line("Signed out; the key holds nowhere after 60 s")
    return Outcome.OK


async def open_dashboard(url: str, *, prints: bool, around: Surroundings) -> Outcome:
    """Opens the dashboard in a browser that is signed in as who asks."""
    async with Server(url, transport=around.transport) as server:
        link = await server.post_json("/session/links", {})
    address = _web_address(link.get("url"))
    if prints:
        print_line(address)
        complain("the link holds for 60 s, and for whoever opens it first")
    elif not await asyncio.to_thread(around.open_browser, address):
        raise Refused("no browser could be opened; `iops open --print` prints the link")
    return Outcome.OK


async def _wait_for_key(server: Server, begun: Row, sleep: Sleep) -> Row:
    interval_s = _seconds(begun.get("interval"), INTERVAL_S)
    left_s = _seconds(begun.get("expires_in"), LONGEST_S)
    body: Row = {"device_code": begun.get("device_code")}
    while left_s > 0:
        await sleep(interval_s)
        left_s -= interval_s
        try:
            return await server.post_json("/session/device/token", body)
        except Refused as refusal:
            if refusal.code not in WAITING:
                raise
            interval_s += 0.0 if refusal.code == "authorization_pending" else SLOWER_S
        except Unreachable:
            interval_s += SLOWER_S
    raise Refused("nobody approved it in time; `iops login` begins again")


def _seconds(value: object, default: float) -> float:
    return min(max(float(value), 1.0), LONGEST_S) if isinstance(value, int | float) else default


def _web_address(value: object) -> str:
    """A server's word for a page: it goes to a browser, so it is http and nothing that the shell of one would run."""
    try:
        address = httpx.URL(value) if isinstance(value, str) else None
    except httpx.InvalidURL:
        address = None
    if address is None or address.scheme not in ("http", "https") or not address.host:
        raise Refused("the server named no page to open")
    return str(address)


def _nothing(_: str) -> None:
    """A login comes with no credential: an old one would only be refused."""
