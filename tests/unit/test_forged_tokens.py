"""Tokens that somebody made up, and that no person has."""

import base64
import contextlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from iops.auth import Caller, Role
from iops.errors import Forbidden, Unauthenticated
from iops.people import TOKEN_LIMIT
from tests.unit.signing import (
    Identity,
    a_key,
    access_claims,
    id_claims,
    listed,
    refusal_of,
    signed,
    signed_by_hand,
)

ANN = Caller("ann", Role.OPERATOR)
TOKEN = signed(access_claims())


async def test_a_token_without_a_signature_is_refused() -> None:
    assert "RS256" in await refusal_of(signed(access_claims(), alg="none"))


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["pem", "der"])
async def test_the_public_key_is_no_secret_to_sign_with(encoding: Encoding) -> None:
    secret = a_key("first").public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)

    token = signed_by_hand({"alg": "HS256"}, lambda data: hmac.digest(secret, data, "sha256"))

    assert "RS256" in await refusal_of(token)


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256"])
async def test_another_algorithm_of_the_same_key_is_refused(alg: str) -> None:
    assert "RS256" in await refusal_of(signed(access_claims(), alg=alg))


async def test_an_elliptic_signature_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    assert "RS256" in await refusal_of(signed(access_claims(), key=key, alg="ES256"))


async def test_a_signature_by_somebody_elses_key_is_refused() -> None:
    assert "signature" in await refusal_of(signed(access_claims(), key=a_key("stranger")))


async def test_claims_that_were_changed_are_refused() -> None:
    head, _, signature = signed(access_claims()).split(".")
    claims = json.dumps(access_claims(**{"cognito:groups": ["admin"]})).encode()
    forged = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()

    assert "signature" in await refusal_of(f"{head}.{forged}.{signature}")


@pytest.mark.parametrize(
    "header",
    [{"crit": ["b64"], "b64": True}, {"crit": ["x"], "x": 1}, {"crit": []}, {"crit": None}, {"b64": False}],
)
async def test_a_header_that_asks_for_more_than_we_know_is_refused(header: dict[str, Any]) -> None:
    identity = Identity()
    assert await identity.people.caller_of(signed_by_hand({})) == ANN

    assert await refusal_of(signed_by_hand(header), identity)


async def test_keys_that_a_token_brings_along_are_not_used() -> None:
    header: dict[str, Any] = {
        "jwk": listed("stranger"),
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/chain",
    }
    identity = Identity()

    await refusal_of(signed(access_claims(), key=a_key("stranger"), **header), identity)

    assert await identity.people.caller_of(signed(access_claims(), **header)) == ANN


@pytest.mark.parametrize("kid", [None, "", "k" * 129], ids=["none", "empty", "long"])
async def test_a_token_names_its_key_shortly_before_any_key_is_fetched(kid: str | None) -> None:
    identity = Identity()

    await refusal_of(signed(access_claims(), kid=kid), identity)

    assert identity.fetched == 0


@pytest.mark.parametrize("token", ["\u00e9", "a\ud800", "\u0661.\u0661.\u0661"])
async def test_a_token_of_other_letters_is_refused_unread(token: str) -> None:
    assert "not ASCII" in await refusal_of(token)


async def test_a_long_token_is_refused_unread() -> None:
    assert "longer" in await refusal_of("a" * (TOKEN_LIMIT + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), st.lists, max_leaves=4
)
NAMES = st.sampled_from([*access_claims(), *id_claims(), "nbf", "email", "email_verified"])


@given(st.text(max_size=99) | st.binary(max_size=99).map(lambda data: base64.urlsafe_b64encode(data).decode()))
@settings(max_examples=40, deadline=None)
async def test_garbage_is_refused_by_name(garbage: str) -> None:
    for token in (garbage, f"{garbage}.{garbage}.{garbage}", TOKEN[:-9] + garbage):
        await refusal_of(token)


@given(st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "x5c"]), JSON))
@settings(max_examples=40, deadline=None)
async def test_a_strange_header_is_refused_by_name(header: dict[str, Any]) -> None:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": "first", **header}).encode()).rstrip(b"=")
    with contextlib.suppress(Unauthenticated):
        await Identity().people.caller_of(f"{head.decode()}.e30.AAAA")
        pytest.fail("nobody signed this")


@given(st.dictionaries(NAMES, JSON, max_size=3))
@settings(max_examples=40, deadline=None)
async def test_strange_claims_make_no_admin(claims: dict[str, Any]) -> None:
    with contextlib.suppress(Unauthenticated, Forbidden):
        caller = await Identity().people.caller_of(signed({**id_claims(), **claims}))
        assert caller.role is Role.OPERATOR
        assert caller.name.isprintable()


@pytest.mark.parametrize("depth", [900, 5_000])
async def test_a_deep_header_is_refused_by_name(depth: int) -> None:
    head = base64.urlsafe_b64encode(b'{"alg":' + b"[" * depth).rstrip(b"=").decode()

    assert await refusal_of(f"{head}.e30.AAAA")
