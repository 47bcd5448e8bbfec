"""What chunks take: bytes a sample, write units, and dollars a month."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from iops import items
from iops.items import Item
from iops.telemetry import Window

# us-east-1 list, on demand, as of 2026; docs/performance.md quotes what comes of it.
USD_PER_MILLION_WRITE_UNITS: Final = 0.625
WRITE_UNIT_BYTES: Final = 1024
MONTH_S: Final = 730 * 3600


@dataclass(frozen=True, slots=True)
class Density:
    """How much the samples of some windows take as chunks."""

    samples: int
    chunk_bytes: int
    write_units: int

    @property
    def bytes_per_sample(self) -> float:
        return self.chunk_bytes / self.samples

    @property
    def write_units_per_million_samples(self) -> float:
        return self.write_units / self.samples * 1e6


def measure_density(windows: Sequence[Window], *, chunk_samples: int) -> Density:
    """Stores the windows in chunks of `chunk_samples` (what is left over at a window's end is left out), nowhere."""
    parts = [part for window in windows for part in _whole_parts(window, chunk_samples)]
    rows = [row for part in parts for row in items.chunk_items("host-1:nvme0n1", part)]
    return Density(
        samples=sum(map(len, parts)),
        chunk_bytes=sum(len(row["data"]["B"]) for row in rows),
        write_units=sum(write_units(row) for row in rows),
    )


def monthly_write_usd(*, streams: int, samples_per_s: float, write_units_per_million_samples: float) -> float:
    """What storing a fleet's chunks costs in a month of 730 h."""
    samples = streams * samples_per_s * MONTH_S
    return samples * write_units_per_million_samples / 1e6 * USD_PER_MILLION_WRITE_UNITS / 1e6


def write_units(item: Item) -> int:
    """What writing an item costs: one for each KB begun."""
    return -(-item_bytes(item) // WRITE_UNIT_BYTES)


def item_bytes(item: Item) -> int:
    """An item's size as DynamoDB counts it: names and values; a number takes a byte for two digits and one more.

    >>> item_bytes({"entity_id": {"S": "web-1:sda"}, "ttl": {"N": "1795401540"}, "data": {"B": b"12345"}})
    36
    """
    return sum(len(name.encode()) + sum(_value_sizes(value)) for name, value in item.items())


def _value_sizes(value: Item) -> Iterator[int]:
    for kind, content in value.items():
        match kind:
            case "N":
                yield -(-len(content) // 2) + 1
            case "B":
                yield len(content)
            case _:
                yield len(str(content).encode())


def _whole_parts(window: Window, size: int) -> Iterable[Window]:
    return (window.cut(start, start + size) for start in range(0, len(window) - size + 1, size))
