"""A window as bytes and back; what is damaged is an error that names the key, never a wrong number."""

from array import array
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from iops import chunk
from iops.errors import DamagedChunk
from iops.telemetry import CHANNELS, NAN, Channel, Window, row_to_dict
from tests.unit.builders import AT_MS, a_window

# Two samples as each version wrote them. Chunks live 8 days, so whatever comes next must read them.
PLAIN = bytes.fromhex(
    "0128b52ffd245ad10200930192cf000001a20621ad00cd03e89d92cd03e80192cd5208d1adf892cd251c0092ce00348000d2"
    "ffcb800092ce0017c0000092cd019ac092cd03980092ccaacd0d0292cd0578cd219892000292cd05dcc092cd2fdac09202c0"
    "2c9fda9a"
)
GOLDEN = bytes.fromhex(
    "0228b52ffd2456b10200930292cf000001a20621ad00cd03e89d92cd03e80192cd5208d1adf892cd251c0092ce0034800000"
    "92ce0017c0000092cd019ac092cd03980092ccaacd0d0292cd0578cd219892000292cd05dcc092cd2fdac09202c0e27cc4d1"
)
GOLDEN_ROWS = [
    {
        "at": "2026-11-23T02:00:00.000Z",
        "interval_s": 1.0,
        "read_iops": 210.0,
        "write_iops": 95.0,
        "read_bytes_s": 3440640.0,
        "write_bytes_s": 1556480.0,
        "read_await_ms": 0.41,
        "write_await_ms": 0.92,
        "queue_depth": 0.17,
        "utilization_ratio": 0.14,
        "in_flight": 0,
        "latency_p95_ms": 1.5,
        "latency_p99_ms": 12.25,
        "io_errors": 2,
    },
    {
        "at": "2026-11-23T02:00:01.000Z",
        "interval_s": 1.001,
        "read_iops": 0.0,
        "write_iops": 95.0,
        "read_bytes_s": 0.0,
        "write_bytes_s": 1556480.0,
        "read_await_ms": None,
        "write_await_ms": 0.92,
        "queue_depth": 3.5,
        "utilization_ratio": 1.0,
        "in_flight": 2,
        "latency_p95_ms": None,
        "latency_p99_ms": None,
        "io_errors": None,
    },
]


def values_of(channel: Channel) -> st.SearchStrategy[float]:
    return st.one_of(st.just(NAN), st.sampled_from([0.0, channel.maximum]), st.floats(0, channel.maximum))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    gaps_ms = draw(st.lists(st.integers(1, 3_600_000), min_size=0, max_size=7))
    at_ms = array("q", [draw(st.integers(0, 4_000_000_000_000))])
    for gap_ms in gaps_ms:
        at_ms.append(at_ms[-1] + gap_ms)
    count = len(at_ms)
    return Window(
        at_ms,
        {c.name: array("d", draw(st.lists(values_of(c), min_size=count, max_size=count))) for c in CHANNELS},
    )


@settings(max_examples=30)
@given(windows())
def test_a_window_comes_back_within_each_channels_resolution(window: Window) -> None:
    decoded = chunk.decode(chunk.encode(window), key="k")

    assert decoded.at_ms == window.at_ms
    for channel in CHANNELS:
        for before, after in zip(window[channel.name], decoded[channel.name], strict=True):
            if before != before:
                assert after != after, f"{channel.name}: null became {after}"
            else:
                allowed = 0.5 / channel.steps_per_unit * (1 + 1e-9) + 1e-15 * before
                assert abs(after - before) <= allowed, channel.name


@settings(max_examples=15)
@given(windows())
def test_what_was_decoded_encodes_to_the_same_bytes(window: Window) -> None:
    encoded = chunk.encode(window)

    assert chunk.encode(chunk.decode(encoded, key="k")) == encoded


def test_the_same_samples_have_the_same_digest_and_others_another() -> None:
    digest = chunk.content_digest(chunk.contents([a_window()])[0])

    assert digest == chunk.content_digest(chunk.contents([a_window()])[0])
    assert digest != chunk.content_digest(chunk.contents([a_window(in_flight=1)])[0])
    assert len(digest) == 8


@pytest.mark.parametrize("data", [PLAIN, GOLDEN], ids=["version 1", "version 2"])
def test_a_chunk_that_an_earlier_program_wrote_can_still_be_read(data: bytes) -> None:
    window = chunk.decode(data, key="k")

    assert [row_to_dict(window, index) for index in range(len(window))] == GOLDEN_ROWS


def test_a_minute_of_seconds_takes_few_bytes() -> None:
    assert len(chunk.encode(a_window(60))) < 300


def test_bytes_that_follow_the_requests_cost_nothing() -> None:
    """4,096 bytes a request at any rate: every residual is 0."""
    window = a_window(4)
    window.columns["read_iops"] = array("d", [100.0, 250.0, 1.0, 70.0])
    window.columns["read_bytes_s"] = array("d", [409_600.0, 1_024_000.0, 4_096.0, 286_720.0])

    content = msgpack.unpackb(chunk.contents([window])[0])

    assert content[2][3] == [409_600, 0, 0, 0]
    assert chunk.decode(chunk.encode(window), key="k")["read_bytes_s"] == window["read_bytes_s"]


def damaged(data: bytes) -> str | None:
    """The error that `data` raises; None where it decodes to the same numbers."""
    try:
        window = chunk.decode(data, key="web-1:sda chunk#1")
    except DamagedChunk as error:
        return error.detail
    assert chunk.encode(window) == GOLDEN, "a damaged chunk became other numbers"
    return None


def test_no_flipped_bit_becomes_another_number() -> None:
    details = []
    for bit in range(len(GOLDEN) * 8):
        data = bytearray(GOLDEN)
        data[bit // 8] ^= 1 << bit % 8
        details.append(damaged(bytes(data)))

    assert details.count(None) <= 2  # of zstd's header, two bits do not matter to what comes out
    assert all(detail is None or detail.startswith("chunk web-1:sda chunk#1: ") for detail in details)


def test_every_truncation_is_an_error_that_names_the_key() -> None:
    details = [damaged(GOLDEN[:length]) for length in range(len(GOLDEN))]

    assert all(detail and "chunk web-1:sda chunk#1" in detail for detail in details)


@pytest.mark.parametrize("extra", [b"\0", b"\x01", GOLDEN, GOLDEN[1:], b"\x50\x2a\x4d\x18\x01\x00\x00\x00x"])
def test_something_after_the_chunk_is_an_error(extra: bytes) -> None:
    assert damaged(GOLDEN + extra)


def packed(content: object, *, version: int = chunk.VERSION, **options: Any) -> bytes:
    compressor = zstandard.ZstdCompressor(**{"write_checksum": True} | options)
    return bytes([version]) + compressor.compress(msgpack.packb(content))


def content_of(change: Callable[[list[Any]], object]) -> list[Any]:
    """The content of a chunk of three samples, changed."""
    content: list[Any] = msgpack.unpackb(chunk.contents([a_window(3)])[0])
    change(content)
    return content


def set_part(*path: int, to: object) -> Callable[[list[Any]], None]:
    def change(content: list[Any]) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_part(0, to=1),
        set_part(2, 3, 0, to="x"),
        set_part(2, 3, 1, to=0.5),
        set_part(2, 7, 2, to=float("inf")),
        set_part(1, to=[]),
        set_part(1, to=None),
        set_part(1, to=[AT_MS] + [1] * 1_000),
        set_part(1, 1, to=0),
        set_part(1, 1, to=-1_000),
        set_part(1, 1, to=0.5),
        set_part(1, 0, to=2**63),
        set_part(1, 0, to="now"),
        set_part(2, to=None),
        set_part(2, 1, to=[1, 2]),
        set_part(2, 1, to=7),
        set_part(2, 1, to="abc"),
        set_part(2, 1, 0, to="x"),
        set_part(2, 1, 0, to=[1]),
        lambda content: content[2].append(None),
        lambda content: content.append(0),
        lambda content: content.clear(),
    ],
)
def test_a_sound_frame_with_content_that_encode_never_writes_is_damaged(change: Callable[[list[Any]], object]) -> None:
    with pytest.raises(DamagedChunk, match="chunk the-key: "):
        chunk.decode(packed(content_of(change)), key="the-key")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        b"\x01" + GOLDEN[1:],
        b"\x02" + PLAIN[1:],
        b"\x03" + GOLDEN[1:],
        packed(content_of(lambda _: None), version=0),
        packed(content_of(lambda _: None), write_checksum=False),
        packed(b"\0" * 2_000_000),
        packed([[]] * 5),
        packed(7),
        packed(None),
        packed({"a": 1}),
    ],
)
def test_bytes_that_are_no_chunk_of_this_version_are_damaged(data: bytes) -> None:
    with pytest.raises(DamagedChunk, match="chunk the-key: "):
        chunk.decode(data, key="the-key")


def test_a_chunk_from_before_a_channel_existed_reads_as_null_there() -> None:
    def drop_last(content: list[Any]) -> None:
        content[2].pop()

    window = chunk.decode(packed(content_of(drop_last)), key="k")

    assert list(window["read_iops"]) == [200.0, 200.0, 200.0]
    assert all(value != value for value in window["io_errors"])


def test_a_frame_that_hides_its_size_cannot_take_memory() -> None:
    frame = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compress(b"\0" * 64_000_000)

    with pytest.raises(DamagedChunk, match="the-key"):
        chunk.decode(b"\x02" + frame, key="the-key")


def test_only_the_channels_that_are_wanted_are_read() -> None:
    window = a_window(30)
    read = chunk.decode(chunk.encode(window), key="x", only={"read_iops"})

    assert (read.at_ms, read["read_iops"]) == (window.at_ms, window["read_iops"])
    assert all(value != value for name in ("read_bytes_s", "queue_depth") for value in read[name])
