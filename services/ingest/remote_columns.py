"""Remote-write's series with many samples, read all at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.ingest.counters import FIELDS
from services.ingest.readings import Readings

SERIES_SAMPLES: Final = 8  # of a series; from here on a column costs less than as many rows
FULL: Final = b"\x12\x10\x09"  # a sample of 16 bytes that begins with its value: 8 bytes, a tag, a varint of 6
ZERO: Final = b"\x12\x07\x10"  # a sample of 7 bytes, all of them its instant: the value is 0
FULL_BYTES, ZERO_BYTES = 18, 9
INSTANT: Final = 0x10
FULL_OF_ZERO: Final = FULL + bytes(8) + bytes([INSTANT])  # in ZERO's place, before its instant
ALL_FIELDS: Final = list(range(len(FIELDS)))
# A sample's 18 bytes, little-endian: three that stand fast and a value's first five; the value; its last byte, a tag
# that stands fast, and an instant of six bytes, of which only the last has its highest bit clear.
SAMPLE: Final = np.dtype(
    {
        "names": ["head", "value", "tail"],
        "formats": ["<u8", "<f8", "<u8"],
        "offsets": [0, 3, 10],
        "itemsize": FULL_BYTES,
    }
)
HEAD_MASK, HEAD = np.uint64(0xFFFFFF), np.uint64(int.from_bytes(FULL, "little"))
TAIL_MASK, TAIL = np.uint64(0x8080_8080_8080_FF00), np.uint64(0x0080_8080_8080_1000)
INSTANT_SHIFT: Final = np.uint64(16)
SEVEN_BITS: Final = [(np.uint64(place), np.uint64(0x7F << 7 * place)) for place in range(6)]

Series = tuple[str, int, int]  # stream, place in FIELDS, scale


class _Column(NamedTuple):
    series: Series
    samples: bytes  # as they came
    same_size: bytes  # the same, 18 bytes each


@dataclass(slots=True)
class Columns:
    """Series of one request, until all of it was seen."""

    _by_count: dict[int, list[_Column]] = field(default_factory=dict)

    def add(self, series: Series, samples: bytes) -> int:
        """How many samples were taken for later; 0 where they have to be read one by one."""
        same_size = samples.replace(ZERO, FULL_OF_ZERO)
        count, rest = divmod(len(same_size), FULL_BYTES)
        if rest or count < SERIES_SAMPLES:
            return 0
        self._by_count.setdefault(count, []).append(_Column(series, samples, same_size))
        return count

    def move_to(self, readings: Readings) -> Iterator[tuple[Series, bytes]]:
        """Adds the devices whose series are all here and alike; the samples of others have to be read one by one."""
        for count, columns in self._by_count.items():
            read = np.frombuffer(b"".join([column.same_size for column in columns]), SAMPLE).reshape(-1, count)
            is_sound = _is_sound(read)
            instants = _instants(read)
            with np.errstate(invalid="ignore", over="ignore"):  # a stale marker is a signalling NaN; refused below
                values = read["value"] * np.array([[column.series[2]] for column in columns])
            for stream_id, places in _devices(columns).items():
                if (
                    [columns[place].series[1] for place in places] != ALL_FIELDS
                    or not is_sound[places].all()
                    or (instants[places] != instants[places[0]]).any()
                    or not readings.add_block(stream_id, instants[places[0]], values[places])
                ):
                    yield from ((columns[place].series, columns[place].samples) for place in places)


def _devices(columns: list[_Column]) -> dict[str, list[int]]:
    """Where each device's series stand, in the order of FIELDS."""
    devices: dict[str, list[int]] = {}
    for place in sorted(range(len(columns)), key=lambda place: columns[place].series[1]):
        devices.setdefault(columns[place].series[0], []).append(place)
    return devices


def _is_sound(read: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which series are of nothing but such samples: where ZERO stood within a value, no tag stands at its place."""
    is_sample: NDArray[np.bool_] = (read["head"] & HEAD_MASK == HEAD) & (read["tail"] & TAIL_MASK == TAIL)
    return np.asarray(is_sample.all(axis=1))


def _instants(read: NDArray[np.void]) -> NDArray[np.int64]:
    """The varints of the samples as epoch ms; where all series have the same, they are read once."""
    packed = read["tail"] >> INSTANT_SHIFT
    if (packed == packed[0]).all():
        packed = packed[:1]
    read_ms = np.zeros_like(packed)
    for shift, bits in SEVEN_BITS:
        read_ms |= packed >> shift & bits
    return np.broadcast_to(read_ms.astype(np.int64), read.shape)
