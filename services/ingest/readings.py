"""What a request says of devices: counters by stream and instant, and what of it was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.clock import to_epoch_ms
from iops.contract import SAMPLE_AGE_LIMIT_S, SAMPLE_AHEAD_LIMIT_S
from iops.errors import BodyTooLarge
from services.ingest.counters import COUNTER_LIMIT, FIELDS, Row

FIELD_COUNT: Final = len(FIELDS)
STREAMS_LIMIT: Final = 5_000  # of a request; a batch of the Collector, 8,192 points, is 750
ROWS_LIMIT: Final = 50_000  # of a request; 400 bytes each
NAMES_LIMIT: Final = 1_000  # of a request
OTHER: Final = "other"


class Drop(StrEnum):
    """Why a value of a disk was not taken."""

    NO_DEVICE = "no_device"
    NO_HOST = "no_host"
    NOT_TEXT = "not_text"  # a name that is not UTF-8
    NOT_A_DISK = "not_a_disk"  # a partition, a loop device, memory
    NO_DIRECTION = "no_direction"  # neither read nor write
    NOT_CUMULATIVE = "not_cumulative"
    UNKNOWN_UNIT = "unknown_unit"
    CLOCK = "clock"  # more than 7 days back or 5 minutes ahead
    NOT_A_COUNT = "not_a_count"  # negative, infinite, absent
    STALE = "stale"  # a marker that the series ended
    NOT_YOURS = "not_yours"  # a stream that the sender's key is not for


# What a sender did not do wrong, so nobody is told.
EXPECTED_DROPS: Final = frozenset({Drop.NOT_A_DISK, Drop.STALE})


Rows = dict[int, Row]  # by instant


@dataclass(frozen=True, slots=True)
class Block:
    """Complete rows of one stream as columns."""

    instants: NDArray[np.int64]
    columns: NDArray[np.float64]  # one for each of FIELDS

    def rows(self) -> Rows:
        """The same, instant by instant."""
        return dict(zip(self.instants.tolist(), self.columns.T.tolist(), strict=True))


@dataclass(slots=True)
class Readings:
    """Filled by a parser; of a value that comes twice either may stay."""

    earliest_ms: int
    latest_ms: int
    streams: dict[str, Rows] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)  # beside the rows of the same streams
    dropped: Counter[Drop] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)  # series or metrics that are none of ours, by name
    values: int = 0
    _rows: int = 0

    @classmethod
    def at(cls, now: datetime) -> Readings:
        """Empty; takes what the contract allows `now`."""
        now_ms = to_epoch_ms(now)
        return cls(now_ms - SAMPLE_AGE_LIMIT_S * 1000, now_ms + SAMPLE_AHEAD_LIMIT_S * 1000)

    def add(self, stream_id: str, index: int, at_ms: int, value: float) -> None:
        """The value of FIELDS[index] at an instant; one that cannot be is counted and left out."""
        if not self.earliest_ms <= at_ms <= self.latest_ms:
            self.dropped[Drop.CLOCK] += 1
        elif not 0 <= value < COUNTER_LIMIT:  # NaN fails it too
            self.dropped[Drop.STALE if value != value else Drop.NOT_A_COUNT] += 1
        else:
            self.values += 1
            rows = self.streams.get(stream_id)
            row = rows.get(at_ms) if rows is not None else None
            if row is None:
                row = self._new_row(stream_id, at_ms)
            row[index] = value

    def add_block(self, stream_id: str, instants: NDArray[np.int64], columns: NDArray[np.float64]) -> bool:
        """Every value of a stream at many instants; False, and nothing done, where one by one is the way to take them.

        `columns` are those of FIELDS, each with a value for each instant.
        """
        if stream_id in self.blocks or instants.min() < self.earliest_ms or instants.max() > self.latest_ms:
            return False
        if not (columns.min() >= 0 and columns.max() < COUNTER_LIMIT):  # with a NaN among them both are NaN
            return False
        self.blocks[stream_id] = Block(instants, columns)
        self._count_rows(len(instants))
        self.values += columns.size
        return True

    def ignore(self, name: str) -> None:
        """A series or a metric that is none of ours."""
        if name not in self.ignored and len(self.ignored) >= NAMES_LIMIT:
            name = OTHER
        self.ignored[name] += 1

    def leave_out(self, stream_ids: Iterable[str]) -> None:
        """Drops what was read of streams that the sender may not send."""
        for stream_id in stream_ids:
            left_out = sum(value is not None for row in self.rows_of(stream_id).values() for value in row)
            self.streams.pop(stream_id, None)
            self.blocks.pop(stream_id, None)
            self.dropped[Drop.NOT_YOURS] += left_out
            self.values -= left_out

    def stream_ids(self) -> list[str]:
        """Every stream that has a value here, in one order for all requests."""
        return sorted({*self.streams, *self.blocks})

    def first_ms(self, stream_id: str) -> int:
        """The earliest instant of a stream."""
        block = self.blocks.get(stream_id)
        instants: list[int] = [*self.streams.get(stream_id, ()), *(block.instants[:1].tolist() if block else ())]
        return min(instants)

    def rows_of(self, stream_id: str) -> Rows:
        """Everything that was read of a stream."""
        block, rows = self.blocks.get(stream_id), self.streams.get(stream_id, {})
        return joined(block.rows(), rows) if block else rows

    @property
    def rejected(self) -> int:
        """Values that a sender should be told of."""
        return sum(count for reason, count in self.dropped.items() if reason not in EXPECTED_DROPS)

    def _new_row(self, stream_id: str, at_ms: int) -> Row:
        row: Row = [None] * FIELD_COUNT
        self.streams.setdefault(stream_id, {})[at_ms] = row
        self._count_rows(1)
        return row

    def _count_rows(self, rows: int) -> None:
        self._rows += rows
        if self._rows > ROWS_LIMIT or max(len(self.streams), len(self.blocks)) > STREAMS_LIMIT:
            raise BodyTooLarge(f"the body has more than {STREAMS_LIMIT} devices or {ROWS_LIMIT} instants; send less")


def joined(first: Rows, second: Rows) -> Rows:
    """Both; where a value is in both, the second's."""
    both = dict(first)
    for at_ms, row in second.items():
        other = first.get(at_ms)
        both[at_ms] = row if other is None else [o if r is None else r for o, r in zip(other, row, strict=True)]
    return both
