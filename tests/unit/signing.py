"""Tokens as Cognito signs them, keys as its document lists them, and a fetch that a test leads."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from jwt import PyJWS
from jwt.algorithms import RSAAlgorithm

from iops.errors import Unauthenticated
from iops.jwks import KeySet
from iops.observability import Metrics
from iops.people import Issuer, People

ISSUER: Final = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abcDEF123"
CLIENT: Final = "4f1sclient"
NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW_S: Final = int(NOW.timestamp())


@cache
def a_key(name: str) -> rsa.RSAPrivateKey:
    """The same for the same name: making one takes 50 ms."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def listed(name: str = "first", **said: Any) -> dict[str, Any]:
    """As a key stands in the document, under its name."""
    numbers = RSAAlgorithm.to_jwk(a_key(name).public_key(), as_dict=True)
    return {"kty": "RSA", "kid": name, "use": "sig", "alg": "RS256", "n": numbers["n"], "e": numbers["e"], **said}


def document(*entries: Any) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def access_claims(**said: Any) -> dict[str, Any]:
    """Of an operator; None leaves a claim out."""
    claims = {
        "iss": ISSUER,
        "sub": "8f14e45f",
        "client_id": CLIENT,
        "token_use": "access",
        "exp": NOW_S + 3_600,
        "iat": NOW_S - 10,
        "username": "ann",
        "cognito:groups": ["operator"],
        **said,
    }
    return {name: value for name, value in claims.items() if value is not None}


def id_claims(**said: Any) -> dict[str, Any]:
    mine = {"token_use": "id", "client_id": None, "aud": CLIENT, "username": None, "cognito:username": "ann"}
    return access_claims(**mine | said)


def signed(claims: Mapping[str, Any] | bytes, *, key: Any = None, alg: str = "RS256", **header: Any) -> str:
    """By the first key, unless another is given; None leaves a part of the header out."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    headers = {"kid": "first", **header}
    said = {name: value for name, value in headers.items() if value is not None}
    mine: Any = a_key("first") if alg != "none" else None
    return PyJWS().encode(payload, mine if key is None else key, algorithm=alg, headers=said)


def signed_by_hand(header: Mapping[str, Any], sign: Callable[[bytes], bytes] | None = None) -> str:
    """Of an operator, with a header that the library would not write; RS256 by the first key, or by `sign`."""
    parts = ({"alg": "RS256", "kid": "first", **header}, access_claims())
    signing_input = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    signature = (sign or _sign)(signing_input.encode())
    return f"{signing_input}.{_base64(signature)}"


def _sign(data: bytes) -> bytes:
    return a_key("first").sign(data, PKCS1v15(), SHA256())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Identity:
    """An issuer: its clock, its document, how often that was fetched, and the people who trust it."""

    def __init__(self, *entries: Any) -> None:
        self.at = NOW
        self.answer: bytes | Exception = document(*(entries or (listed(),)))
        self.fetched = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.metrics = Metrics()
        self.keys = KeySet(self._fetch, lambda: self.at, self.metrics)
        self.people = People(Issuer(ISSUER, frozenset({CLIENT})), self.keys, lambda: self.at)

    def wait(self, **length: float) -> None:
        self.at += timedelta(**length)

    def failed_fetches(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value("iops_jwks_fetches_total", {"outcome": outcome})

    async def _fetch(self) -> bytes:
        self.fetched += 1
        await self.may_answer.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def refusal_of(token: str, identity: Identity | None = None) -> str:
    """Why it was refused; the token itself is never a part of that."""
    with pytest.raises(Unauthenticated) as raised:
        await (identity or Identity()).people.caller_of(token)
    assert len(token) < 40 or token not in raised.value.detail  # a letter of garbage is in every sentence
    return raised.value.detail
