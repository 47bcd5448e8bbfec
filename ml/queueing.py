"""How long requests wait, and how many get through: the formulas, of one disk's interval or of a host's whole week.

Each takes numbers or arrays. Units: requests a second (`_s`), milliseconds (`_ms`), bytes a second (`_bytes_s`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
N = TypeVar("N", float, Array)

LEAST_SPARE: Final = 1e-9  # of a full queue: its wait is finite, and beyond what any host waits for


@dataclass(slots=True)
class Load(Generic[N]):
    """What is asked of a disk, before anything has to wait."""

    reads_s: N
    writes_s: N
    read_bytes: N
    write_bytes: N
    read_ms: N  # a lane is busy with one
    write_ms: N

    @property
    def arrivals_s(self) -> N:
        return self.reads_s + self.writes_s

    @property
    def bytes_s(self) -> N:
        return self.reads_s * self.read_bytes + self.writes_s * self.write_bytes

    @property
    def busy_lanes(self) -> N:
        return (self.reads_s * self.read_ms + self.writes_s * self.write_ms) / 1000

    @property
    def mean_ms(self) -> N:
        return 1000 * self.busy_lanes / self.arrivals_s


@dataclass(slots=True)
class Limits(Generic[N]):
    """What a disk can take: `lanes` requests at a time, the host keeping at most `concurrency` open."""

    lanes: float
    concurrency: float
    variation: float  # coefficient of variation of a service time
    throughput_bytes_s: N
    cap_iops: N  # of a throttle; infinite where there is none


@dataclass(slots=True)
class Flow(Generic[N]):
    """What gets through, and how long it waits on average."""

    let_through_ratio: N
    wait_ms: N


def service_ms(access_ms: N, size_bytes: N, lane_bytes_s: float) -> N:
    """How long a lane is busy with one request.

    >>> service_ms(0.5, 4096.0, 4096000.0)
    1.5
    """
    return access_ms + 1000 * size_bytes / lane_bytes_s


def wait_ms(arrivals_s: N, service_ms: N, *, lanes: float, variation: float) -> N:
    """The mean wait before service in an M/G/c queue, by Sakasegawa's approximation; out of all bounds at full load.

    >>> wait_ms(100.0, 5.0, lanes=1, variation=1.0)
    5.0
    >>> wait_ms(200.0, 5.0, lanes=1, variation=1.0) > 1e9
    True
    """
    load = arrivals_s * service_ms / 1000 / lanes
    crowding: N = load ** (math.sqrt(2 * (lanes + 1)) - 1)
    return (1 + variation * variation) / 2 * crowding / (lanes * most(1 - load, LEAST_SPARE)) * service_ms


def flow(load: Load[N], limits: Limits[N]) -> Flow[N]:
    """What lanes, throughput and throttle let through; the wait ends where the host keeps no more requests open.

    >>> half = Load(50.0, 0.0, 0.0, 0.0, 10.0, 0.0)
    >>> flow(half, Limits(1, 32, 1.0, math.inf, math.inf))
    Flow(let_through_ratio=1.0, wait_ms=10.0)
    >>> flow(half, Limits(1, 4, 1.0, math.inf, 25.0))  # 4 requests are open, 25 a second come back: 160 ms each
    Flow(let_through_ratio=0.5, wait_ms=150.0)
    """
    arrivals_s, mean_ms = load.arrivals_s, load.mean_ms
    transfer_ms = 1000 * load.bytes_s / arrivals_s / limits.throughput_bytes_s
    through_s = least(1000 * min(limits.lanes, limits.concurrency) / mean_ms, limits.cap_iops)
    through_s = least(through_s, limits.throughput_bytes_s * arrivals_s / most(load.bytes_s, LEAST_SPARE))
    let_through = least(through_s / arrivals_s, 1.0)
    waiting_ms = wait_ms(arrivals_s, mean_ms, lanes=limits.lanes, variation=limits.variation)
    waiting_ms = waiting_ms + wait_ms(arrivals_s, transfer_ms, lanes=1, variation=1)  # the bus, or its throttle
    # A throttle of requests serves one after the other, each as long as the last.
    waiting_ms = waiting_ms + wait_ms(arrivals_s, 1000 / limits.cap_iops, lanes=1, variation=0)
    longest_ms = 1000 * limits.concurrency / (arrivals_s * let_through)
    return Flow(let_through, most(least(waiting_ms, longest_ms - mean_ms), 0.0))


def with_sequential_reads(
    load: Load[N], *, share: N, big_ms: N, big_bytes: float, lanes: float, throughput_bytes_s: float
) -> Load[N]:
    """A backup takes what the others leave, up to `share` of the lanes or of the throughput."""
    spare_lanes = most(share * lanes - load.busy_lanes, 0.0)
    big_s = least(1000 * spare_lanes / big_ms, share * throughput_bytes_s / big_bytes)
    reads_s = load.reads_s + big_s
    return Load(
        reads_s=reads_s,
        writes_s=load.writes_s,
        read_bytes=(load.reads_s * load.read_bytes + big_s * big_bytes) / reads_s,
        write_bytes=load.write_bytes,
        read_ms=(load.reads_s * load.read_ms + big_s * big_ms) / reads_s,
        write_ms=load.write_ms,
    )


def credits_after(balance: N, *, earned: N, spent: N, bucket: float) -> N:
    """Burst credits at the end of an interval; what does not fit into the bucket is lost.

    >>> credits_after(50.0, earned=10.0, spent=25.0, bucket=100.0)
    35.0
    >>> credits_after(95.0, earned=10.0, spent=0.0, bucket=100.0)
    100.0
    """
    return least(most(balance + earned - spent, 0.0), bucket)


def allowed_s(balance: N, *, earned_s: N, burst_s: float, interval_s: float) -> N:
    """What a volume with burst credits lets through: what it earns, and its savings, up to the burst.

    >>> allowed_s(0.0, earned_s=300.0, burst_s=3000.0, interval_s=60.0)
    300.0
    >>> allowed_s(6000.0, earned_s=300.0, burst_s=3000.0, interval_s=60.0)
    400.0
    """
    return least(earned_s + balance / interval_s, burst_s)


def open_requests(completions_s: N, await_ms: N) -> N:
    """Little's law: how many requests are open on average.

    >>> open_requests(200.0, 5.0)
    1.0
    """
    return completions_s * await_ms / 1000


def busy_ratio(open_requests: N) -> N:
    """The share of the time in which at least one request is open, if they come independently.

    >>> round(busy_ratio(1.0), 4)
    0.6321
    """
    idle: N = math.e ** (-open_requests)
    return 1 - idle


@overload
def least(first: float, second: float) -> float: ...
@overload
def least(first: Array, second: Array | float) -> Array: ...
def least(first: Any, second: Any) -> Any:
    """The smaller of two; numbers stay numbers, because the wrapper of one costs more than the formula."""
    return np.minimum(first, second) if isinstance(first, np.ndarray) else min(first, second)


@overload
def most(first: float, second: float) -> float: ...
@overload
def most(first: Array, second: Array | float) -> Array: ...
def most(first: Any, second: Any) -> Any:
    """The larger of two."""
    return np.maximum(first, second) if isinstance(first, np.ndarray) else max(first, second)
