"""Who may come in: finds the caller of a request, and lets a route's signature say what they must be.

async def acknowledge(caller: Annotated[Caller, Requires(Role.OPERATOR)]) -> Alert: ...
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Annotated, Any, Final, Protocol, get_type_hints
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Depends
from starlette.types import Scope

from iops import contract
from iops.allowance import Allowance
from iops.auth import Caller, Role
from iops.clock import Clock
from iops.errors import Forbidden, Unauthenticated, Unavailable
from iops.keyring import KeyRing
from iops.loopback import is_loopback_host, is_loopback_url
from iops.observability import Metrics
from iops.peppers import Peppers
from iops.secrets import open_secret
from iops.settings import ServiceSettings
from iops.table import Table

SESSION_COOKIE: Final = b"iops_session"
SECURE_SESSION_COOKIE: Final = b"__Host-" + SESSION_COOKIE  # a browser takes it only by https, for the whole host
CALLER: Final = "iops.caller"  # of a request, in its scope
MISSES_BURST: Final = 60  # unknown keys or tokens of one address; each costs a read, or a look at a signature
MISS_EVERY_S: Final = 2.0  # then one more
MISSES_RETRY_S: Final = 30
KEY_BEGINNING: Final = b"iops_"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HOW: Final = "send an API key as X-API-Key, or sign in; `iops keys create` makes a key"


class Tokens(Protocol):
    """Who tells the people of a token: `iops.people`, or a test's double."""

    async def caller_of(self, token: str, /) -> Caller:
        """Raises Unauthenticated, Forbidden or Unavailable."""
        ...

    def remembers(self, token: str, /) -> bool:
        """Whether it held when it was last looked at."""
        ...


class Nobody:
    """Where people do not sign in."""

    async def caller_of(self, _: str) -> Caller:
        """Always raises Unauthenticated."""
        raise Unauthenticated("this is no API key, and people do not sign in here: IOPS_ISSUER is not set")

    def remembers(self, _: str) -> bool:
        """Never."""
        return False


class Gate:
    """Finds callers by API key, by the token of a person, or by the session that a browser holds of either."""

    def __init__(
        self,
        keys: KeyRing,
        people: Tokens,
        *,
        origin: str = "",
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`origin` is where our pages come from: a session may change things for no other."""
        self.keys, self._people, self._origin = keys, people, origin
        # Over https the other name counts for nothing: a page of a neighbouring host could have planted it.
        self._cookie = SECURE_SESSION_COOKIE if origin.startswith("https:") else SESSION_COOKIE
        self._misses = Allowance(monotonic_s, burst=MISSES_BURST, every_s=MISS_EVERY_S)

    def known(self, scope: Scope) -> Caller | None:
        """The caller, where that takes neither table nor cryptography of people: the way of nearly all telemetry."""
        key = bearer = None
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                if key is not None:
                    return None  # _find refuses two
                key = value
            elif name == b"authorization":
                if bearer is not None:
                    return None
                bearer = value[7:] if value[:7].lower() == b"bearer " else b""
        return self.keys.known(key or bearer or b"")

    async def admit(self, scope: Scope, role: Role) -> Caller:
        """The caller, who has the role. Raises Unauthenticated, Forbidden, or Unavailable where that cannot be told."""
        caller = self.known(scope) or await self._find(scope)
        scope[CALLER] = caller
        if not caller.may(role):
            raise Forbidden(f"{caller.name} is {caller.role} here, and this is for {role}")
        return caller

    async def _find(self, scope: Scope) -> Caller:
        credential = _credential_of(scope, self._cookie)
        if credential.is_cookie and scope["method"] not in SAFE_METHODS:
            self._check_origin(scope)
        address, text = address_of(scope), credential.text
        token = None if text.startswith(KEY_BEGINNING) else text.decode("latin-1")
        is_remembered = self.keys.remembers(text) if token is None else self._people.remembers(token)
        # What is remembered comes in, or one agent with a bad key stops all, and everybody, behind its address.
        if not is_remembered and not self._misses.has(address):  # 503: telemetry that meets a 429 is dropped by some
            raise Unavailable("too many unknown keys came from your address", retry_after_s=MISSES_RETRY_S)
        try:
            return await (self.keys.caller_of(text) if token is None else self._people.caller_of(token))
        except Unauthenticated:
            self._misses.use(address)
            raise

    def _check_origin(self, scope: Scope) -> None:
        origin = _header(scope, b"origin").decode("latin-1")
        if not self._origin or origin != self._origin:
            raise Forbidden("a session changes things from this product's own pages only")


class OpenGate:
    """Everybody is let in: for a laptop, and only for who comes in by its loopback."""

    async def admit(self, scope: Scope, _: Role) -> Caller:
        """Always a caller, who may all."""
        scope[CALLER] = caller = _whoever(scope)
        return caller


@asynccontextmanager
async def open_gate(
    settings: ServiceSettings, table: Table, now: Clock, metrics: Metrics, *, people: Tokens | None = None
) -> AsyncIterator[Gate | OpenGate]:
    """The gate that the settings want; its peppers are read again as they rotate.

    Raises SecretUnread where there are none.
    """
    if settings.auth == "off":
        yield OpenGate()
        return
    async with open_secret(settings, contract.PEPPER_SECRETS, Peppers, metrics) as peppers:
        rereading = asyncio.create_task(peppers.run(), name="peppers")
        try:
            keys = KeyRing(table, lambda: peppers.current, now)
            yield Gate(keys, people or Nobody(), origin=origin_of(settings.public_url))
        finally:
            rereading.cancel()


@dataclass(frozen=True, slots=True)
class Admit:
    """A dependency: the caller of a request, who has the role."""

    role: Role

    async def __call__(self, request: Request) -> Caller:
        return await gate_of(request).admit(request.scope, self.role)


async def let_everybody_in() -> None:
    """What a route depends on that asks nobody who they are."""


PUBLIC: Final = Depends(let_everybody_in)


def Requires(role: Role) -> Any:  # noqa: N802 - it stands in signatures as FastAPI's own Depends, Query and Path do
    """For `Annotated[Caller, Requires(Role.VIEWER)]`."""
    return Depends(_admit(role))


@cache
def _admit(role: Role) -> Admit:
    return Admit(role)


Viewer = Annotated[Caller, Requires(Role.VIEWER)]
Operator = Annotated[Caller, Requires(Role.OPERATOR)]
Admin = Annotated[Caller, Requires(Role.ADMIN)]
Agent = Annotated[Caller, Requires(Role.AGENT)]


def role_of(endpoint: Callable[..., Any]) -> Role:
    """What an endpoint asks for in its signature; raises TypeError where it does not say."""
    for hint in get_type_hints(endpoint, include_extras=True).values():
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, Depends) and isinstance(mark.dependency, Admit):
                return mark.dependency.role
    raise TypeError(f"{endpoint.__name__} does not say who may call it: give it a `caller` (iops.gate)")


def roles_of(dependant: Dependant) -> set[Role | None]:
    """What a route of FastAPI asks for; None stands for PUBLIC, an empty set for a route that does not say."""
    found: set[Role | None] = set()
    if isinstance(dependant.call, Admit):
        found.add(dependant.call.role)
    if dependant.call is let_everybody_in:
        found.add(None)
    return found.union(*map(roles_of, dependant.dependencies))


def gate_of(request: Request) -> Gate | OpenGate:
    """What the service's lifespan opened."""
    gate: Gate | OpenGate = request.app.state.gate
    return gate


def key_of(scope: Scope) -> bytes | None:
    """The API key that an admitted request came with; None where it came as a person, or nobody was asked."""
    try:
        text = _credential_of(scope, SECURE_SESSION_COOKIE, SESSION_COOKIE).text
    except Unauthenticated:
        return None
    return text if text.startswith(KEY_BEGINNING) else None


def address_of(scope: Scope) -> str:
    """Where a request comes from, as the load balancer says it."""
    client = scope.get("client")
    return client[0] if client else "unknown"


def origin_of(url: str) -> str:
    """As a browser names it.

    >>> origin_of("https://iops.example.com/fleet")
    'https://iops.example.com'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


@dataclass(frozen=True, slots=True)
class _Credential:
    text: bytes
    is_cookie: bool = False


def _credential_of(scope: Scope, *cookies: bytes) -> _Credential:
    if key := _only(scope, b"x-api-key"):
        return _Credential(key)
    if authorization := _only(scope, b"authorization"):
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            raise Unauthenticated(f"Authorization has to be `Bearer <key or token>`; {HOW}")
        return _Credential(token.strip())
    sent = dict(part.strip().partition(b"=")[::2] for part in _header(scope, b"cookie").split(b";"))
    if session := next(filter(None, map(sent.get, cookies)), None):
        return _Credential(session, is_cookie=True)
    raise Unauthenticated(HOW)


def _only(scope: Scope, wanted: bytes) -> bytes:
    """Raises Unauthenticated for two of that name: a proxy before us may have read the other one."""
    values = [value for name, value in scope["headers"] if name == wanted]
    if len(values) > 1:
        raise Unauthenticated(f"send {wanted.decode()} once")
    return values[0] if values else b""


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _whoever(scope: Scope) -> Caller:
    """Raises Forbidden for another machine, and for a foreign page in this machine's browser."""
    host, origin = _header(scope, b"host").decode("latin-1"), _header(scope, b"origin").decode("latin-1")
    if not _is_this_machine((scope.get("server") or ("",))[0], host, origin):
        raise Forbidden("IOPS_AUTH=off serves this machine only; unset it, and come with a key")
    return Caller(address_of(scope), Role.ADMIN)


@lru_cache(maxsize=256)
def _is_this_machine(server: str, host: str, origin: str) -> bool:
    return is_loopback_host(server) and is_loopback_url(f"//{host}") and (not origin or is_loopback_url(origin))
