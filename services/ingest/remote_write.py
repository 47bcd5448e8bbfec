"""Prometheus remote-write 1.0: node_exporter's disk series as readings.

Every request repeats the same labels, so a series is known by the bytes of its labels: only the first sight of one is
parsed. Prometheus writes a sample as 18 bytes (9 where the value is 0); other layouts are read too, only slower.
"""

from __future__ import annotations

import struct
from typing import Final

import cramjam

from iops.contract import UNPACKED_LIMIT_BYTES
from iops.errors import BodyTooLarge, MalformedBody
from services.ingest.counters import FIELDS
from services.ingest.device import instance_to_host, is_whole_disk, stream_of
from services.ingest.readings import Drop, Readings
from services.ingest.remote_columns import FULL, FULL_BYTES, INSTANT, ZERO, ZERO_BYTES, Columns, Series
from services.ingest.wire import Walker, read_varint, to_signed

PREFIX: Final = b"node_disk_"
METRICS: Final = {  # name without its prefix: place in a row, and what makes its unit ours
    name: (FIELDS.index(counter), scale)
    for name, counter, scale in (
        ("reads_completed_total", "read_ops", 1),
        ("writes_completed_total", "write_ops", 1),
        ("read_bytes_total", "read_bytes", 1),
        ("written_bytes_total", "write_bytes", 1),
        ("read_time_seconds_total", "read_time_ms", 1000),
        ("write_time_seconds_total", "write_time_ms", 1000),
        ("io_time_seconds_total", "io_time_ms", 1000),
        ("io_time_weighted_seconds_total", "weighted_io_time_ms", 1000),
        ("io_now", "in_flight", 1),
    )
}
HOST_LABELS: Final = ("host", "nodename", "hostname")  # before `instance`, which is an address

PACKING_LIMIT: Final = 32  # snappy's copies make at most 64 bytes of 3
LABELS_LIMIT: Final = 200  # of a series; Prometheus's own are about ten
VALUES_LIMIT: Final = 200_000  # of a request; Prometheus sends 2,000
SERIES_LIMIT: Final = 20_000  # known by their labels' bytes, 300 bytes each, at most 1 KB; beyond, all are met again
KNOWN_BYTES: Final = 1024  # longer labels are parsed each time, so that what is known stays small

SERIES, LABEL, SAMPLE = 0x0A, 0x0A, 0x12
NAME, TEXT = 0x0A, 0x12
VALUE: Final = 0x09
DOUBLE: Final = struct.Struct("<d")
FULL_SAMPLE: Final = struct.Struct("<3xdx6s")
NAME_FIRST: Final = b"\x0a\x08__name__\x12"  # from the third byte on, as labels are sorted
NAME_AT: Final = 2 + len(NAME_FIRST) + 1


def unpack_snappy(body: bytes) -> bytes:
    """The content of a snappy block. Raises MalformedBody or BodyTooLarge, before it unpacks where it can."""
    size, _ = read_varint(body, 0) if body else (0, 0)
    if size > UNPACKED_LIMIT_BYTES:
        raise BodyTooLarge(f"the body unpacks to more than {UNPACKED_LIMIT_BYTES} bytes; send smaller batches")
    if not body or size > PACKING_LIMIT * len(body):
        raise MalformedBody("the body is not a snappy block: its length cannot be")
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise MalformedBody("the body is not a snappy block") from error


class RemoteWrite:
    """The parser, with the series it has met."""

    def __init__(self) -> None:
        self._series: dict[bytes, Series | Drop | str] = {}

    def parse(self, data: bytes, readings: Readings) -> None:
        """Adds what a WriteRequest says. Raises MalformedBody or BodyTooLarge, and then nothing of it may be used."""
        request = _Request(self._series, readings)
        at, end = 0, len(data)
        while at < end:
            # A series' tag, and its length in one or two bytes: anything else takes the long way.
            if data[at] == SERIES and at + 2 < end and (data[at + 1] < 0x80 or data[at + 2] < 0x80):
                size, start = data[at + 1], at + 2
                if size >= 0x80:
                    size, start = size - 0x80 + (data[at + 2] << 7), at + 3
                at = start + size
                if at > end:
                    raise MalformedBody("the protobuf ends early")
                request.add(data[start:at])
            else:
                tag, value, at = request.walker.read(data, at)
                if tag == SERIES and isinstance(value, bytes):
                    request.add(value)
        request.finish()


class _Request:
    """One request as it is read."""

    def __init__(self, known: dict[bytes, Series | Drop | str], readings: Readings) -> None:
        self.walker = Walker()
        self._known = known
        self._readings = readings
        self._instants: dict[bytes, int] = {}  # of one request there are few
        self._columns = Columns()
        self._values_left = self._series_left = VALUES_LIMIT

    def add(self, data: bytes) -> None:
        """One series: its labels, then its samples."""
        self._series_left -= 1
        if self._series_left < 0:
            raise BodyTooLarge(f"the body has more than {VALUES_LIMIT} series; send smaller batches")
        split = data.find(FULL)
        series = self._known.get(data[:split]) if split > 0 else None
        if series is None:
            split = data.find(ZERO)
            series = self._known.get(data[:split]) if split > 0 else None
        if series is None:
            series, split = self._meet(data)
        if isinstance(series, Drop):
            self._readings.dropped[series] += 1
        elif isinstance(series, str):
            self._readings.ignore(series)
        else:
            self._add_samples(series, data, split)

    def _add_samples(self, series: Series, data: bytes, at: int) -> None:
        stream_id, index, scale = series
        if len(data) - at == FULL_BYTES and data.startswith(FULL, at):  # one sample, as Prometheus sends them
            value, instant = FULL_SAMPLE.unpack_from(data, at)
            if data[at + 11] == INSTANT and (at_ms := self._instants.get(instant)):
                self._readings.add(stream_id, index, at_ms, value * scale)
                return
        samples = data[at:]
        count = self._columns.add(series, samples)
        if count:
            self._count_values(count)
        else:
            self._add_each(series, samples)

    def finish(self) -> None:
        """Adds what waited for the request's end."""
        for series, samples in self._columns.move_to(self._readings):
            self._add_each(series, samples)

    def _add_each(self, series: Series, samples: bytes) -> None:
        stream_id, index, scale = series
        instants, values = self._read_each(samples)
        self._count_values(len(values))
        for at_ms, value in zip(instants, values, strict=True):
            self._readings.add(stream_id, index, at_ms, value * scale)

    def _count_values(self, count: int) -> None:
        self._values_left -= count
        if self._values_left < 0:
            raise BodyTooLarge(f"the body has more than {VALUES_LIMIT} values; send smaller batches")

    def _read_each(self, data: bytes) -> tuple[list[int], list[float]]:
        """Samples of any layout, one by one."""
        instants, values, at = [], [], 0
        while at < len(data):
            if data.startswith(FULL, at) and at + FULL_BYTES <= len(data) and data[at + 11] == INSTANT:
                value, instant = FULL_SAMPLE.unpack_from(data, at)
                size = FULL_BYTES
            else:  # where it is no ZERO either, the instant is none
                value, instant, size = 0.0, data[at + 3 : at + ZERO_BYTES], ZERO_BYTES
                instant = instant if data.startswith(ZERO, at) else b""
            at_ms = self._instants.get(instant) or self._read_instant(instant)
            if at_ms:
                at += size
            else:
                tag, content, at = self.walker.read(data, at)
                if tag != SAMPLE or not isinstance(content, bytes):
                    continue
                at_ms, value = self._read_sample(content)
            instants.append(at_ms)
            values.append(value)
        return instants, values

    def _read_instant(self, instant: bytes) -> int:
        """The number of a varint of exactly 6 bytes, as the instants of this century are; 0 where it is another."""
        if len(instant) != 6 or instant[5] >= 0x80 or min(instant[:5]) < 0x80:
            return 0
        self._instants[instant], _ = read_varint(instant, 0)
        return self._instants[instant]

    def _read_sample(self, content: bytes) -> tuple[int, float]:
        at_ms, value = 0, 0.0
        for tag, found in self.walker.fields(content):
            if tag == INSTANT and isinstance(found, int):
                at_ms = to_signed(found)
            elif tag == VALUE and isinstance(found, bytes):
                (value,) = DOUBLE.unpack(found)
        return at_ms, value

    def _meet(self, data: bytes) -> tuple[Series | Drop | str, int]:
        """What a series is that is not known yet, and where its labels end."""
        if PREFIX not in data and data.startswith(NAME_FIRST, 2) and len(data) > NAME_AT:
            return data[NAME_AT : NAME_AT + data[NAME_AT - 1]].decode(errors="replace"), len(data)
        labels: dict[bytes, bytes] = {}
        at = count = 0
        while at < len(data) and data[at] == LABEL:
            _, label, at = self.walker.read(data, at)
            labels |= self._read_label(label)
            count += 1
        if not 1 <= count <= LABELS_LIMIT:
            raise MalformedBody(f"a series has {count} labels")
        series = _series_of(labels)
        if len(self._known) >= SERIES_LIMIT:
            self._known.clear()
        if at <= KNOWN_BYTES:
            self._known[data[:at]] = series
        return series, at

    def _read_label(self, data: int | bytes) -> dict[bytes, bytes]:
        parts = {NAME: b"", TEXT: b""}
        for tag, value in self.walker.fields(data if isinstance(data, bytes) else b""):
            if tag in parts and isinstance(value, bytes):
                parts[tag] = value
        return {parts[NAME]: parts[TEXT]}


def _series_of(labels: dict[bytes, bytes]) -> Series | Drop | str:
    """The stream and the counter that a series is; else why it is none, or its name."""
    try:
        text = {name.decode(): value.decode() for name, value in labels.items()}
    except UnicodeDecodeError:
        return Drop.NOT_TEXT
    name = text.get("__name__", "")
    metric = METRICS.get(name.removeprefix(PREFIX.decode())) if name.startswith(PREFIX.decode()) else None
    if metric is None:
        return name
    device = text.get("device", "")
    host = next((text[label] for label in HOST_LABELS if text.get(label)), "") or instance_to_host(
        text.get("instance", "")
    )
    if not device:
        return Drop.NO_DEVICE
    if not host:
        return Drop.NO_HOST
    return (stream_of(host, device), *metric) if is_whole_disk(device) else Drop.NOT_A_DISK
