"""Bodies for the doors, written by protobuf's own runtime: what our parsers read is not what we wrote."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from services.ingest.counters import FIELDS, Counters

HOST, DEVICE = "web-1", "nvme0n1"
SERIES: Final = {
    "node_disk_reads_completed_total": ("read_ops", 1),
    "node_disk_writes_completed_total": ("write_ops", 1),
    "node_disk_read_bytes_total": ("read_bytes", 1),
    "node_disk_written_bytes_total": ("write_bytes", 1),
    "node_disk_read_time_seconds_total": ("read_time_ms", 1000),
    "node_disk_write_time_seconds_total": ("write_time_ms", 1000),
    "node_disk_io_time_seconds_total": ("io_time_ms", 1000),
    "node_disk_io_time_weighted_seconds_total": ("weighted_io_time_ms", 1000),
    "node_disk_io_now": ("in_flight", 1),
}
POINTS: Final = {  # metric: unit, and its counters by direction
    "system.disk.operations": ("{operation}", {"read": "read_ops", "write": "write_ops"}),
    "system.disk.io": ("By", {"read": "read_bytes", "write": "write_bytes"}),
    "system.disk.operation_time": ("s", {"read": "read_time_ms", "write": "write_time_ms"}),
    "system.disk.io_time": ("s", {"": "io_time_ms"}),
    "system.disk.weighted_io_time": ("s", {"": "weighted_io_time_ms"}),
    "system.disk.pending_operations": ("{operation}", {"": "in_flight"}),
}
HEADERS: Final = {
    "content-type": "application/x-protobuf",
    "content-encoding": "snappy",
    "x-prometheus-remote-write-version": "0.1.0",
}

Labelled = tuple[Mapping[str, str], Sequence[tuple[int, float]]]  # labels, and values by instant


def counters_at(at_ms: int, second: float = 0, **fields: float) -> Counters:
    """A disk that in each second does 100 reads of 4 KiB in 0.5 ms each and nothing else, `second` seconds after 0."""
    usual = dict.fromkeys(FIELDS, 0.0) | {
        "read_ops": 100 * second,
        "read_bytes": 409_600 * second,
        "read_time_ms": 50 * second,
        "io_time_ms": 40 * second,
        "weighted_io_time_ms": 50 * second,
    }
    return Counters(at_ms, **usual | fields)


def disk_series(
    *readings: Counters, instance: str = f"{HOST}:9100", device: str = DEVICE, names: Iterable[str] = SERIES
) -> list[Labelled]:
    """The series of a disk as Prometheus has them."""
    return [
        (
            {"__name__": name, "device": device, "instance": instance, "job": "node"},
            [(reading.at_ms, getattr(reading, SERIES[name][0]) / SERIES[name][1]) for reading in readings],
        )
        for name in names
    ]


def write_request(series: Iterable[Labelled]) -> bytes:
    """A WriteRequest, not packed."""
    request = WRITE_REQUEST()
    for labels, samples in series:
        written = request.timeseries.add()
        for name in sorted(labels):
            written.labels.add(name=name, value=labels[name])
        for at_ms, value in samples:
            written.samples.add(value=value, timestamp=at_ms)
    content: bytes = request.SerializeToString()
    return content


def packed(content: bytes) -> bytes:
    """A snappy block."""
    return bytes(cramjam.snappy.compress_raw(content))


def otlp_request(*readings: Counters, host: str = HOST, device: str = DEVICE, temporality: int = 2) -> Any:
    """An ExportMetricsServiceRequest of one disk, as the hostmetrics receiver fills it."""
    request: Any = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add()
    metrics.resource.attributes.add(key="host.name").value.string_value = host
    scope = metrics.scope_metrics.add()
    for name, (unit, directions) in POINTS.items():
        metric = scope.metrics.add(name=name, unit=unit)
        metric.sum.aggregation_temporality = temporality
        for direction, field in directions.items():
            for reading in readings:
                point = metric.sum.data_points.add(start_time_unix_nano=1, time_unix_nano=reading.at_ms * 1_000_000)
                point.attributes.add(key="device").value.string_value = device
                if direction:
                    point.attributes.add(key="direction").value.string_value = direction
                if unit == "s":
                    point.as_double = getattr(reading, field) / 1000
                else:
                    point.as_int = int(getattr(reading, field))
    return request


def _make_write_request() -> Any:
    """The message's class, described here in few words: remote-write 1.0 has these fields and two more."""
    text, content, floating, integer = 9, 11, 1, 3  # FieldDescriptorProto's types
    file = descriptor_pb2.FileDescriptorProto(name="write.proto", package="write", syntax="proto3")
    for name, fields in {
        "Label": (("name", 1, text, ""), ("value", 2, text, "")),
        "Sample": (("value", 1, floating, ""), ("timestamp", 2, integer, "")),
        "TimeSeries": (("labels", 1, content, ".write.Label"), ("samples", 2, content, ".write.Sample")),
        "WriteRequest": (("timeseries", 1, content, ".write.TimeSeries"),),
    }.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            added: Any = message.field.add(name=field, number=number, type_name=of or None)
            added.type, added.label = kind, 3 if of else 1  # repeated, or one
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("write.WriteRequest"))


WRITE_REQUEST: Final = _make_write_request()
