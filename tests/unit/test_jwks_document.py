"""Which of the keys that an issuer lists are taken."""

import base64
from typing import Any

import pytest

from iops.jwks import DOCUMENT_LIMIT_BYTES, KeysRefused, parse_keys
from tests.unit.signing import document, listed


def a_short_key(bits: int, **said: Any) -> dict[str, Any]:
    modulus = ((1 << bits) - 1).to_bytes(bits // 8)
    return listed("weak", n=base64.urlsafe_b64encode(modulus).rstrip(b"=").decode(), **said)


UNUSABLE: list[Any] = [
    a_short_key(512),
    a_short_key(1_024),
    a_short_key(16_384),
    {"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AAAA", "y": "AAAA", "alg": "ES256"},
    {"kty": "oct", "kid": "secret", "k": "AAAA"},
    listed("enc", use="enc"),
    listed("ps", alg="PS256"),
    listed("k" * 129),
    listed("e", e="AAAAAAAAAAAAAAAB"),
    listed("number", kid=7),
    listed("letters", n="***"),
    {"kty": "RSA"},
    "key",
    None,
    [],
]


@pytest.mark.parametrize("entry", UNUSABLE, ids=range(len(UNUSABLE)))
def test_a_key_that_cannot_be_used_is_left_out(entry: Any) -> None:
    assert list(parse_keys(document(entry, listed()))) == ["first"]
    with pytest.raises(KeysRefused, match="no RSA key"):
        parse_keys(document(entry))


def test_a_key_need_not_say_what_it_is_for() -> None:
    bare = {name: value for name, value in listed().items() if name not in ("use", "alg")}

    assert list(parse_keys(document(bare))) == ["first"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b" " * (DOCUMENT_LIMIT_BYTES + 1), "longer"),
        (b"not json", "not a document"),
        (b"\xff\xfe", "not a document"),
        (b"[" * 60_000, "not a document"),
        (b"{}", "not a document"),
        (b'{"keys": {}}', "not a document"),
        (document(*[{}] * 33), "not a document"),
        (document(), "no RSA key"),
        (document(listed(), listed("second", kid="first")), "one id"),
    ],
)
def test_a_hostile_document_is_refused(answer: bytes, why: str) -> None:
    with pytest.raises(KeysRefused, match=why):
        parse_keys(answer)
