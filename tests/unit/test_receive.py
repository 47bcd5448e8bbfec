"""A request's body, whole and unpacked, or a refusal that costs little."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from iops.errors import BodyTooLarge, IopsError, MalformedBody, SlowBody, UnknownEncoding
from services.ingest.receive import read_body, unpack_gzip
from tests.unit.virtual_time import in_virtual_time, now_s

MIB = 1024 * 1024


class Sender:
    """Sends `parts`, then stops: `then` is what comes last, None a wait for ever."""

    def __init__(self, parts: Iterable[bytes], *, pause_s: float = 0, then: str | None = "end", **headers: str) -> None:
        self.parts = iter(parts)
        self.taken_bytes = 0
        self._pause_s = pause_s
        self._then = then
        self._headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    def request(self) -> Request:
        return Request({"type": "http", "method": "POST", "headers": self._headers}, self._receive)

    async def _receive(self) -> Message:
        await asyncio.sleep(self._pause_s)
        part = next(self.parts, None)
        if part is not None:
            self.taken_bytes += len(part)
            return {"type": "http.request", "body": part, "more_body": True}
        if self._then is None:
            await asyncio.Event().wait()
        if self._then == "leave":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}


async def read(sender: Sender) -> bytes:
    return await read_body(sender.request(), timeout_s=10)


async def refused(sender: Sender) -> IopsError:
    with pytest.raises(IopsError) as refusal:
        await read(sender)
    return refusal.value


async def test_a_plain_body_arrives_as_it_is() -> None:
    assert await read(Sender([b"ab", b"", b"c"])) == b"abc"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " gzip "])
async def test_a_gzipped_body_is_unpacked(encoding: str) -> None:
    packed = gzip.compress(b"abc" * 1_000)

    assert await read(Sender([packed[:7], packed[7:]], content_encoding=encoding)) == b"abc" * 1_000


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "gzip,identity", "\x00"])
async def test_another_encoding_is_refused_before_the_body_is_read(encoding: str) -> None:
    sender = Sender([b"x"], content_encoding=encoding)

    assert isinstance(await refused(sender), UnknownEncoding)
    assert sender.taken_bytes == 0


async def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    assert len(await read(Sender([b"x" * MIB]))) == MIB
    assert isinstance(await refused(Sender([b"x" * MIB, b"x"])), BodyTooLarge)


async def test_a_body_of_2_mib_is_read_to_its_end_so_that_its_sender_reads_the_refusal() -> None:
    sender = Sender([b"x" * 65_536] * 32)

    assert isinstance(await refused(sender), BodyTooLarge)
    assert sender.taken_bytes == 2 * MIB


async def test_a_body_without_end_is_cut_off() -> None:
    sender = Sender(iter(lambda: b"x" * 65_536, None))

    assert isinstance(await refused(sender), BodyTooLarge)
    assert sender.taken_bytes <= 8 * MIB + 65_536


async def test_a_sender_that_asks_first_is_refused_before_it_sends() -> None:
    sender = Sender([b"x"] * 3, expect="100-continue", content_length=str(2 * MIB))

    assert isinstance(await refused(sender), BodyTooLarge)
    assert sender.taken_bytes == 0


@pytest.mark.parametrize("length", ["-1", "ten", "1e9", "²", "9" * 5_000, ""])
async def test_a_nonsensical_length_does_no_harm(length: str) -> None:
    assert await read(Sender([b"abc"], content_length=length)) == b"abc"


@in_virtual_time
async def test_a_body_that_stops_half_way_is_refused_when_its_time_is_over() -> None:
    before_s = now_s()

    refusal = await refused(Sender([b"{"], then=None))

    assert isinstance(refusal, SlowBody)
    assert "not complete after 10 s; nothing of it is stored" in refusal.detail
    assert now_s() - before_s == pytest.approx(10)


@in_virtual_time
async def test_a_body_of_single_bytes_gets_no_more_time() -> None:
    before_s = now_s()

    assert isinstance(await refused(Sender([b"x"] * 1_000, pause_s=0.9)), SlowBody)
    assert now_s() - before_s == pytest.approx(10)


@in_virtual_time
async def test_a_reader_that_is_cancelled_stops_reading() -> None:
    sender = Sender([b"{"], then=None)
    reading = asyncio.create_task(read(sender))
    await asyncio.sleep(0.01)  # virtual: it waits for the second part now

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_sender_that_leaves_half_way_leaves_nothing() -> None:
    with pytest.raises(ClientDisconnect):
        await read(Sender([b'{"stream_id":'], then="leave"))


new_unpacker = zlib.decompressobj


class CountingUnpacker:
    """zlib's unpacker, telling what it was asked for and what it gave."""

    asked_bytes = 0
    given_bytes = 0

    def __init__(self, window_bits: int) -> None:
        self._inner = new_unpacker(window_bits)

    def decompress(self, data: bytes, limit_bytes: int = 0) -> bytes:
        content = self._inner.decompress(data, limit_bytes)
        CountingUnpacker.asked_bytes = max(CountingUnpacker.asked_bytes, limit_bytes or 2**63)
        CountingUnpacker.given_bytes += len(content)
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_a_gzip_bomb_is_unpacked_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(compressor.compress(b"\0" * (16 * MIB)) for _ in range(4)) + compressor.flush()
    assert len(bomb) < 80_000  # 64 MiB
    monkeypatch.setattr(zlib, "decompressobj", CountingUnpacker)

    with pytest.raises(BodyTooLarge, match="unpack to more than 8388608"):
        unpack_gzip(bomb)

    assert CountingUnpacker.asked_bytes == CountingUnpacker.given_bytes == 8 * MIB + 1


def test_content_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    content = bytes(range(256)) * 16 + b"\0" * (1024 * 1024)
    content = (random.Random(7).randbytes(64 * 1024) + content) * 8
    content = content[: 8 * MIB].ljust(8 * MIB, b"\0")

    assert len(unpack_gzip(gzip.compress(content, 1))) == 8 * MIB
    with pytest.raises(BodyTooLarge):
        unpack_gzip(gzip.compress(content + b"\0", 1))


def test_what_packs_better_than_telemetry_can_is_taken_up_to_one_mib_only() -> None:
    assert len(unpack_gzip(gzip.compress(b"\0" * MIB))) == MIB
    with pytest.raises(BodyTooLarge, match="unpack to more than 1048576; send smaller batches of real samples"):
        unpack_gzip(gzip.compress(b"\0" * (2 * MIB)))


PACKED = gzip.compress(b'{"stream_id": "web-1:sda", "samples": []}', mtime=0)


def test_gzip_that_ends_early_is_malformed_wherever_it_ends() -> None:
    for length in range(len(PACKED)):
        with pytest.raises(MalformedBody):
            unpack_gzip(PACKED[:length])


def test_gzip_that_is_damaged_is_malformed_or_the_same() -> None:
    for bit in range(len(PACKED) * 8):
        damaged = bytearray(PACKED)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert unpack_gzip(bytes(damaged)) == gzip.decompress(PACKED)  # its header's time and system do not matter
        except MalformedBody:
            continue


@pytest.mark.parametrize("body", [b"{}", b"", PACKED + b"x", PACKED + PACKED, zlib.compress(b"{}"), b"\x1f\x8b" * 99])
def test_what_is_no_single_gzip_member_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        unpack_gzip(body)
