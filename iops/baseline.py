"""What is usual for a stream: what its last 24 h looked like, minute by minute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from iops.telemetry import Window

BASELINE_S: Final = 24 * 3600
MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Summary:
    """Some time of one stream, both directions together."""

    ends_ms: int  # the last sample's instant
    span_s: float  # measured time, gaps left out
    samples: int
    completions: float  # requests
    iops: float
    bytes_s: float
    await_ms: float | None  # mean over requests; None where nothing completed
    request_bytes: float | None  # mean size; None where nothing completed
    queue_depth: float
    utilization_ratio: float


@dataclass(frozen=True, slots=True)
class Usual:
    """Quantiles of 1-minute means."""

    p10: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """A stream's last 24 h, or as much as there is, as quantiles of its minutes."""

    made_at_ms: int
    from_ms: int  # the first minute it knows
    minutes: int
    await_ms: Usual | None  # None where nothing ever completed
    request_bytes: Usual | None
    iops: Usual
    bytes_s: Usual
    queue_depth: Usual
    utilization_ratio: Usual


def summarize(window: Window) -> Summary | None:
    """A window as one row; None where it is empty. Means are weighted by time, await and size by requests."""
    if not len(window):
        return None
    span_s = completions = size_bytes = waited_ms = queue = busy = timed = 0.0
    for interval_s, reads, writes, read_bytes, write_bytes, read_await, write_await, depth, utilization in zip(
        *(window[name] for name in _SUMMARIZED), strict=True
    ):
        span_s += interval_s
        completions += (reads + writes) * interval_s
        size_bytes += (read_bytes + write_bytes) * interval_s
        queue += depth * interval_s
        busy += utilization * interval_s
        if read_await == read_await:  # not null
            waited_ms += read_await * reads * interval_s
            timed += reads * interval_s
        if write_await == write_await:
            waited_ms += write_await * writes * interval_s
            timed += writes * interval_s
    return Summary(
        ends_ms=window.at_ms[-1],
        span_s=span_s,
        samples=len(window),
        completions=completions,
        iops=completions / span_s,
        bytes_s=size_bytes / span_s,
        await_ms=waited_ms / timed if timed else None,
        request_bytes=size_bytes / completions if completions else None,
        queue_depth=queue / span_s,
        utilization_ratio=busy / span_s,
    )


def minutes_of(window: Window) -> list[Summary]:
    """The window as one row a minute, minutes of the clock, oldest first; minutes without a sample are left out."""
    rows = (summarize(part) for part in window.parts(MINUTE_MS))
    return [row for row in rows if row is not None]


def make_baseline(window: Window, *, made_at_ms: int) -> Baseline | None:
    """What is usual in `window`; None where it is empty."""
    rows = minutes_of(window)
    if not rows:
        return None
    return Baseline(
        made_at_ms=made_at_ms,
        from_ms=window.at_ms[0],
        minutes=len(rows),
        await_ms=_usual(row.await_ms for row in rows),
        request_bytes=_usual(row.request_bytes for row in rows),
        iops=_usual_of_some(row.iops for row in rows),
        bytes_s=_usual_of_some(row.bytes_s for row in rows),
        queue_depth=_usual_of_some(row.queue_depth for row in rows),
        utilization_ratio=_usual_of_some(row.utilization_ratio for row in rows),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0-1) of the ordered values lie, interpolated.

    >>> quantile([1.0, 2.0, 3.0, 4.0, 5.0], 0.5), quantile([0.0, 10.0], 0.9)
    (3.0, 9.0)
    """
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


_SUMMARIZED: Final = (
    "interval_s",
    "read_iops",
    "write_iops",
    "read_bytes_s",
    "write_bytes_s",
    "read_await_ms",
    "write_await_ms",
    "queue_depth",
    "utilization_ratio",
)


def _usual(values: Iterable[float | None]) -> Usual | None:
    known = [value for value in values if value is not None]
    return _usual_of_some(known) if known else None


def _usual_of_some(values: Iterable[float]) -> Usual:
    ordered = sorted(values)
    return Usual(*(quantile(ordered, share) for share in (0.1, 0.5, 0.9, 0.99)))
