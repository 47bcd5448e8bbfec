"""What /proc/diskstats says, and the sample between two of its readings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from iops.telemetry import Sample

SECTOR_BYTES: Final = 512  # diskstats counts in these whatever the device's own block size
COLUMNS_MIN: Final = 14  # 18 since Linux 4.18 (discards), 20 since 5.5 (flushes); the first 14 never moved
OTHERS_COLUMNS: Final = (14, 18)  # counted from 0
AWAIT_LIMIT_MS: Final = 3_600_000.0  # the contract's largest; a request that hung for longer is said to be this


@dataclass(frozen=True, slots=True)
class Counters:
    """One device's line, in the kernel's order. All but `in_flight` only ever grow, until they are reset or wrap."""

    reads: int
    reads_merged: int
    sectors_read: int
    read_ms: int
    writes: int
    writes_merged: int
    sectors_written: int
    write_ms: int
    in_flight: int
    busy_ms: int
    weighted_ms: int
    others: int = 0  # discards and flushes completed: neither a read nor a write, but in flight like one


@dataclass(frozen=True, slots=True)
class Reading:
    """All devices at one instant; `monotonic_s` is for differences, `at` for people."""

    at: datetime
    monotonic_s: float
    devices: dict[str, Counters]


def parse_diskstats(text: str) -> dict[str, Counters]:
    """The counters of every device, by name.

    >>> parse_diskstats("254 0 vda 5 0 40 2 3 0 24 9 1 11 12")["vda"].writes
    3
    """
    lines = (line.split() for line in text.splitlines())
    return {
        columns[2]: Counters(*[*map(int, columns[3:COLUMNS_MIN]), _completed_others(columns)])
        for columns in lines
        if len(columns) >= COLUMNS_MIN  # Linux 2.6 gave partitions lines of 7
    }


def sample_between(before: Counters, after: Counters, *, dt_s: float, at: datetime) -> Sample | None:
    """The interval that ended at `at`; None where a counter went back (reset, wrapped) or a value is not credible."""
    delta = {field.name: getattr(after, field.name) - getattr(before, field.name) for field in fields(Counters)}
    del delta["in_flight"]
    if dt_s <= 0 or min(delta.values()) < 0:
        return None
    try:
        return Sample(
            at=at.replace(microsecond=at.microsecond // 1000 * 1000),
            interval_s=round(dt_s, 3),
            read_iops=round(delta["reads"] / dt_s, 2),
            write_iops=round(delta["writes"] / dt_s, 2),
            read_bytes_s=float(round(delta["sectors_read"] * SECTOR_BYTES / dt_s)),
            write_bytes_s=float(round(delta["sectors_written"] * SECTOR_BYTES / dt_s)),
            read_await_ms=_await_ms(delta["read_ms"], delta["reads"]),
            write_await_ms=_await_ms(delta["write_ms"], delta["writes"]),
            queue_depth=round(delta["weighted_ms"] / (1000 * dt_s), 3),
            utilization_ratio=round(min(1.0, delta["busy_ms"] / (1000 * dt_s)), 4),
            # While nothing but discards or flushes completes, those are what is in flight: no stall.
            in_flight=0 if delta["others"] and not delta["reads"] + delta["writes"] else after.in_flight,
        )
    except ValidationError:  # an old kernel's in_flight of -1, printed as 4294967295; an interval of hours
        return None


def _completed_others(columns: list[str]) -> int:
    """Discards are the 15th column, flushes the 19th; a kernel that counts neither has neither."""
    return sum(int(columns[position]) for position in OTHERS_COLUMNS if len(columns) > position)


def _await_ms(spent_ms: int, completed: int) -> float | None:
    return min(AWAIT_LIMIT_MS, round(spent_ms / completed, 3)) if completed else None
