"""Whose key it is: what the ring asks the table, how often, and what it never believes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from iops import items
from iops.auth import Role
from iops.errors import TableUnavailable, Unauthenticated
from iops.keys import new_key, new_key_id
from tests.unit.builders import AT
from tests.unit.fakes import aws_error
from tests.unit.keyrings import NEW, OLD, Ring, a_key, peppers_of, random_bytes


def unknown_key() -> bytes:
    return new_key(new_key_id(random_bytes), random_bytes).encode()


async def refused(ring: Ring, key: bytes) -> None:
    with pytest.raises(Unauthenticated):
        await ring.keys.caller_of(key)


async def test_a_key_is_read_once_a_minute() -> None:
    ring = Ring()
    key = ring.add(Role.AGENT, streams=("web-*",)).encode()

    for _ in range(3):
        assert (await ring.keys.caller_of(key)).streams == ("web-*",)
    assert ring.reads == 1
    ring.pass_s(60)
    assert ring.keys.known(key) is None
    await ring.keys.caller_of(key)
    assert ring.reads == 2


async def test_a_wrong_secret_is_refused_and_reads_once_a_second() -> None:
    ring = Ring()
    key = ring.add()
    wrong = key[:-1] + ("A" if key[-1] != "A" else "E")
    await ring.keys.caller_of(key.encode())

    for _ in range(20):
        await refused(ring, wrong.encode())
        assert ring.keys.known(wrong.encode()) is None
    assert ring.reads == 1
    ring.pass_s(1)
    await refused(ring, wrong.encode())
    assert ring.reads == 2
    assert ring.keys.known(key.encode()) is not None


async def test_what_is_not_shaped_like_a_key_asks_no_table() -> None:
    ring = Ring()
    for wrong in (b"", b"iops_", b"iops_a_b", b"\xff" * 100, b"iops_" + b"a" * 10_000):
        await refused(ring, wrong)
        assert ring.keys.known(wrong) is None

    assert ring.reads == 0


async def test_an_unknown_id_is_read_once_in_five_seconds() -> None:
    ring, key = Ring(), unknown_key()

    for _ in range(10):
        await refused(ring, key)
    assert ring.reads == 1
    ring.pass_s(5)
    await refused(ring, key)
    assert ring.reads == 2


async def test_a_key_made_after_it_was_asked_for_holds_within_five_seconds() -> None:
    ring = Ring()
    key, kept = a_key()
    await refused(ring, key.encode())
    ring.put(kept)

    ring.pass_s(5)
    assert (await ring.keys.caller_of(key.encode())).role is Role.AGENT


async def test_a_flood_of_unknown_ids_neither_grows_memory_nor_pushes_keys_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iops.keyring.KEYS_LIMIT", 50)
    ring = Ring()
    key = ring.add().encode()
    await ring.keys.caller_of(key)

    for _ in range(200):
        await refused(ring, unknown_key())
    assert len(ring.keys._unknown) == 50
    assert ring.keys.known(key) is not None


async def test_many_who_ask_at_once_share_one_read_and_one_who_leaves_stops_nobody() -> None:
    ring = Ring()
    key = ring.add().encode()
    asking = [asyncio.create_task(ring.keys.caller_of(key)) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)

    assert isinstance(answers[0], asyncio.CancelledError)
    assert {str(answer) for answer in answers[1:]} == {str(answers[1])}
    assert ring.reads == 1
    assert ring.keys._loads == {}


async def test_a_revoked_key_ends_within_a_minute_on_a_replica_that_had_read_it() -> None:
    ring = Ring()
    table = ring.table
    key = ring.add()
    await ring.keys.caller_of(key.encode())
    table.add(items.api_key_put(ring.kept(key).revoked(AT), replaces=None)["Item"])

    ring.pass_s(59.9)
    assert ring.keys.known(key.encode()) is not None
    ring.pass_s(0.1)
    await refused(ring, key.encode())
    assert not ring.keys.remembers(key.encode())


async def test_a_key_ends_at_its_instant_also_where_it_was_just_read() -> None:
    ring = Ring()
    key = ring.add(expires_at=AT + timedelta(seconds=10)).encode()
    await ring.keys.caller_of(key)

    ring.pass_s(9.9)
    assert ring.keys.known(key) is not None
    ring.pass_s(0.1)
    await refused(ring, key)


async def test_a_new_secret_holds_at_once_and_the_old_one_until_its_hour_is_over() -> None:
    ring = Ring()
    old = ring.add()
    await ring.keys.caller_of(old.encode())
    new = new_key(old[5:21], random_bytes)
    ring.put(ring.kept(old).rotated(new.encode(), NEW, now=AT))

    ring.pass_s(1)
    assert await ring.keys.caller_of(new.encode()) == await ring.keys.caller_of(old.encode())
    ring.pass_s(3_598.9)
    await ring.keys.caller_of(old.encode())
    ring.pass_s(0.2)
    await refused(ring, old.encode())
    await ring.keys.caller_of(new.encode())


async def test_a_secret_of_an_old_pepper_is_hashed_with_the_new_one_when_every_replica_has_read_it() -> None:
    ring = Ring(OLD)
    key = ring.add(pepper=OLD)
    ring.pass_s(1_000)
    ring.peppers = peppers_of(OLD, NEW)
    for since_s in (0, 90, 89):  # a replica that has not read it yet would refuse the key
        ring.pass_s(since_s)
        await ring.keys.caller_of(key.encode())
        assert [secret.pepper_id for secret in ring.kept(key).secrets] == [OLD.id], since_s

    ring.pass_s(61)
    await ring.keys.caller_of(key.encode())
    assert [secret.pepper_id for secret in ring.kept(key).secrets] == [NEW.id]
    ring.peppers = peppers_of(NEW)
    ring.pass_s(60)
    await ring.keys.caller_of(key.encode())


async def test_a_key_whose_pepper_is_gone_is_refused_and_somebody_is_told() -> None:
    ring = Ring(NEW)
    key = ring.add(pepper=OLD, name="forgotten").encode()

    with capture_logs() as logs:
        await refused(ring, key)
    assert [(line["event"], line["log_level"], line["name"]) for line in logs] == [
        ("key_lost_its_pepper", "error", "forgotten")
    ]
    assert OLD.value.decode() not in str(logs)


@pytest.mark.parametrize("doc", ["{", "{}", "[]", '{"key_id": 7}'])
async def test_a_damaged_row_lets_nobody_in(doc: str) -> None:
    ring = Ring()
    key, kept = a_key()
    ring.table.add(items.api_key_key(kept.key_id) | {"doc": {"S": doc}})

    await refused(ring, key.encode())


@pytest.mark.parametrize("change", [('"digest":"', '"digest":"zz'), ("Z", ""), ('"role":"agent"', '"role":"root"')])
async def test_a_row_with_a_damaged_field_lets_nobody_in(change: tuple[str, str]) -> None:
    ring = Ring()
    key, kept = a_key(expires_at=AT + timedelta(days=1))
    row = items.api_key_put(kept, replaces=None)["Item"]
    assert row["doc"]["S"] != row["doc"]["S"].replace(*change)
    ring.table.add(row | {"doc": {"S": row["doc"]["S"].replace(*change)}})

    await refused(ring, key.encode())


async def test_while_the_table_is_away_only_what_was_just_read_is_known() -> None:
    ring = Ring()
    key = ring.add().encode()
    await ring.keys.caller_of(key)
    ring.table.failures["GetItem"].extend(aws_error("ThrottlingException") for _ in range(8))

    assert ring.keys.known(key) is not None
    ring.pass_s(60)
    with pytest.raises(TableUnavailable):
        await ring.keys.caller_of(key)
    assert ring.keys._loads == {}
    assert ring.keys.remembers(key)


async def test_a_use_is_noted_once_an_hour() -> None:
    ring = Ring()
    key = ring.add()

    async def use(after_s: float) -> Any:
        ring.pass_s(after_s)
        await ring.keys.caller_of(key.encode())
        return ring.kept(key).last_used_at

    assert await use(0) == AT
    assert await use(1_800) == AT
    assert await use(1_799) == AT
    assert await use(61) == AT + timedelta(seconds=3_660)


async def test_a_wrong_secret_is_no_use() -> None:
    ring = Ring()
    key = ring.add()
    await refused(ring, (key[:-2] + "AA").encode())

    assert ring.kept(key).last_used_at is None


@pytest.mark.parametrize("code", ["ThrottlingException", "ConditionalCheckFailedException"])
async def test_a_use_that_cannot_be_noted_still_lets_its_holder_in(code: str) -> None:
    ring = Ring()
    key = ring.add().encode()
    ring.table.failures["UpdateItem"].append(aws_error(code))

    assert (await ring.keys.caller_of(key)).role is Role.AGENT


def test_a_comparison_looks_at_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared are digests of equal length, by hmac.compare_digest, and each secret that is held."""
    compared: list[tuple[int, int]] = []
    ring = Ring()
    key, kept = a_key()
    entry = ring.keys._entry_of(kept.rotated(b"another", NEW, now=AT))
    assert entry is not None

    def compare(ours: bytes, theirs: bytes) -> bool:
        compared.append((len(ours), len(theirs)))
        return False

    monkeypatch.setattr("iops.keyring.hmac.compare_digest", compare)
    assert not entry.fits(key.encode())
    assert compared == [(32, 32), (32, 32)]
