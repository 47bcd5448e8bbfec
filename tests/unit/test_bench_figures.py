"""What the bench makes of what it saw: replies, percentiles, rounds, costs, and the bodies that it sends."""

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cramjam
import pytest

from bench.bodies import Sent, fleet_of, requests
from bench.cost import Density, measure_density, monthly_write_usd, write_units
from bench.figures import Round, Rounds, open_loop_figures, per_second, percentile
from bench.load import Reply, Tally, UnreadableReply, parse_reply
from bench.recording import load_windows, rows_to_window, without_percentiles
from bench.remote_write import SERIES_PER_DISK, Series, write_request
from bench.remote_write import requests as write_requests
from services.ingest.admit import admit
from tests.unit.builders import AT, AT_MS, a_window


def test_a_reply_is_read_once_it_is_whole_and_only_as_far_as_it_goes() -> None:
    reply = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nContent-Length: 2\r\n\r\n{}"

    assert [parse_reply(reply[:size]) for size in range(len(reply))] == [None] * len(reply)
    assert parse_reply(reply + b"HTTP/1.1 202") == Reply(status=503, retry_after_s=2, size_bytes=len(reply))


def test_a_reply_without_content_has_no_length() -> None:
    assert parse_reply(b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n") == Reply(204, 0, 36)


def test_a_reply_of_unknown_length_is_not_guessed_at() -> None:
    with pytest.raises(UnreadableReply):
        parse_reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_percentiles_are_values_that_occurred() -> None:
    thousand = list(range(1, 1001))

    assert [percentile(thousand, share) for share in (0.5, 0.99, 0.999, 1)] == [500, 990, 999, 1000]
    assert percentile([7], 0.5) == 7


def test_a_rate_is_the_median_of_its_rounds() -> None:
    rounds = Rounds(
        [
            Round(requests=100, samples=6_000, elapsed_s=1.0, server_cpu_s=0.5),
            Round(requests=300, samples=18_000, elapsed_s=1.0, server_cpu_s=0.9),
            Round(requests=10, samples=600, elapsed_s=1.0, server_cpu_s=0.5),  # somebody else was busy
        ]
    )

    assert rounds.requests_per_s == 100
    assert rounds.samples_per_s == 6_000
    assert rounds.cpu_us_per_request == pytest.approx(5_000)
    assert rounds.cpu_us_per_sample == pytest.approx(83.33, abs=0.01)


def test_an_open_loop_tells_latency_answers_and_what_was_lost() -> None:
    tally = Tally(latencies_s=[0.001] * 98 + [0.02, 2.5], sent_s=[0.5] * 98 + [1.2, 1.9], unanswered=1, elapsed_s=2.0)
    tally.answered.update({202: 100, 503: 3})

    figures = open_loop_figures(tally, rate=50)

    assert figures["answers"] == {"202": 100, "503": 3}
    assert (figures["acknowledged"], figures["given_up"], figures["refused"]) == (100, 1, 0)
    assert (figures["p50_ms"], figures["p99_ms"], figures["p99_9_ms"]) == (1.0, 20.0, 2_500.0)
    assert per_second(tally, 0.5) == {0: 1.0, 1: 20.0}


def test_nothing_acknowledged_has_no_latency() -> None:
    assert open_loop_figures(Tally(), rate=50)["p99_ms"] is None


def test_a_write_costs_a_unit_for_each_kilobyte_begun() -> None:
    def row(size_bytes: int) -> dict[str, dict[str, bytes]]:
        return {"data": {"B": b"x" * (size_bytes - 4)}}

    assert [write_units(row(size)) for size in (10, 1024, 1025, 2048)] == [1, 1, 2, 2]


def test_a_month_costs_what_the_design_says() -> None:
    """design.md, section 3: one sample per 10 s in 60-second batches is $5.48 a month."""
    usd = monthly_write_usd(streams=200, samples_per_s=0.1, write_units_per_million_samples=1e6 / 6)

    assert usd == pytest.approx(5.475)


def test_density_is_of_whole_chunks_only() -> None:
    density = measure_density([a_window(150)], chunk_samples=60)

    assert (density.samples, density.write_units) == (120, 2)
    assert 1 < density.bytes_per_sample < 5
    assert Density(samples=120, chunk_bytes=2_400, write_units=3).write_units_per_million_samples == 25_000


def test_without_a_recording_the_demo_fleet_is_sized(tmp_path: Path) -> None:
    source, windows = load_windows(tmp_path / "nothing")

    assert source == "demo fleet"
    assert len(windows) == 20


def test_an_empty_field_of_a_recording_is_a_null() -> None:
    row = {"unix_ms": "1795402694785", "dt_s": "1.0", "r_iops": "0.0", "w_iops": "3.0", "r_bytes_s": "0",
           "w_bytes_s": "4096", "r_await_ms": "", "w_await_ms": "0.5", "aqu_sz": "0.1", "util": "0.2",
           "in_flight": "1", "fio_p95_ms": "", "fio_p99_ms": "4.5"}  # fmt: skip

    window = rows_to_window([row])

    assert window.at_ms[0] == 1_795_402_694_785
    assert window["read_await_ms"][0] != window["read_await_ms"][0]
    assert (window["write_await_ms"][0], window["latency_p99_ms"][0]) == (0.5, 4.5)
    assert without_percentiles(window)["latency_p99_ms"][0] != 4.5


def test_every_body_is_one_that_ingest_admits_with_instants_that_go_on() -> None:
    streams = fleet_of(6, name="test")
    made = list(islice(requests(streams, count=3, begin_ms=AT_MS - 60_000, step_ms=1_000), 12))

    for request in made:
        (batch,) = admit(request.content.partition(b"\r\n\r\n")[2], now=AT)
        assert isinstance(request.tag, Sent)
        assert batch.stream_id == request.tag.stream_id
        assert list(batch.window.at_ms) == list(request.tag.instants())
    first, second = (request.tag for request in made[::6])
    assert isinstance(first, Sent)
    assert isinstance(second, Sent)
    assert (second.stream_id, second.at_ms) == (first.stream_id, first.at_ms + 3_000)


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """A protobuf message, field by field: number, and bytes, or an integer."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        match tag & 7:
            case 0:
                value, at = varint(data, at)
                yield tag >> 3, value
            case 1:
                yield tag >> 3, data[at : at + 8]
                at += 8
            case _:
                size, at = varint(data, at)
                yield tag >> 3, data[at : at + size]
                at += size


def varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        at += 1
        shift += 7
        if data[at - 1] < 0x80:
            return number, at


def decoded(body: bytes) -> list[tuple[dict[bytes, bytes], list[tuple[int, float]]]]:
    """A WriteRequest: of each series its labels and its samples."""
    found = []
    for _, series in fields(body):
        assert isinstance(series, bytes)
        labels: dict[bytes, bytes] = {}
        samples = []
        for number, content in fields(series):
            assert isinstance(content, bytes)
            parts = dict(fields(content))
            if number == 1:
                labels[bytes(parts[1])] = bytes(parts[2])
            else:
                (value,) = struct.unpack("<d", parts[1]) if 1 in parts else (0.0,)  # type: ignore[arg-type]
                samples.append((int(parts[2]), value))
        found.append((labels, samples))
    return found


def test_remote_write_bodies_are_counters_that_grow_at_instants_that_go_on() -> None:
    made = list(write_requests(disks=8, samples=6, rounds=12, begin_ms=AT_MS, step_ms=1_000))
    head, _, body = made[0].content.partition(b"\r\n\r\n")

    assert len(made) == 2 * 12
    assert b"Content-Encoding: snappy" in head
    told = [decoded(bytes(cramjam.snappy.decompress_raw(one.content.partition(b"\r\n\r\n")[2]))) for one in made[::2]]
    assert len(told[0]) == 4 * SERIES_PER_DISK
    for index, (labels, _) in enumerate(told[0]):
        assert list(labels) == [b"__name__", b"device", b"instance", b"job"]
        samples = [sample for request in told for sample in request[index][1]]
        assert [at_ms for at_ms, _ in samples] == list(range(AT_MS, AT_MS + 72_000, 1_000))
        if labels[b"__name__"].endswith(b"_total"):
            values = [value for _, value in samples]
            assert values == sorted(values)
    assert made[0].tag == len(told[0]) * 6
    assert bytes(cramjam.snappy.decompress_raw(body)) != body


def test_a_zero_takes_no_value_field() -> None:
    body = write_request([Series(b"", [0.0, 2.0], 0.0)], 0, [b"\x05", b"\x06"])

    assert body == b"\x0a\x11" + b"\x12\x02\x10\x05" + b"\x12\x0b\x09" + struct.pack("<d", 2.0) + b"\x10\x06"
