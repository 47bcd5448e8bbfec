"""OTLP bodies as readings: protobuf and JSON say the same, in every form that clients write."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format

from iops.contract import UNPACKED_LIMIT_BYTES
from iops.errors import BodyTooLarge, MalformedBody
from services.ingest.counters import Counters
from services.ingest.otlp import OtlpProtobuf
from services.ingest.otlp_json import parse_json
from services.ingest.readings import Drop, Readings
from services.ingest.wire import write_bytes
from tests.unit.builders import AT, AT_MS, DISK
from tests.unit.door_bodies import counters_at, otlp_request

BUSY = counters_at(AT_MS, 1_000, write_ops=7, write_bytes=28_672, write_time_ms=3.5, in_flight=2)


def read_protobuf(request: Any) -> Readings:
    readings = Readings.at(AT)
    OtlpProtobuf().parse(request.SerializeToString(), readings)
    return readings


def read_protobuf_again(request: Any) -> Readings:
    """As a parser reads it that has met the series before."""
    parser = OtlpProtobuf()
    parser.parse(request.SerializeToString(), Readings.at(AT))
    readings = Readings.at(AT)
    parser.parse(request.SerializeToString(), readings)
    return readings


def read_json(request: Any) -> Readings:
    readings = Readings.at(AT)
    parse_json(json_format.MessageToJson(request, use_integers_for_enums=True).encode(), readings)
    return readings


def metrics_of(request: Any) -> Any:
    return request.resource_metrics[0].scope_metrics[0].metrics


Read = Callable[[Any], Readings]
every_way = pytest.mark.parametrize("read", [read_protobuf, read_protobuf_again, read_json])


def rows(readings: Readings, stream_id: str = DISK) -> list[Counters]:
    return [Counters(at_ms, *row) for at_ms, row in readings.streams[stream_id].items()]  # type: ignore[arg-type]


@every_way
def test_the_six_metrics_of_a_disk_are_its_counters(read: Read) -> None:
    readings = read(otlp_request(BUSY, counters_at(AT_MS + 1_000, 2_000)))

    assert rows(readings) == [BUSY, counters_at(AT_MS + 1_000, 2_000)]
    assert (readings.values, readings.dropped, readings.rejected) == (18, {}, 0)


@every_way
def test_delta_temporality_is_rejected_point_by_point(read: Read) -> None:
    readings = read(otlp_request(BUSY, temporality=1))

    assert readings.streams == {}
    assert (readings.dropped, readings.rejected) == ({Drop.NOT_CUMULATIVE: 9}, 9)


@every_way
def test_what_is_pending_may_be_a_gauge_but_a_counter_may_not(read: Read) -> None:
    request = otlp_request(BUSY)
    for metric in metrics_of(request):
        points = list(metric.sum.data_points)
        if metric.name in ("system.disk.pending_operations", "system.disk.io_time"):
            metric.gauge.data_points.extend(points)

    readings = read(request)

    ((row,),) = (readings.streams[DISK].values(),)
    assert (row[6], row[8]) == (None, 2)
    assert readings.dropped == {Drop.NOT_CUMULATIVE: 1}


@every_way
def test_partitions_are_left_out_and_nobody_is_told(read: Read) -> None:
    readings = read(otlp_request(BUSY, device="sda1"))

    assert (readings.streams, readings.dropped, readings.rejected) == ({}, {Drop.NOT_A_DISK: 9}, 0)


@every_way
def test_other_metrics_are_counted_by_name(read: Read) -> None:
    request = otlp_request(BUSY)
    metrics_of(request).add(name="system.cpu.time").sum.data_points.add(as_double=1.0)
    metrics_of(request).add(name="system.disk.merged").sum.data_points.add(as_int=1)

    readings = read(request)

    assert readings.ignored == {"system.cpu.time": 1, "system.disk.merged": 1}
    assert rows(readings) == [BUSY]


@every_way
def test_a_resource_without_host_name_is_known_by_its_id(read: Read) -> None:
    request = otlp_request(BUSY)
    resource = request.resource_metrics[0].resource
    resource.attributes[0].key = "host.id"
    assert list(read(request).streams) == [DISK]
    resource.attributes[0].key = "os.type"
    assert read(request).dropped == {Drop.NO_HOST: 9}


@every_way
def test_attributes_of_the_semantic_conventions_are_understood(read: Read) -> None:
    request = otlp_request(BUSY)
    names = {"device": "system.device", "direction": "disk.io.direction"}
    for metric in metrics_of(request):
        for point in metric.sum.data_points:
            for attribute in point.attributes:
                attribute.key = names[attribute.key]

    assert rows(read(request)) == [BUSY]


@every_way
def test_a_point_without_device_or_direction_is_rejected(read: Read) -> None:
    request = otlp_request(BUSY)
    operations, data = metrics_of(request)[0].sum.data_points, metrics_of(request)[1].sum.data_points
    del operations[0].attributes[0]
    del data[0].attributes[1]

    readings = read(request)

    assert (readings.dropped, readings.rejected) == ({Drop.NO_DEVICE: 1, Drop.NO_DIRECTION: 1}, 2)


@every_way
def test_a_unit_that_is_not_known_is_rejected_and_milliseconds_are(read: Read) -> None:
    request = otlp_request(BUSY)
    metrics_of(request)[2].unit = "ms"
    metrics_of(request)[3].unit = "h"

    readings = read(request)

    ((row,),) = (readings.streams[DISK].values(),)
    assert row[4] == 50.0
    assert readings.dropped == {Drop.UNKNOWN_UNIT: 1}


@every_way
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("as_double", float("nan"), Drop.STALE),
        ("as_double", float("inf"), Drop.NOT_A_COUNT),
        ("as_double", -1.0, Drop.NOT_A_COUNT),
        ("as_int", -(2**63), Drop.NOT_A_COUNT),
        ("flags", 1, Drop.STALE),
        ("time_unix_nano", 0, Drop.CLOCK),
        ("time_unix_nano", (AT_MS + 3_600_000) * 10**6, Drop.CLOCK),
        ("time_unix_nano", 2**64 - 1, Drop.CLOCK),
    ],
)
def test_a_point_that_is_no_count_of_now_is_left_out(read: Read, field: str, value: float, reason: Drop) -> None:
    request = otlp_request(BUSY)
    setattr(metrics_of(request)[0].sum.data_points[0], field, value)

    assert read(request).dropped == {reason: 1}


@every_way
def test_a_clock_an_hour_behind_is_believed(read: Read) -> None:
    assert list(read(otlp_request(counters_at(AT_MS - 3_600_000, 1))).streams[DISK]) == [AT_MS - 3_600_000]


def test_json_takes_numbers_as_text_and_text_as_numbers() -> None:
    body = json_format.MessageToDict(otlp_request(BUSY))
    points = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"]
    assert isinstance(points[0]["asInt"], str)
    for point in points:
        point["asInt"], point["timeUnixNano"] = int(point["asInt"]), int(point["timeUnixNano"])
    seconds = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][3]["sum"]["dataPoints"]
    seconds[0]["asDouble"] = str(seconds[0]["asDouble"])
    readings = Readings.at(AT)

    parse_json(json.dumps(body).encode(), readings)  # its temporality is a name here

    assert rows(readings) == [BUSY]


BAD_JSON = {
    "nothing": b"",
    "a list": b"[]",
    "cut": b'{"resourceMetrics": [{"scopeMetrics"',
    "a text for a list": b'{"resourceMetrics": "x"}',
    "no UTF-8": b'{"resourceMetrics": [{"resource": {"attributes": [{"key": "\xff"}]}}]}',
    "deep": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_what_is_no_otlp_json_is_malformed(case: str) -> None:
    with pytest.raises(MalformedBody):
        parse_json(BAD_JSON[case], Readings.at(AT))


@pytest.mark.parametrize(
    "number", ['"12x"', '"' + "9" * 5_000 + '"', '""', "1e400", '"\u0665"', "1" * 300, "null", "[]"]
)
def test_an_integer_that_is_none_is_malformed_or_left_out(number: str) -> None:
    body = json_format.MessageToJson(otlp_request(BUSY)).replace('"7"', number)
    readings = Readings.at(AT)
    try:
        parse_json(body.encode(), readings)
    except MalformedBody:
        return
    assert readings.values == 8


def test_containers_without_end_are_refused_before_they_take_memory() -> None:
    body = b'{"resourceMetrics":[' + b"{}," * (UNPACKED_LIMIT_BYTES // 3 - 20) + b"{}]}"

    with pytest.raises(BodyTooLarge):
        parse_json(body, Readings.at(AT))


def bomb(part: bytes) -> bytes:
    return part * (UNPACKED_LIMIT_BYTES // len(part))


BOMBS = {
    "zeros": bomb(b"\0"),
    "empty resources": bomb(b"\x0a\x00"),
    "empty scopes": write_bytes(0x0A, bomb(b"\x12\x00")[:-20]),
    "empty metrics": write_bytes(0x0A, write_bytes(0x12, bomb(b"\x12\x00")[:-40])),
    "unknown fields": bomb(b"\x78\x01"),
    "long varints": bomb(b"\x78" + b"\x80" * 9 + b"\x01"),
    "a text that is none": write_bytes(0x0A, write_bytes(0x12, write_bytes(0x12, write_bytes(0x0A, b"\xff")))),
    "ends early": otlp_request(BUSY).SerializeToString()[:-3],
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_refused_in_bounded_time(case: str) -> None:
    started_s = time.process_time()
    with pytest.raises((MalformedBody, BodyTooLarge)):
        OtlpProtobuf().parse(BOMBS[case], Readings.at(AT))

    assert time.process_time() - started_s < 10  # a wide bound: 0.5 s here


def test_hosts_without_end_are_forgotten_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.otlp.SERIES_LIMIT", 30)
    parser = OtlpProtobuf()

    for number in range(20):
        parser.parse(otlp_request(BUSY, host=f"web-{number}").SerializeToString(), Readings.at(AT))

    assert sum(map(len, parser._known.values())) <= 30
