"""OTLP metrics: `system.disk.*` of the OpenTelemetry hostmetrics receiver as readings; here from protobuf.

Attributes are the same in every request, so a series is known by the bytes of its attributes. A data point as Go and
Python write it is 27 bytes (start, instant, value) and its attributes; other layouts are read too, only slower.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from iops.errors import MalformedBody
from services.ingest.counters import FIELDS
from services.ingest.device import is_whole_disk, stream_of
from services.ingest.readings import Drop, Readings
from services.ingest.wire import Walker

CUMULATIVE: Final = 2  # of AggregationTemporality
NO_RECORDED_VALUE: Final = 1  # a data point's flag
HOST_KEYS: Final = ("host.name", "host.id", "service.instance.id")  # of a resource, the first that is there
DEVICE_KEYS: Final = ("device", "system.device")  # of a data point: the receiver's, the semantic conventions'
DIRECTION_KEYS: Final = ("direction", "disk.io.direction")
SERIES_LIMIT: Final = 20_000  # known by their attributes' bytes; beyond, all are met again
KNOWN_BYTES: Final = 1024  # a longer data point is parsed each time, so that what is known stays small
SECONDS: Final = {"s": 1000.0, "": 1000.0, "ms": 1.0}  # to ms, by unit


class Metric(NamedTuple):
    """Where a metric's values belong."""

    places: Mapping[str, int]  # in a row, by direction; "" where it has none
    scales: Mapping[str, float] | None = None  # by unit; None: it counts, whatever the unit is called


def _places(**fields: str) -> dict[str, int]:
    return {direction.replace("none", ""): FIELDS.index(name) for direction, name in fields.items()}


METRICS: Final = {
    "system.disk.operations": Metric(_places(read="read_ops", write="write_ops")),
    "system.disk.io": Metric(_places(read="read_bytes", write="write_bytes")),
    "system.disk.operation_time": Metric(_places(read="read_time_ms", write="write_time_ms"), SECONDS),
    "system.disk.io_time": Metric(_places(none="io_time_ms"), SECONDS),
    "system.disk.weighted_io_time": Metric(_places(none="weighted_io_time_ms"), SECONDS),
    "system.disk.pending_operations": Metric(_places(none="in_flight")),
}

Series = tuple[str, int, float]  # stream, place in a row, scale
Attributes = dict[str, str]

# Tags of what is looked at, message by message.
RESOURCE_METRICS, RESOURCE, SCOPE_METRICS, METRIC = 0x0A, 0x0A, 0x12, 0x12
RESOURCE_ATTRIBUTES, KEY, ANY_VALUE, STRING_VALUE = 0x0A, 0x0A, 0x12, 0x0A
NAME, UNIT, GAUGE, SUM, POINTS, TEMPORALITY = 0x0A, 0x1A, 0x2A, 0x3A, 0x0A, 0x10
START, INSTANT, AS_DOUBLE, AS_INT, POINT_ATTRIBUTES, FLAGS = 0x11, 0x19, 0x21, 0x31, 0x3A, 0x40
POINT_BYTES: Final = 27
POINT_INT: Final = struct.Struct("<10xQxq")
POINT_DOUBLE: Final = struct.Struct("<10xQxd")
NANOSECONDS: Final = struct.Struct("<Q")
INT: Final = struct.Struct("<q")
DOUBLE: Final = struct.Struct("<d")


def host_of(attributes: Attributes) -> str:
    """The host that a resource names; empty where it names none."""
    return next((attributes[key] for key in HOST_KEYS if attributes.get(key)), "")


def series_of(host: str, name: str, unit: str, attributes: Attributes) -> Series | Drop:
    """The stream and the counter of a data point of a metric that is one of METRICS; or why it is left out."""
    metric = METRICS[name]
    device = next((attributes[key] for key in DEVICE_KEYS if attributes.get(key)), "")
    direction = next((attributes[key] for key in DIRECTION_KEYS if attributes.get(key)), "")
    if not host:
        return Drop.NO_HOST
    if not device:
        return Drop.NO_DEVICE
    if not is_whole_disk(device):
        return Drop.NOT_A_DISK
    place = metric.places.get("" if "" in metric.places else direction)
    if place is None:
        return Drop.NO_DIRECTION
    scale = 1.0 if metric.scales is None else metric.scales.get(unit)
    return Drop.UNKNOWN_UNIT if scale is None else (stream_of(host, device), place, scale)


class OtlpProtobuf:
    """The parser, with the series it has met."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], dict[bytes, Series | Drop]] = {}
        self._known_count = 0

    def parse(self, data: bytes, readings: Readings) -> None:
        """Adds what an ExportMetricsServiceRequest says; raises MalformedBody or BodyTooLarge."""
        walker = Walker()
        try:
            for resource_metrics in _parts(walker, data, RESOURCE_METRICS):
                self._add_resource(walker, resource_metrics, readings)
        except UnicodeDecodeError as error:
            raise MalformedBody("the protobuf has a text that is not UTF-8") from error

    def _add_resource(self, walker: Walker, data: bytes, readings: Readings) -> None:
        attributes: Attributes = {}
        metrics: list[bytes] = []
        for tag, value in walker.fields(data):
            if tag == RESOURCE and isinstance(value, bytes):
                attributes |= _attributes(walker, _parts(walker, value, RESOURCE_ATTRIBUTES))
            elif tag == SCOPE_METRICS and isinstance(value, bytes):
                metrics += _parts(walker, value, METRIC)
        host = host_of(attributes)
        for metric in metrics:
            self._add_metric(walker, metric, host, readings)

    def _add_metric(self, walker: Walker, data: bytes, host: str, readings: Readings) -> None:
        found = {tag: value for tag, value in walker.fields(data) if isinstance(value, bytes)}
        name = found.get(NAME, b"").decode()
        if name not in METRICS:
            readings.ignore(name)
            return
        points: list[bytes] = []
        temporality: int | bytes = 0
        for tag, value in walker.fields(found.get(SUM) or found.get(GAUGE, b"")):
            if tag == POINTS and isinstance(value, bytes):
                points.append(value)
            elif tag == TEMPORALITY:
                temporality = value
        if is_counted(name, is_sum=SUM in found, is_cumulative=temporality == CUMULATIVE):
            self._add_points(walker, points, (host, name, found.get(UNIT, b"").decode()), readings)
        else:
            readings.dropped[Drop.NOT_CUMULATIVE] += len(points)

    def _add_points(
        self, walker: Walker, points: list[bytes], metric: tuple[str, str, str], readings: Readings
    ) -> None:
        known = self._known.get(metric, {})
        for point in points:
            series = known.get(point[POINT_BYTES:])
            is_usual = len(point) > POINT_BYTES and point[0] == START and point[9] == INSTANT
            value: float
            if series is not None and is_usual and point[18] == AS_INT:
                at_ns, value = POINT_INT.unpack_from(point)
            elif series is not None and is_usual and point[18] == AS_DOUBLE:
                at_ns, value = POINT_DOUBLE.unpack_from(point)
            else:
                at_ns, value, attributes, is_recorded = _read_point(walker, point)
                series = series_of(*metric, attributes) if is_recorded else Drop.STALE
                if is_usual and is_recorded and len(point) <= KNOWN_BYTES:
                    self._meet(metric, point[POINT_BYTES:], series)
            if isinstance(series, Drop):
                readings.dropped[series] += 1
            else:
                readings.add(series[0], series[1], at_ns // 1_000_000, value * series[2])

    def _meet(self, metric: tuple[str, str, str], attributes: bytes, series: Series | Drop) -> None:
        if self._known_count >= SERIES_LIMIT:
            self._known.clear()
            self._known_count = 0
        self._known_count += 1
        self._known.setdefault(metric, {})[attributes] = series


def is_counted(name: str, *, is_sum: bool, is_cumulative: bool) -> bool:
    """Whether a metric counts from a start. What is pending now does not, so there a gauge is as good as a sum."""
    return is_cumulative if is_sum else name == "system.disk.pending_operations"


def _read_point(walker: Walker, data: bytes) -> tuple[int, float, Attributes, bool]:
    """A data point of any layout: instant in ns, value (NaN where it has none), attributes, whether it was recorded."""
    at_ns, number, flags = 0, float("nan"), 0
    attributes: list[bytes] = []
    for tag, value in walker.fields(data):
        if tag == FLAGS and isinstance(value, int):
            flags = value
        elif not isinstance(value, bytes):
            continue
        elif tag == INSTANT:
            (at_ns,) = NANOSECONDS.unpack(value)
        elif tag == AS_INT:
            (number,) = INT.unpack(value)
        elif tag == AS_DOUBLE:
            (number,) = DOUBLE.unpack(value)
        elif tag == POINT_ATTRIBUTES:
            attributes.append(value)
    return at_ns, number, _attributes(walker, attributes), not flags & NO_RECORDED_VALUE


def _attributes(walker: Walker, pairs: Iterator[bytes] | list[bytes]) -> Attributes:
    """The attributes whose value is a text."""
    attributes: Attributes = {}
    for pair in pairs:
        key = value = b""
        for tag, part in walker.fields(pair):
            if tag == KEY and isinstance(part, bytes):
                key = part
            elif tag == ANY_VALUE and isinstance(part, bytes):
                value = next(_parts(walker, part, STRING_VALUE), b"")
        attributes[key.decode()] = value.decode()
    return attributes


def _parts(walker: Walker, data: bytes, tag: int) -> Iterator[bytes]:
    """The values of one repeated field of messages."""
    for found, value in walker.fields(data):
        if found == tag and isinstance(value, bytes):
            yield value
