"""Remote-write bodies as readings; what is hostile is refused early, what is none of ours is counted."""

import struct
import time
from collections.abc import Mapping

import pytest

from iops.contract import UNPACKED_LIMIT_BYTES
from iops.errors import BodyTooLarge, MalformedBody
from services.ingest.counters import Counters
from services.ingest.readings import STREAMS_LIMIT, Drop, Readings
from services.ingest.remote_write import VALUES_LIMIT, RemoteWrite, unpack_snappy
from services.ingest.wire import write_bytes, write_varint
from tests.unit.builders import AT, AT_MS, DISK
from tests.unit.door_bodies import DEVICE, counters_at, disk_series, packed, write_request

BUSY = counters_at(AT_MS, 1_000, write_ops=7, write_bytes=28_672, write_time_ms=3.5, in_flight=2)


def parsed(body: bytes, parser: RemoteWrite | None = None) -> Readings:
    readings = Readings.at(AT)
    (parser or RemoteWrite()).parse(body, readings)
    return readings


def labelled(**labels: str) -> Readings:
    """One series with these labels, and the usual ones."""
    usual = {"__name__": "node_disk_io_now", "device": DEVICE, "instance": "web-1:9100"}
    chosen = {name: text for name, text in (usual | labels).items() if text}
    return parsed(write_request([(chosen, [(AT_MS, 1.0)])]))


def test_the_nine_series_of_a_disk_are_its_counters() -> None:
    readings = parsed(write_request(disk_series(BUSY)))

    ((instant, row),) = readings.streams[DISK].items()
    assert Counters(instant, *row) == BUSY  # type: ignore[arg-type]
    assert (readings.values, readings.dropped, readings.ignored) == (9, {}, {})


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("count", [1, 2, 60])
def test_a_series_reads_the_same_whether_it_was_met_before_or_not(count: int, is_known: bool) -> None:
    wanted = [counters_at(AT_MS + 1_000 * second, second, in_flight=second % 3) for second in range(count)]
    parser = RemoteWrite()
    if is_known:
        parsed(write_request(disk_series(BUSY)), parser)

    rows = parsed(write_request(disk_series(*wanted)), parser).rows_of(DISK)

    assert [Counters(at_ms, *row) for at_ms, row in rows.items()] == wanted  # type: ignore[arg-type]


def test_a_sample_whose_fields_stand_in_another_order_is_read() -> None:
    instant, value = b"\x10" + write_varint(AT_MS), b"\x09" + struct.pack("<d", 5.0)
    unknown = b"\x7a\x01x"
    series = write_request([(disk_series(BUSY)[0][0], [])])
    labels = series[3:] if series[1] >= 0x80 else series[2:]
    parser = RemoteWrite()

    for sample in (instant + value, unknown + value + instant, value + instant):
        body = write_bytes(0x0A, labels + write_bytes(0x12, sample) + write_bytes(0x1A, b"an exemplar"))
        assert parsed(body, parser).streams[DISK][AT_MS][0] == 5.0


@pytest.mark.parametrize(
    ("labels", "stream_id"),
    [
        ({"instance": "web-7:9100"}, f"web-7:{DEVICE}"),
        ({"instance": "10.0.0.7"}, f"10.0.0.7:{DEVICE}"),
        ({"instance": "localhost:9100", "nodename": "db-1"}, f"db-1:{DEVICE}"),
        ({"instance": "localhost:9100", "host": "db 1/ü#"}, f"db-1---:{DEVICE}"),
        ({"device": "cciss/c0d0"}, "web-1:cciss-c0d0"),
        ({"instance": "h" * 500, "device": "d" * 500}, f"{'h' * 120}:{'d' * 70}"),
    ],
)
def test_a_series_names_its_stream(labels: Mapping[str, str], stream_id: str) -> None:
    assert list(labelled(**labels).streams) == [stream_id]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"device": ""}, Drop.NO_DEVICE),
        ({"instance": ""}, Drop.NO_HOST),
        ({"device": "sda1"}, Drop.NOT_A_DISK),
        ({"device": "nvme0n1p2"}, Drop.NOT_A_DISK),
        ({"device": "loop3"}, Drop.NOT_A_DISK),
        ({"device": "ram0"}, Drop.NOT_A_DISK),
    ],
)
def test_a_series_of_no_disk_is_counted_and_dropped(labels: Mapping[str, str], reason: Drop) -> None:
    readings = labelled(**labels)

    assert readings.streams == {}
    assert readings.dropped == {reason: 1}


def test_everything_else_is_counted_by_name() -> None:
    names = ["up", "node_cpu_seconds_total", "node_disk_info", "up"]
    labels = [
        {"__name__": name, "device": DEVICE, "instance": "web-1:9100", "n": str(i)} for i, name in enumerate(names)
    ]

    readings = parsed(write_request([(label, [(AT_MS, 1.0)]) for label in labels]))

    assert readings.streams == {}
    assert readings.ignored == {"up": 2, "node_cpu_seconds_total": 1, "node_disk_info": 1}


STALE_MARKER = struct.unpack("<d", bytes.fromhex("020000000000f07f"))[0]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (STALE_MARKER, Drop.STALE),
        (float("nan"), Drop.STALE),
        (float("inf"), Drop.NOT_A_COUNT),
        (-1.0, Drop.NOT_A_COUNT),
    ],
)
def test_what_is_no_count_is_dropped(value: float, reason: Drop) -> None:
    readings = parsed(write_request([(disk_series(BUSY)[0][0], [(AT_MS, value)])]))

    assert (readings.streams, readings.dropped) == ({}, {reason: 1})


@pytest.mark.parametrize("value", [STALE_MARKER, float("nan"), 1e308])
def test_one_value_that_is_no_count_among_many_is_dropped_alone(value: float) -> None:
    readings_s = [counters_at(AT_MS + 1_000 * second, second) for second in range(10)]
    body = write_request([*disk_series(*readings_s)[:-1], (disk_series(BUSY)[-1][0], [(AT_MS + 9_000, value)])])
    first, *others = disk_series(*readings_s)
    told = [(at_ms, value if number == 4 else read) for number, (at_ms, read) in enumerate(first[1])]

    readings = parsed(write_request([(first[0], told), *others]))

    assert readings.dropped.total() == 1
    assert readings.values == 89
    assert (parsed(body).dropped.total(), parsed(body).values) == (1, 80)  # alone in its series


@pytest.mark.parametrize(("ahead_s", "is_taken"), [(-3_600, True), (3_600, False), (-8 * 86_400, False), (240, True)])
def test_a_clock_may_be_an_hour_behind_but_not_ahead(ahead_s: int, is_taken: bool) -> None:
    readings = parsed(write_request(disk_series(counters_at(AT_MS + 1000 * ahead_s, 1))))

    assert bool(readings.streams) is is_taken
    assert readings.dropped == ({} if is_taken else {Drop.CLOCK: 9})


@pytest.mark.parametrize("instant", [0, -1, 1, 2**62, -(2**63)])
def test_an_instant_out_of_this_century_is_left_out(instant: int) -> None:
    assert parsed(write_request(disk_series(counters_at(instant, 1)))).dropped == {Drop.CLOCK: 9}


def test_a_host_that_is_no_text_is_left_out() -> None:
    body = write_request(disk_series(BUSY, instance="webXX:9100")).replace(b"webXX", b"web\xff\xfe")

    assert parsed(body).dropped == {Drop.NOT_TEXT: 9}


BODY = write_request(disk_series(BUSY, counters_at(AT_MS + 1_000, 2_000)))
MALFORMED = {
    "zeros": b"\0" * 1_000_000,
    "a series without labels": write_bytes(0x0A, b""),
    "a label without an end": b"\x0a\x04\x0a\x50ab",
    "a varint without an end": b"\x0a" + b"\xff" * 11,
    "a length beyond memory": b"\x0a" + b"\xff" * 8 + b"\x7f",
    "a group": b"\x0b\x0c",
    "text": b"node_disk_io_now 1",
    "a thousand labels": write_bytes(0x0A, b"\x0a\x00" * 1_000),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_write_request_is_malformed(case: str) -> None:
    with pytest.raises(MalformedBody):
        parsed(MALFORMED[case])


def test_a_body_cut_anywhere_is_malformed_or_ends_with_a_series() -> None:
    for end in range(len(BODY)):
        try:
            assert parsed(BODY[:end]).values % 2 == 0
        except MalformedBody:
            continue


def bomb(part: bytes) -> bytes:
    return part * (UNPACKED_LIMIT_BYTES // len(part))


BOMBS = {
    "empty labels": bomb(write_bytes(0x0A, b"\x0a\x00" * 60)),
    "unknown fields": bomb(b"\x78\x01"),
    "empty samples": write_bytes(0x0A, bomb(b"\x12\x00")[:-9]),
    "empty samples of a disk": bomb(BODY[: BODY.index(b"\x12\x10\x09")])[:1_000] + bomb(b"\x12\x00"),
    "tiny series": bomb(write_bytes(0x0A, b"\x0a\x02\x0a\x00")),
    "values": write_request([(disk_series(BUSY)[0][0], [(AT_MS, 1.0)] * (VALUES_LIMIT + 1))]),
    "series that are ignored": bomb(bytes.fromhex("0a050a00120710")),
    "devices": write_request(
        [(disk_series(BUSY, device=f"nvme{n}n1")[0][0], [(AT_MS, 1.0)]) for n in range(STREAMS_LIMIT + 1)]
    ),
    "long varints": bomb(b"\x78" + b"\x80" * 9 + b"\x01"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_refused_in_bounded_time(case: str) -> None:
    started_s = time.process_time()
    with pytest.raises((MalformedBody, BodyTooLarge)):
        parsed(BOMBS[case])

    assert time.process_time() - started_s < 10  # a wide bound: 0.5 s here


def test_many_names_are_remembered_up_to_a_limit() -> None:
    labels = [{"__name__": f"metric_{number}"} for number in range(1_500)]

    readings = parsed(write_request([(label, [(AT_MS, 1.0)]) for label in labels]))

    assert len(readings.ignored) == 1_001
    assert readings.ignored["other"] == 500


def test_a_snappy_block_is_unpacked() -> None:
    assert unpack_snappy(packed(BODY)) == BODY


@pytest.mark.parametrize(
    "body",
    [
        b"",
        packed(BODY)[:-5],
        packed(BODY)[:3],
        b"\xff" * 20,
        b"\x05",
        BODY,
        write_varint(7 * 1024 * 1024) + b"\0" * 100,
    ],
    ids=["nothing", "cut", "cut early", "no length", "only a length", "not packed", "a length that cannot be"],
)
def test_what_is_no_snappy_block_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        unpack_snappy(body)


@pytest.mark.parametrize("body", [packed(b"\0" * 10_000_000), write_varint(2**40) + b"\0" * 100])
def test_a_snappy_bomb_is_refused_before_it_is_unpacked(body: bytes) -> None:
    with pytest.raises(BodyTooLarge):
        unpack_snappy(body)
