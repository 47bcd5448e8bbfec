"""The public keys of who signs people's tokens: fetched seldom, kept through outages, and none that is weak."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import aiohttp
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import InvalidKeyError
from jwt.algorithms import RSAAlgorithm
from pydantic import BaseModel, Field, JsonValue, ValidationError

from iops.clock import Clock
from iops.errors import IdentityUnavailable, Unauthenticated
from iops.observability import Metrics

log = structlog.get_logger()

FRESH: Final = timedelta(hours=1)  # then they are fetched again, beside what is asked
KEPT: Final = timedelta(hours=24)  # while fetching fails: a key that the issuer took back should not live forever
REFETCH: Final = timedelta(seconds=60)  # between two fetches, whatever ids of keys strangers make up
COLD_REFETCH: Final = timedelta(seconds=5)  # the same while there is no key at all, and so nobody can come in
FETCH_TIMEOUT_S: Final = 5.0  # of the whole answer
DOCUMENT_LIMIT_BYTES: Final = 64 * 1024  # Cognito's two keys are 1 KB
KEYS_LIMIT: Final = 32
KEY_ID_LIMIT: Final = 128  # characters; Cognito's have 44
KEY_BITS: Final = range(2_048, 8_193)  # shorter ones can be broken, longer ones cost more CPU than a request may
NUMBER_LIMIT: Final = 1_400  # characters of base64: 8,192 bits are 1,366

Keys = dict[str, RSAPublicKey]
Fetch = Callable[[], Awaitable[bytes]]


class KeysRefused(Exception):
    """An answer that is no set of keys, and why."""


class KeySet:
    """The issuer's keys by their ids. One fetch at a time, whoever asks; `close` ends it."""

    def __init__(self, fetch: Fetch, now: Clock, metrics: Metrics) -> None:
        self._fetch = fetch
        self._now = now
        self._keys: Keys = {}
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._has_failed = False  # the last fetch
        self._fetching: asyncio.Task[None] | None = None
        self._fetches = metrics.counter("iops_jwks_fetches", "Fetches of the issuer's keys", "outcome")

    async def key_of(self, key_id: str) -> RSAPublicKey:
        """The key; waits for a fetch only where it is not here. Raises Unauthenticated, IdentityUnavailable."""
        if self._fetched_at is not None and self._now() - self._fetched_at >= KEPT:
            self._keys = {}
        key = self._keys.get(key_id)
        if key is None or not _is_within(self._fetched_at, self._now(), FRESH):
            self._start_fetch()
        if key is None and self._fetching is not None:
            await asyncio.wait({self._fetching})  # one who leaves does not end it for the others
            key = self._keys.get(key_id)
        if key is not None:
            return key
        if self._has_failed or not self._keys:
            wait_s = self._wait().total_seconds()
            raise IdentityUnavailable("the issuer's keys cannot be read now", retry_after_s=round(wait_s))
        raise Unauthenticated("the token is signed with a key that its issuer does not list; sign in again")

    async def close(self) -> None:
        """Gives up a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _start_fetch(self) -> None:
        if self._fetching is None and not _is_within(self._tried_at, self._now(), self._wait()):
            self._tried_at = self._now()
            self._fetching = asyncio.create_task(self._renew())
            self._fetching.add_done_callback(self._end_fetch)

    def _end_fetch(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _renew(self) -> None:
        """Whatever comes, the keys that are here stay."""
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                document = await self._fetch()
            keys = parse_keys(document)
        except KeysRefused as error:
            self._fail("refused", str(error))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._fail("away", type(error).__name__)
        else:
            self._keys, self._fetched_at, self._has_failed = keys, self._now(), False
            self._fetches.labels("ok").inc()
            log.info("issuer_keys_read", keys=len(keys))

    def _fail(self, outcome: str, detail: str) -> None:
        self._has_failed = True
        self._fetches.labels(outcome).inc()
        tell = log.warning if self._keys else log.error  # nobody can sign in
        tell("issuer_keys_unread", reason=outcome, detail=detail, keys=len(self._keys))

    def _wait(self) -> timedelta:
        return REFETCH if self._keys else COLD_REFETCH


def _is_within(at: datetime | None, now: datetime, limit: timedelta) -> bool:
    """Whether `at` is less than `limit` ago; a clock that was set back makes it over."""
    return at is not None and timedelta() <= now - at < limit


class _Document(BaseModel):
    keys: list[JsonValue] = Field(max_length=KEYS_LIMIT)


class _Key(BaseModel):
    """An RSA key for signatures, as RFC 7517 spells it; what else it says is not ours to follow."""

    kty: str = Field(pattern="^RSA$")
    kid: str = Field(min_length=1, max_length=KEY_ID_LIMIT)
    n: str = Field(max_length=NUMBER_LIMIT)
    e: str = Field(max_length=6)  # of base64: 32 bits; all there is has 65537
    use: str = Field(default="sig", pattern="^sig$")
    alg: str = Field(default="RS256", pattern="^RS256$")


def parse_keys(document: bytes) -> Keys:
    """The keys we can use; others, of another kind or size, are left out. Raises KeysRefused where none is left."""
    if len(document) > DOCUMENT_LIMIT_BYTES:
        raise KeysRefused(f"longer than {DOCUMENT_LIMIT_BYTES} bytes")
    try:
        entries = _Document.model_validate_json(document).keys
    except ValidationError as error:
        raise KeysRefused("not a document of up to 32 keys") from error
    keys: Keys = {}
    for key_id, key in filter(None, map(_usable, entries)):
        if key_id in keys:
            raise KeysRefused("two keys have one id")
        keys[key_id] = key
    if not keys:
        raise KeysRefused("no RSA key for RS256 of 2,048 bits or more")
    return keys


def _usable(entry: JsonValue) -> tuple[str, RSAPublicKey] | None:
    try:
        said = _Key.model_validate(entry)
        key = RSAAlgorithm.from_jwk({"kty": "RSA", "n": said.n, "e": said.e})
    except (ValidationError, InvalidKeyError, ValueError):
        return None
    return (said.kid, key) if isinstance(key, RSAPublicKey) and key.key_size in KEY_BITS else None


def fetching(session: aiohttp.ClientSession, url: str) -> Fetch:
    """Reads the document at `url`, as long as it may be and little more; goes nowhere else."""

    async def fetch() -> bytes:
        # Packed, a small answer could be a large one.
        async with session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response:
            if response.status != 200:
                raise KeysRefused(f"status {response.status}")
            document = bytearray()
            async for part in response.content.iter_any():
                document += part
                if len(document) > DOCUMENT_LIMIT_BYTES:
                    break
            return bytes(document)

    return fetch
