"""API keys: their shape, what is kept of them, and what becomes of them."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from pydantic import ValidationError

from iops import items
from iops.auth import Role
from iops.keys import KeptSecret, digest_of, keep, key_id_of, new_key, new_key_id
from tests.unit.builders import AT
from tests.unit.keyrings import NEW, OLD, a_key, peppers_of

HOUR = timedelta(hours=1)


def test_a_key_says_its_id_and_nothing_else_is_shaped_like_one() -> None:
    key_id = new_key_id(os.urandom)
    key = new_key(key_id, os.urandom).encode()

    assert key_id_of(key) == key_id
    for wrong in (b"", key[:-1], key + b"a", key + b"\n", b" " + key, key.upper(), key.replace(b"iops_", b"iops-")):
        assert key_id_of(wrong) is None


def test_two_keys_have_different_ids_and_secrets() -> None:
    keys = [new_key(new_key_id(os.urandom), os.urandom) for _ in range(2)]

    assert keys[0][5:21] != keys[1][5:21]
    assert keys[0][22:] != keys[1][22:]


def test_a_digest_is_of_the_whole_key_and_of_the_pepper() -> None:
    assert len({digest_of(key, pepper) for key in (b"iops_a_b", b"iops_a_c") for pepper in (OLD, NEW)}) == 4


def test_what_is_kept_shows_neither_key_nor_pepper() -> None:
    kept = keep(b"iops_a_secret", NEW)

    assert "secret" not in repr(kept)
    assert "nnnn" not in repr(kept) + repr(NEW)


def test_a_row_tells_the_key_as_it_was() -> None:
    _, kept = a_key(Role.OPERATOR, expires_at=AT + HOUR, last_used_at=AT)

    row = items.api_key_put(kept, replaces=None)["Item"]
    assert items.item_to_api_key(row) == kept
    assert row["ttl"] == {"N": "1826938800"}  # a year after it expires


def test_a_key_that_never_ends_stays() -> None:
    assert "ttl" not in items.api_key_put(a_key()[1], replaces=None)["Item"]


@pytest.mark.parametrize(("after_s", "held"), [(0, 2), (3_599, 2), (3_600, 1)])
def test_the_secret_before_a_rotation_holds_an_hour(after_s: int, held: int) -> None:
    rotated = a_key()[1].rotated(b"another", NEW, now=AT)

    assert len(rotated.held(AT + timedelta(seconds=after_s))) == held
    assert rotated.version == 2


def test_at_most_two_secrets_are_kept() -> None:
    _, kept = a_key()
    twice = kept.rotated(b"second", NEW, now=AT).rotated(b"third", NEW, now=AT)

    assert [secret.digest for secret in twice.secrets] == [keep(key, NEW).digest for key in (b"third", b"second")]


def test_a_key_that_was_revoked_holds_no_secret() -> None:
    _, kept = a_key(expires_at=AT + HOUR)

    assert kept.revoked(AT).held(AT) == []
    assert kept.revoked(AT).ended_at == AT


def test_a_secret_is_hashed_anew_only_with_its_own_key_and_only_once() -> None:
    key, kept = a_key(pepper=OLD)
    renewed = kept.with_pepper(key.encode(), peppers_of(OLD, NEW))

    assert renewed is not None
    assert renewed.secrets == (keep(key.encode(), NEW),)
    assert kept.with_pepper(b"another", peppers_of(OLD, NEW)) is None
    assert renewed.with_pepper(key.encode(), peppers_of(OLD, NEW)) is None
    assert kept.with_pepper(key.encode(), peppers_of(NEW)) is None


def test_an_old_secret_that_is_hashed_anew_still_ends() -> None:
    key, kept = a_key(pepper=OLD)
    renewed = kept.rotated(b"second", NEW, now=AT).with_pepper(key.encode(), peppers_of(OLD, NEW))

    assert renewed is not None
    assert [secret.until for secret in renewed.secrets] == [None, AT + HOUR]


@pytest.mark.parametrize("digest", ["", "zz" * 32, "ab" * 31])
def test_a_damaged_digest_is_refused_when_its_row_is_read(digest: str) -> None:
    with pytest.raises(ValidationError):
        KeptSecret(pepper_id="p", digest=digest)
