"""Prometheus remote-write 1.0 bodies of what node_exporter tells of the disks of simulated hosts.

Written by hand from the protocol's description, so that no receiver is tested with its own code: a WriteRequest is a
list of time series (field 1), each with labels (1: name 1, value 2) and samples (2: value 1, epoch ms 2), as snappy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import cramjam

from bench.bodies import DISKS_PER_HOST, fleet_of, samples_of
from bench.load import Request, post
from iops.telemetry import Sample
from ml.simulate import Stream

# Of node_exporter's series those that a sample of ours is made of, so that no receiver is praised for what it drops.
COUNTERS: Final[dict[str, Callable[[Sample], float]]] = {
    "node_disk_read_bytes_total": lambda sample: sample.read_bytes_s * sample.interval_s,
    "node_disk_read_time_seconds_total": lambda sample: (
        sample.read_iops * sample.interval_s * (sample.read_await_ms or 0) / 1000
    ),
    "node_disk_reads_completed_total": lambda sample: sample.read_iops * sample.interval_s,
    "node_disk_write_time_seconds_total": lambda sample: (
        sample.write_iops * sample.interval_s * (sample.write_await_ms or 0) / 1000
    ),
    "node_disk_writes_completed_total": lambda sample: sample.write_iops * sample.interval_s,
    "node_disk_written_bytes_total": lambda sample: sample.write_bytes_s * sample.interval_s,
    "node_disk_io_time_seconds_total": lambda sample: sample.utilization_ratio * sample.interval_s,
    "node_disk_io_time_weighted_seconds_total": lambda sample: sample.queue_depth * sample.interval_s,
}
GAUGE: Final = "node_disk_io_now"
WHOLE: Final = ("reads_completed_total", "writes_completed_total", "bytes_total")  # counters without a fraction
CYCLE: Final = 60  # samples of a disk that are told over and over; the counters go on
SERIES_PER_DISK: Final = len(COUNTERS) + 1
HEADERS: Final = (
    "Content-Type: application/x-protobuf",
    "Content-Encoding: snappy",
    "X-Prometheus-Remote-Write-Version: 0.1.0",
)
DOUBLE: Final = struct.Struct("<d")


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, encoded, and how its value goes on; a gauge repeats, a counter grows by `growth`."""

    labels: bytes
    cycle: Sequence[float]
    growth: float

    def value(self, index: int) -> float:
        """Of the sample `index`, from 0 on."""
        return round(index // CYCLE * self.growth + self.cycle[index % CYCLE], 3)


def requests(*, disks: int, samples: int, rounds: int, begin_ms: int, step_ms: int) -> Iterator[Request]:
    """Round after round a request of each host: `samples` values of each series of its disks. The tag: how many."""
    hosts = [
        [series for stream in host for series in series_of(stream)] for host in _hosts(disks_of(disks, samples=samples))
    ]
    for number in range(rounds):
        first = number * samples
        instants = [_varint(begin_ms + index * step_ms) for index in range(first, first + samples)]
        for host in hosts:
            body = cramjam.snappy.compress_raw(write_request(host, first, instants))
            yield Request(post("/api/v1/write", bytes(body), *HEADERS), len(host) * samples)


def disks_of(count: int, *, samples: int) -> Sequence[Stream]:
    """The disks of the requests of so many samples: others than those of other requests, whose clocks would clash."""
    return fleet_of(count, name=f"peer-{samples}")


def write_request(host: Iterable[Series], first: int, instants: Sequence[bytes]) -> bytes:
    """A WriteRequest of samples `first` and on of each series, at instants that are varints."""
    return b"".join(_field(0x0A, series.labels + _samples(series, first, instants)) for series in host)


def series_of(stream: Stream) -> list[Series]:
    """What node_exporter would tell of a disk."""
    host, _, device = stream.stream_id.rpartition(":")
    told = samples_of(stream, CYCLE)
    gauge = Series(_labels(GAUGE, host, device), [float(sample.in_flight) for sample in told], 0.0)
    return [gauge, *(_counter(name, host, device, map(grow, told)) for name, grow in COUNTERS.items())]


def _counter(name: str, host: str, device: str, steps: Iterable[float]) -> Series:
    digits = 0 if name.endswith(WHOLE) else 3
    grown = list(accumulate(round(step, digits) for step in steps))
    return Series(_labels(name, host, device), [0.0, *grown[:-1]], grown[-1])


def _hosts(streams: Sequence[Stream]) -> Iterator[Sequence[Stream]]:
    return (streams[start : start + DISKS_PER_HOST] for start in range(0, len(streams), DISKS_PER_HOST))


def _labels(name: str, host: str, device: str) -> bytes:
    """Sorted by name, as the protocol asks."""
    labels = {"__name__": name, "device": device, "instance": f"{host}:9100", "job": "node"}
    return b"".join(
        _field(0x0A, _field(0x0A, key.encode()) + _field(0x12, text.encode())) for key, text in labels.items()
    )


def _samples(series: Series, first: int, instants: Sequence[bytes]) -> bytes:
    parts = []
    for index, instant in enumerate(instants, first):
        value = series.value(index)
        told = b"\x09" + DOUBLE.pack(value) if value else b""  # protobuf leaves a 0 out
        parts.append(_field(0x12, told + b"\x10" + instant))
    return b"".join(parts)


def _field(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
