"""People, by the tokens that Cognito signs for them: who it is, and which of our roles their groups give."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import aiohttp
from jwt import InvalidTokenError, PyJWS
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iops.auth import Caller, Role
from iops.body import harmless
from iops.clock import Clock
from iops.errors import Forbidden, Unauthenticated
from iops.jwks import FETCH_TIMEOUT_S, KEY_ID_LIMIT, KeySet, fetching
from iops.observability import Metrics
from iops.settings import ServiceSettings

TOKEN_LIMIT: Final = 8 * 1024  # characters; Cognito's have 1,000 or 2,000
LEEWAY_S: Final = 60.0  # of clocks that differ
CACHED_S: Final = 60.0  # a token that was verified
CACHE_LIMIT: Final = 1_024  # tokens; 0.5 MB
NAME_LIMIT: Final = 128  # characters, Cognito's own limit for user names
ALGORITHMS: Final = ("RS256",)
ROLES: Final = (Role.ADMIN, Role.OPERATOR, Role.VIEWER)  # the highest first; an agent is no person

AGAIN: Final = "sign in again"


class Claims(BaseModel):
    """What a token says, once its signature holds. Cognito puts the client into one of two claims."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    iss: str
    sub: str = Field(min_length=1, max_length=NAME_LIMIT)
    exp: float
    iat: float | None = None
    nbf: float | None = None
    token_use: Literal["access", "id"]
    client_id: object = None
    aud: object = None
    # Users and administrators of the pool fill these: whatever type they have, nobody is refused for it.
    groups: object = Field(default=None, alias="cognito:groups")
    cognito_username: object = Field(default=None, alias="cognito:username")
    username: object = None
    email: object = None
    email_verified: object = None


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are taken, and which of its clients' they have to be."""

    name: str
    client_ids: frozenset[str]


class People:
    """Verifies tokens. One that held is believed for 60 s more without a look: the check costs 0.12 ms."""

    def __init__(self, issuer: Issuer, keys: KeySet, now: Clock) -> None:
        self._issuer = issuer
        self._keys = keys
        self._now = now
        self._jws = PyJWS(algorithms=ALGORITHMS)
        self._verified: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    async def caller_of(self, token: str) -> Caller:
        """Raises Unauthenticated, Forbidden, IdentityUnavailable; none of them says the token."""
        if len(token) > TOKEN_LIMIT or not token.isascii():
            raise Unauthenticated(f"the token is none of ours: longer than {TOKEN_LIMIT} characters, or not ASCII")
        digest = _digest_of(token)
        caller, until = self._verified.get(digest, (None, 0.0))
        if caller is not None and self._now().timestamp() < until:
            self._verified.move_to_end(digest)
            return caller
        try:
            claims = parse_claims(await self._payload_of(token))
            check_claims(claims, self._issuer, self._now())
            caller = caller_in(claims)
        except (Unauthenticated, Forbidden):
            self._verified.pop(digest, None)
            raise
        self._remember(digest, caller, claims.exp)
        return caller

    def remembers(self, token: str) -> bool:
        """Whether it held when it was last looked at; some of those that ended are still among them."""
        return _digest_of(token) in self._verified

    async def _payload_of(self, token: str) -> bytes:
        """What was signed. Raises Unauthenticated, IdentityUnavailable."""
        try:
            key = await self._keys.key_of(_key_id(self._jws.get_unverified_header(token)))
            payload: bytes = self._jws.decode(token, key, algorithms=ALGORITHMS)
        except InvalidTokenError as error:
            raise Unauthenticated(f"the token is broken or its signature does not hold; {AGAIN}") from error
        return payload

    def _remember(self, digest: bytes, caller: Caller, expires_at: float) -> None:
        self._verified[digest] = (caller, min(expires_at, self._now().timestamp() + CACHED_S))
        self._verified.move_to_end(digest)
        while len(self._verified) > CACHE_LIMIT:
            self._verified.popitem(last=False)


def _digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _key_id(header: dict[str, object]) -> str:
    """Before a key is looked for: where else a header would have us look for one (jku, x5u, jwk) is not read."""
    key_id = header.get("kid")
    if header.get("alg") not in ALGORITHMS or "crit" in header:
        raise Unauthenticated(f"the token is not signed as our issuer signs, with RS256; {AGAIN}")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_LIMIT:
        raise Unauthenticated(f"the token does not name the key it is signed with; {AGAIN}")
    return key_id


def parse_claims(payload: bytes) -> Claims:
    """Raises Unauthenticated."""
    try:
        return Claims.model_validate_json(payload)
    except ValidationError as error:
        fields = sorted({str(problem["loc"][0]) for problem in error.errors(include_input=False) if problem["loc"]})
        wrong = f"its {', '.join(fields)} cannot be used" if fields else "its claims cannot be read"
        raise Unauthenticated(f"the token is not one of a signed-in person: {wrong}; {AGAIN}") from error


def check_claims(claims: Claims, issuer: Issuer, now: datetime) -> None:
    """Raises Unauthenticated unless they are from the issuer, for one of its clients, and of this moment."""
    if claims.iss != issuer.name:
        raise Unauthenticated(f"the token is of another issuer; {AGAIN} here")
    client = {"access": claims.client_id, "id": claims.aud}[claims.token_use]
    if not isinstance(client, str) or client not in issuer.client_ids:
        raise Unauthenticated(f"the token is for another program; {AGAIN} here")
    now_s = now.timestamp()
    if now_s >= claims.exp + LEEWAY_S:
        raise Unauthenticated(f"the token has expired; {AGAIN}")
    if now_s < max(claims.iat or 0.0, claims.nbf or 0.0) - LEEWAY_S:
        raise Unauthenticated("the token is of the future; set the clock of this service or of the issuer")


def caller_in(claims: Claims) -> Caller:
    """Raises Forbidden for somebody in none of our groups."""
    groups: Collection[object] = claims.groups if isinstance(claims.groups, list) else ()
    for role in ROLES:
        if role.value in groups:
            return Caller(name_in(claims), role)
    raise Forbidden("you are in none of the groups viewer, operator and admin; ask an administrator for one")


def name_in(claims: Claims) -> str:
    """As histories and logs show somebody: one short line.

    >>> said = {"iss": "i", "sub": "8f14", "exp": 1, "token_use": "id", "cognito:username": "ann\\n"}
    >>> name_in(Claims(**said)), name_in(Claims(**said, email="ann@example.com", email_verified=True))
    ('ann', 'ann@example.com')
    """
    email = claims.email if claims.email_verified is True else None
    for name in (email, claims.cognito_username, claims.username, claims.sub):
        shown = " ".join(harmless(name).split())[:NAME_LIMIT] if isinstance(name, str) else ""
        if shown:
            return shown
    return "unnamed"


@asynccontextmanager
async def open_people(settings: ServiceSettings, now: Clock, metrics: Metrics) -> AsyncIterator[People | None]:
    """None where no issuer is configured. The keys are fetched when the first token comes."""
    if settings.issuer is None:
        yield None
        return
    url = settings.jwks_url or f"{settings.issuer.rstrip('/')}/.well-known/jwks.json"
    timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
    async with aiohttp.ClientSession(
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        keys = KeySet(fetching(session, url), now, metrics)
        try:
            yield People(Issuer(settings.issuer, frozenset(settings.client_ids)), keys, now)
        finally:
            await keys.close()
