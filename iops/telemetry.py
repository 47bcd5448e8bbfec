"""What a stream tells of itself: samples, and windows of them."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from iops import contract
from iops.clock import from_epoch_ms, to_epoch_ms


class Channel(NamedTuple):
    """One number of a sample: its unit, its largest credible value, and the resolution it is stored with."""

    name: str
    unit: str
    maximum: float
    steps_per_unit: int  # 1000 keeps three decimals


# In the order of a chunk's columns: append only.
CHANNELS: Final = (
    Channel("interval_s", "s", 3_600, 1000),
    Channel("read_iops", "IO/s", 1e8, 100),
    Channel("write_iops", "IO/s", 1e8, 100),
    Channel("read_bytes_s", "B/s", 1e12, 1),
    Channel("write_bytes_s", "B/s", 1e12, 1),
    Channel("read_await_ms", "ms", 3_600_000, 1000),
    Channel("write_await_ms", "ms", 3_600_000, 1000),
    Channel("queue_depth", "requests", 1e6, 1000),
    Channel("utilization_ratio", "ratio", 1, 10_000),
    Channel("in_flight", "requests", 1e6, 1),
    Channel("latency_p95_ms", "ms", 3_600_000, 1000),
    Channel("latency_p99_ms", "ms", 3_600_000, 1000),
    Channel("io_errors", "errors", 1e9, 1),
)
NAN: Final = math.nan

Rate = Annotated[float, Field(ge=0, le=1e8)]
BytesRate = Annotated[float, Field(ge=0, le=1e12)]
Milliseconds = Annotated[float, Field(ge=0, le=3_600_000)]


class Sample(BaseModel):
    """One interval of one stream. `at` is its end; rates are means over `interval_s`.

    An await is null when nothing completed in its direction (never 0); percentiles and errors are null unless they
    were truly measured, because an average cannot give a p99. Source: design.md section 4, /proc/diskstats.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    at: AwareDatetime
    interval_s: Annotated[float, Field(ge=0.001, le=3_600)]  # less would be stored as 0
    read_iops: Rate
    write_iops: Rate
    read_bytes_s: BytesRate
    write_bytes_s: BytesRate
    read_await_ms: Milliseconds | None = None
    write_await_ms: Milliseconds | None = None
    queue_depth: Annotated[float, Field(ge=0, le=1e6)]
    utilization_ratio: Annotated[float, Field(ge=0, le=1)]
    in_flight: Annotated[int, Field(ge=0, le=1_000_000)]
    latency_p95_ms: Milliseconds | None = None
    latency_p99_ms: Milliseconds | None = None
    io_errors: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None

    @model_validator(mode="after")
    def _await_needs_completions(self) -> Self:
        for direction in ("read", "write"):
            if getattr(self, f"{direction}_iops") == 0 and getattr(self, f"{direction}_await_ms") == 0:
                raise ValueError(f"{direction}_await_ms must be null, not 0, when {direction}_iops is 0")
        return self


def _refuse_control_characters(text: str) -> str:
    if any(not character.isprintable() for character in text):
        raise ValueError("must not contain control or other unprintable characters")
    return text


# No `#`, which separates the parts of a table key, and no `/`, which separates those of a path.
StreamId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+=-]*$")]
LabelName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
LabelValue = Annotated[str, Field(max_length=128), AfterValidator(_refuse_control_characters)]


class Batch(BaseModel):
    """Samples of one stream as an agent sends them, with what it knows of the stream."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    stream_id: StreamId
    peer_group: StreamId | None = None
    labels: Annotated[dict[LabelName, LabelValue], Field(max_length=16)] = {}
    provisioned_iops: Annotated[float, Field(ge=1, le=1e8)] | None = None
    # The first bad sample is enough: `[{},{},{}...` of 8 MiB has 20 million problems.
    samples: Annotated[tuple[Sample, ...], Field(min_length=1, max_length=contract.BATCH_SAMPLES_LIMIT, fail_fast=True)]

    @property
    def group(self) -> str:
        """The peer group: the one given, else the host's part of the stream id."""
        return self.peer_group or default_peer_group(self.stream_id)


def default_peer_group(stream_id: str) -> str:
    """The disks of one host are peers.

    >>> default_peer_group("web-1:nvme0n1"), default_peer_group("vol-0abc")
    ('web-1', 'vol-0abc')
    """
    return stream_id.rpartition(":")[0] or stream_id


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive samples of one stream as columns, oldest first, one sample per instant; NaN where null.

    Units and ranges are those of `CHANNELS`. Treat the columns as read-only.
    """

    at_ms: array[int]
    columns: dict[str, array[float]]

    def __len__(self) -> int:
        return len(self.at_ms)

    def __getitem__(self, channel: str) -> array[float]:
        return self.columns[channel]

    def since(self, at_ms: int) -> Window:
        """The part that begins at `at_ms`."""
        return self.cut(self._position(at_ms), len(self))

    def until(self, at_ms: int) -> Window:
        """The part that ends before `at_ms`."""
        return self.cut(0, self._position(at_ms))

    def cut(self, start: int, stop: int) -> Window:
        """Samples `start` to `stop`, as a slice means it."""
        return Window(self.at_ms[start:stop], {name: column[start:stop] for name, column in self.columns.items()})

    def take(self, indices: Sequence[int]) -> Window:
        """The samples at `indices`, which grow."""
        columns = {name: array("d", (column[i] for i in indices)) for name, column in self.columns.items()}
        return Window(array("q", (self.at_ms[i] for i in indices)), columns)

    def parts(self, span_ms: int) -> Iterator[Window]:
        """The window cut at the multiples of `span_ms` since 1970; parts without a sample are left out."""
        if len(self) and self.at_ms[0] // span_ms == self.at_ms[-1] // span_ms:
            yield self
            return
        start = 0
        for index in range(1, len(self) + 1):
            if index == len(self) or self.at_ms[index] // span_ms != self.at_ms[start] // span_ms:
                yield self.cut(start, index)
                start = index

    def _position(self, at_ms: int) -> int:
        return bisect_left(self.at_ms, at_ms)


def empty_window() -> Window:
    """A window of no samples."""
    return Window(array("q"), {channel.name: array("d") for channel in CHANNELS})


def window_from_samples(samples: Iterable[Sample]) -> Window:
    """Samples in any order as a window; of two at one instant the later in order stays."""
    rows = {to_epoch_ms(sample.at): sample for sample in samples}
    instants = sorted(rows)
    columns = {
        channel.name: array("d", (_nan_if_none(getattr(rows[at], channel.name)) for at in instants))
        for channel in CHANNELS
    }
    return Window(array("q", instants), columns)


def merge_windows(windows: Sequence[Window]) -> Window:
    """One window of all, sorted, one sample per instant (of two, the one of the later window)."""
    windows = [window for window in windows if len(window)]
    if not windows:
        return empty_window()
    if all(before.at_ms[-1] < after.at_ms[0] for before, after in pairwise(windows)):
        return _concatenate(windows)
    joined = _concatenate(windows)
    position = {at: index for index, at in enumerate(joined.at_ms)}  # a later one replaces an earlier one
    return joined.take([position[at] for at in sorted(position)])


def row_to_dict(window: Window, index: int) -> dict[str, str | float | int | None]:
    """One sample of a window as JSON shows it: null instead of NaN, counts as integers."""
    row: dict[str, str | float | int | None] = {"at": instant_to_text(window.at_ms[index])}
    for channel in CHANNELS:
        value = window.columns[channel.name][index]
        if value != value:
            row[channel.name] = None
        else:
            row[channel.name] = int(value) if channel.name in ("in_flight", "io_errors") else value
    for direction in ("read", "write"):
        if row[f"{direction}_iops"] == 0:  # or so few that it rounds to 0
            row[f"{direction}_await_ms"] = None
    return row


def instant_to_text(at_ms: int) -> str:
    """An instant as people and JSON read it.

    >>> instant_to_text(1795401540000)
    '2026-11-23T02:39:00.000Z'
    """
    return from_epoch_ms(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _concatenate(windows: Sequence[Window]) -> Window:
    joined = empty_window()
    for window in windows:
        joined.at_ms.extend(window.at_ms)
        for name, column in joined.columns.items():
            column.extend(window.columns[name])
    return joined


def _nan_if_none(value: float | None) -> float:
    return NAN if value is None else value
