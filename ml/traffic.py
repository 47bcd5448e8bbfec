"""What a simulated host is like, and what its applications ask of its disks over days, minute by minute."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, overload

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ml.device import GP2, GP3, HDD, KIB, NVME, SAN, ST1, DeviceClass
from ml.hosts import DAY

Array = NDArray[np.float64]

CLASSES: Final = (NVME, GP3, GP2, ST1, HDD, SAN)
CLASS_SHARES: Final = (0.30, 0.25, 0.10, 0.08, 0.14, 0.13)
NATURAL_LOAD: Final = 0.75  # of the capacity, that demand without a fault never exceeds
LEAST_IOPS: Final = 1e-4
QUIET_SHARE: Final = 0.08  # of the disks have next to nothing to do
QUIET_IOPS: Final = (0.001, 0.5)
START: Final = 20_000 * DAY  # the first minute of every host: a midnight


@dataclass(frozen=True, slots=True)
class Character:
    """One host: disks of one class that share most of their rhythm. Arrays are [disk]."""

    device: DeviceClass
    disks: int
    service_factor: Array  # no two disks are quite alike
    usual_iops: Array
    limit_iops: Array
    is_quiet: NDArray[np.bool_]
    read_ratio: Array
    read_bytes: Array
    write_bytes: Array
    tail_ratio: Array  # p99 over the mean
    open_limit: float  # requests that the host keeps open at a disk
    cost_noise: float  # of the logarithm, of what a request costs from minute to minute
    demand_noise: float
    samples_a_minute: int
    has_p99: bool
    counts_errors: bool
    knows_trouble: bool  # whether it reports errors and stalls at all
    has_only_await: bool  # and bytes, as some exporters do
    loses_minutes: bool


def character_of(rng: Generator) -> Character:
    """Draws a host."""
    device = CLASSES[rng.choice(len(CLASSES), p=CLASS_SHARES)]
    disks = int(rng.integers(4, 25))
    is_quiet = rng.random(disks) < QUIET_SHARE
    share_sd = 0.03 if rng.random() < 0.4 else rng.uniform(0.1, 0.5)  # striped, or each with a job of its own
    usual = device.usual_iops * rng.lognormal(0, 0.5) * rng.lognormal(0, share_sd, disks)
    read_bytes, write_bytes = (rng.choice(sizes, disks if rng.random() < 0.3 else 1) * KIB for sizes in SIZES)
    read_bytes, write_bytes = (np.broadcast_to(size, disks).astype(float) for size in (read_bytes, write_bytes))
    mean_ms = np.maximum(
        device.read_ms + 1000 * read_bytes / device.lane_bytes_s,
        device.write_ms + 1000 * write_bytes / device.lane_bytes_s,
    )
    pairs = zip(mean_ms.tolist(), np.maximum(read_bytes, write_bytes).tolist(), strict=True)
    capacity = np.array([device.capacity_iops(*pair) for pair in pairs])
    open_limit = log_uniform(rng, 2, device.concurrency)
    capacity = np.minimum(capacity, 1000 * open_limit / mean_ms)
    return Character(
        device=device,
        disks=disks,
        service_factor=rng.lognormal(0, log_uniform(rng, 0.01, 0.08), disks),
        usual_iops=np.where(is_quiet, log_uniform(rng, *QUIET_IOPS, disks), np.minimum(usual, 0.5 * capacity)),
        limit_iops=NATURAL_LOAD * capacity,
        is_quiet=is_quiet,
        read_ratio=np.clip(rng.uniform(0.05, 0.95) + rng.normal(0, 0.02, disks), 0.02, 0.98),
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        tail_ratio=log_uniform(rng, 2, 20) * rng.lognormal(0, 0.1, disks),
        open_limit=open_limit,
        cost_noise=log_uniform(rng, 0.01, 0.4),
        demand_noise=log_uniform(rng, 0.02, 0.4),
        samples_a_minute=int(rng.choice((6, 30, 60))),
        has_p99=bool(rng.random() < 0.5),
        counts_errors=device.counts_errors and bool(rng.random() < 0.8),
        knows_trouble=bool(rng.random() < 0.85),
        has_only_await=bool(rng.random() < 0.2),
        loses_minutes=bool(rng.random() < 0.2),
    )


SIZES: Final = ((4, 8, 16, 24, 64), (4, 8, 16, 32))  # KiB, of reads and of writes


def wanted_iops(host: Character, minutes: int, rng: Generator) -> Array:
    """Requests a second that each disk is asked for, [minute, disk]: rhythm, drift, bursts and noise, without limit."""
    at = np.arange(minutes)[:, np.newaxis]
    amplitude = rng.uniform(0, 0.8)
    daily = amplitude * np.cos(2 * math.pi * (at - rng.normal(14, 3) * 60) / DAY)
    weekend = -rng.uniform(0, 0.7) * ((at // DAY + rng.integers(7)) % 7 >= 5)
    shared = rng.uniform(0, 0.25) * wander(rng, minutes, 1, every=180)
    own = rng.uniform(0, 0.15) * wander(rng, minutes, host.disks, every=120)
    fast = host.demand_noise * (
        0.5 * wander(rng, minutes, 1, every=7)
        + 0.5 * wander(rng, minutes, host.disks, every=5)
        + 0.7 * rng.standard_normal((minutes, host.disks))
    )
    bursts = _bursts(rng, minutes, 1, a_day=rng.uniform(0, 12)) + _bursts(
        rng, minutes, host.disks, a_day=rng.uniform(0, 8)
    )
    return np.maximum(host.usual_iops * np.exp(daily + weekend + shared + own + fast + bursts), LEAST_IOPS)


def cost_factor(host: Character, minutes: int, rng: Generator) -> Array:
    """How much more than usual a request costs without any fault, [minute, disk]: noise, and now and then a hiccup."""
    together = rng.uniform(0, 0.7)  # a host's caches and controllers serve all of its disks
    own = 0.6 * wander(rng, minutes, host.disks, every=6) + 0.8 * rng.standard_normal((minutes, host.disks))
    noise = math.sqrt(together) * wander(rng, minutes, 1, every=8) + math.sqrt(1 - together) * own
    slow_drift = 0.03 * wander(rng, minutes, host.disks, every=600)
    hiccup = rng.random((minutes, host.disks)) < log_uniform(rng, 1e-4, 4e-3)
    return np.asarray(
        host.service_factor
        * np.exp(host.cost_noise * noise + slow_drift)
        * np.where(hiccup, rng.uniform(1.5, 4.0, (minutes, host.disks)), 1.0)
    )


def wander(rng: Generator, minutes: int, columns: int, *, every: int) -> Array:
    """Noise of about unit deviation that moves from one level to the next in `every` minutes, [minute, column]."""
    knots = rng.standard_normal((minutes // every + 2, columns))
    place, part = np.divmod(np.arange(minutes) / every, 1)
    part, low = part[:, np.newaxis], place.astype(np.intp)
    return np.asarray((knots[low] * (1 - part) + knots[low + 1] * part) / np.sqrt((1 - part) ** 2 + part**2))


def _bursts(rng: Generator, minutes: int, columns: int, *, a_day: float) -> Array:
    """The logarithm of what short bursts multiply demand with."""
    made = np.zeros((minutes, columns))
    for _ in range(rng.poisson(a_day * columns * minutes / DAY)):
        begin = rng.integers(minutes)
        made[begin : begin + 1 + int(rng.exponential(4)), rng.integers(columns)] = rng.uniform(0.2, 1.2)
    return made


@overload
def log_uniform(rng: Generator, low: float, high: float) -> float: ...
@overload
def log_uniform(rng: Generator, low: float, high: float, size: int) -> Array: ...
def log_uniform(rng: Generator, low: float, high: float, size: int | None = None) -> float | Array:
    """A number, or `size` numbers, whose logarithm is uniform."""
    return np.exp(rng.uniform(math.log(low), math.log(high), size))
