"""POST /metrics over the wire: what it refuses, and what it promises."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.door import DISK, Door, a_batch, a_sample, everything, instants, instants_of, open_door, stored
from tests.integration.stand_ins import LIMIT_S, Cloud, wait_until


@pytest.fixture
async def door(cloud: Cloud) -> AsyncIterator[Door]:
    async with open_door(cloud) as opened:
        yield opened


async def assert_alive_and_empty(door: Door, cloud: Cloud) -> None:
    assert await everything(cloud) == []
    assert (await door.client.get("/health/ready")).status_code == 200
    assert (await door.post(a_batch())).status_code == 202


def with_sample(index: int = 0, count: int = 3, **fields: Any) -> dict[str, Any]:
    """A batch whose sample `index` has these fields."""
    batch = a_batch(count)
    batch["samples"][index] |= fields
    return batch


def many(bad: dict[str, Any]) -> dict[str, Any]:
    """The bad one beside a good one."""
    return {"batches": [a_batch(stream_id="web-1:sda"), bad]}


WEEK_AHEAD = -7 * 24 * 3600.0
BAD_INPUT: dict[str, tuple[Any, str]] = {
    "an unknown field": ({**a_batch(), "iops": 3}, "iops"),
    "an unknown field of a sample": (with_sample(1, read_latency=3), "samples[1].read_latency"),
    "a negative rate": (with_sample(2, read_iops=-1.0), "samples[2].read_iops"),
    "a negative rate of the second batch": (many(with_sample(2, write_iops=-0.1)), "batches[1].samples[2].write_iops"),
    "a ratio of 1.2": (with_sample(1, utilization_ratio=1.2), "samples[1].utilization_ratio"),
    "a number as text": (with_sample(0, read_iops="210"), "samples[0].read_iops"),
    "a truth for a number": (with_sample(0, in_flight=True), "samples[0].in_flight"),
    "half a request in flight": (with_sample(0, in_flight=0.5), "samples[0].in_flight"),
    "a number beyond floats": (with_sample(0, read_bytes_s=10**400), "samples[0].read_bytes_s"),
    "1,001 samples": (a_batch(1_001), "samples"),
    "samples from next week": (with_sample(1, at=a_sample(WEEK_AHEAD)["at"]), "samples[1].at"),
    "samples of eight days ago": (with_sample(0, at=a_sample(8 * 24 * 3600)["at"]), "samples[0].at"),
    "an instant without a zone": (with_sample(0, at="2026-11-23T02:39:00"), "samples[0].at"),
    "an instant as a number": (with_sample(0, at=1_795_401_540), "samples[0].at"),
    "an instant twice": ({**a_batch(), "samples": [a_sample(5)] * 2}, "samples[1].at"),
    "an await of 0 where nothing completed": (with_sample(0, read_iops=0.0, read_await_ms=0.0), "samples[0]"),
    "an empty batch": (a_batch(0), "samples"),
    "no batches": ({"batches": []}, "batches"),
    "batches that are none": ({"batches": [3]}, "batches[0]"),
    "a 600-character stream id": (a_batch(stream_id="x" * 600), "stream_id"),
    "a stream id with a hash": (a_batch(stream_id="web#1"), "stream_id"),
    "a stream id with a line break": (a_batch(stream_id="web\n"), "stream_id"),
    "a label with a control character": (a_batch(labels={"zone": "a\x1b[31m"}), "labels.zone"),
    "17 labels": (a_batch(labels={f"label_{number}": "a" for number in range(17)}), "labels"),
    "no stream id": ({"samples": [a_sample()]}, "stream_id"),
    "a list": ([a_batch()], "body"),
    "null": (None, "body"),
}


async def test_what_breaks_the_contract_is_refused_by_field_and_index(door: Door, cloud: Cloud) -> None:
    for name, (body, field) in BAD_INPUT.items():
        reply = await door.post(body)

        problem = reply.json()
        assert (reply.status_code, problem["code"]) == (422, "invalid_input"), name
        assert reply.headers["content-type"] == "application/problem+json", name
        assert problem["errors"][0]["field"] == field, f"{name}: {problem}"
        assert problem["detail"].startswith(field), name
        assert len(reply.content) < 20_000, name
    await assert_alive_and_empty(door, cloud)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_number_that_is_none_is_refused(door: Door, cloud: Cloud, number: str) -> None:
    text = json.dumps(with_sample(1, read_iops=12345.5)).replace("12345.5", number)

    reply = await door.post(text.encode())

    assert reply.status_code in (400, 422)
    assert "samples[1].read_iops" in reply.text or reply.json()["code"] == "malformed_body"
    await assert_alive_and_empty(door, cloud)


async def test_a_body_that_is_no_json_is_refused(door: Door, cloud: Cloud) -> None:
    whole = json.dumps(a_batch()).encode()
    for body in (
        b"",
        b"{",
        whole[:-5],
        whole + b"}",
        b"\xff\xfe{}",
        b"\x00",
        b"[" * 100_000,
        whole.replace(b"web", b"\xc3("),
    ):
        reply = await door.post(body)
        assert (reply.status_code, reply.json()["code"]) == (400, "malformed_body"), body[:40]
    await assert_alive_and_empty(door, cloud)


async def test_a_body_of_2_mib_is_refused(door: Door, cloud: Cloud) -> None:
    reply = await door.post(json.dumps(a_batch()).encode() + b" " * (2 * 1024 * 1024))

    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    await assert_alive_and_empty(door, cloud)


async def test_a_body_of_2_mib_without_a_length_is_refused(door: Door, cloud: Cloud) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield b" " * 65_536

    reply = await door.client.post("/metrics", content=parts())

    assert reply.status_code == 413
    await assert_alive_and_empty(door, cloud)


async def test_gzip_that_unpacks_to_a_gibibyte_is_refused(door: Door, cloud: Cloud) -> None:
    packed = await asyncio.to_thread(lambda: gzip.compress(bytes(1024**3), compresslevel=1))
    twice = gzip.compress(packed)  # a bomb in a bomb: one layer is unpacked, no more
    for body in (packed, twice):
        async with asyncio.timeout(LIMIT_S):
            reply = await door.post(body, content_encoding="gzip")
        assert reply.status_code in (400, 413), reply.text
    await assert_alive_and_empty(door, cloud)


async def test_a_damaged_or_unknown_encoding_is_refused(door: Door, cloud: Cloud) -> None:
    packed = gzip.compress(json.dumps(a_batch()).encode())

    assert (await door.post(packed[:-6], content_encoding="gzip")).json()["code"] == "malformed_body"
    assert (await door.post(packed + b"more", content_encoding="gzip")).json()["code"] == "malformed_body"
    assert (await door.post(b"{}", content_encoding="gzip")).json()["code"] == "malformed_body"
    assert (await door.post(packed, content_encoding="br")).status_code == 415
    await assert_alive_and_empty(door, cloud)
    assert (await door.post(packed, content_encoding="GZIP")).status_code == 202


async def send_half(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A valid request of which the second half of the body does not come."""
    body = json.dumps(a_batch()).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()
    return reader, writer


async def test_a_body_that_stops_half_way_is_told_so(door: Door, cloud: Cloud) -> None:
    reader, writer = await send_half(door.port)
    async with asyncio.timeout(LIMIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"}")
    writer.close()

    assert head.startswith(b"HTTP/1.1 408")
    assert json.loads(body)["code"] == "slow_body"
    await assert_alive_and_empty(door, cloud)


async def test_a_sender_that_leaves_half_way_leaves_nothing(door: Door, cloud: Cloud) -> None:
    for _ in range(20):
        _, writer = await send_half(door.port)
        writer.transport.abort()

    counted = 'iops_requests_total{method="POST",route="/metrics",status="499"} 20.0'

    async def is_counted() -> bool:
        return counted in (await door.client.get("/internal/metrics")).text

    await wait_until(is_counted)
    await assert_alive_and_empty(door, cloud)


async def test_many_that_hang_do_not_keep_the_others_out(cloud: Cloud) -> None:
    async with open_door(cloud, body_timeout_s=LIMIT_S) as door:
        hanging = [await send_half(door.port) for _ in range(200)]
        assert (await door.post(a_batch())).status_code == 202
        for _, writer in hanging:
            writer.transport.abort()


async def test_accepted_samples_are_in_the_table(door: Door, cloud: Cloud) -> None:
    batch, other = a_batch(30), a_batch(5, stream_id="web-2:sda", peer_group="rack-7")

    reply = await door.post({"batches": [batch, other]})

    assert (reply.status_code, reply.json()) == (202, {"accepted": 35})
    assert instants(await stored(cloud)) == instants_of(batch)
    keys = {(row["entity_id"]["S"], row["entity_type"]["S"]) for row in await everything(cloud)}
    assert {("group#web-1", f"member#{DISK}"), ("group#rack-7", "member#web-2:sda"), (DISK, "stream")} <= keys


async def test_two_identical_batches_in_one_request_are_stored_once(door: Door, cloud: Cloud) -> None:
    batch = a_batch(30)

    reply = await door.post({"batches": [batch, batch]})

    assert (reply.status_code, reply.json()) == (202, {"accepted": 60})
    assert instants(await stored(cloud)) == instants_of(batch)


async def test_a_stream_that_moves_leaves_its_old_group(door: Door, cloud: Cloud) -> None:
    for group in ("rack-1", "rack-2"):
        assert (await door.post(a_batch(peer_group=group))).status_code == 202

    members = [
        row["entity_id"]["S"] for row in await everything(cloud) if row["entity_type"]["S"].startswith("member#")
    ]
    assert members == ["group#rack-2"]


async def test_a_fleet_that_appears_at_once_is_stored_whole(cloud: Cloud) -> None:
    # Time-outs as the product has them: server, senders and stand-in share this machine, and a hundred come at once.
    async with open_door(cloud, store_deadline_s=5, store_wait_s=8, aws_timeout_s=3) as door:
        batches = [a_batch(30, stream_id=f"web-{number}:sda") for number in range(100)]
        replies = await asyncio.gather(*(door.post(batch) for batch in batches))

    assert {reply.status_code for reply in replies} == {202}
    rows = await everything(cloud)
    kinds = [row["entity_type"]["S"].partition("#")[0] for row in rows]
    assert {kind: kinds.count(kind) for kind in ("stream", "member")} == {"stream": 100, "member": 100}
    assert kinds.count("chunk") in range(100, 201)  # two where a batch crosses the hour
