"""What happens to the disks of a simulated host: faults, which are the label, and events that must wake nobody."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iops.insight import PredictionType
from ml.device import DeviceClass
from ml.hosts import DAY
from ml.traffic import Character, log_uniform

Array = NDArray[np.float64]


class Event(StrEnum):
    """What was injected; ordinary time is none of it."""

    ORDINARY = "ordinary"
    FAIL_SLOW = "fail_slow"
    TAIL_LATENCY = "tail_latency"
    IOPS_CAP = "iops_cap"
    THROUGHPUT_CAP = "throughput_cap"
    BURST_CREDITS = "burst_credits"
    NOISY_NEIGHBOUR = "noisy_neighbour"
    STALL = "stall"
    IO_ERRORS = "io_errors"
    OVERLOAD = "overload"
    BACKUP = "backup"
    SCRUB = "scrub"
    BATCH_JOB = "batch_job"
    REBOOT = "reboot"
    DEPLOY = "deploy"


EVENTS: Final = tuple(Event)
KIND_OF: Final[Mapping[Event, PredictionType]] = MappingProxyType(
    {
        Event.FAIL_SLOW: PredictionType.FAIL_SLOW,
        Event.TAIL_LATENCY: PredictionType.LATENCY_SPIKE,
        Event.IOPS_CAP: PredictionType.THROUGHPUT_THROTTLING,
        Event.THROUGHPUT_CAP: PredictionType.THROUGHPUT_THROTTLING,
        Event.BURST_CREDITS: PredictionType.THROUGHPUT_THROTTLING,
        Event.NOISY_NEIGHBOUR: PredictionType.PERFORMANCE_DEGRADATION,
        Event.STALL: PredictionType.STALL,
        Event.IO_ERRORS: PredictionType.IO_ERRORS,
        Event.OVERLOAD: PredictionType.RESOURCE_SATURATION,
    }
)
BENIGN: Final = tuple(event for event in Event if event not in KIND_OF and event is not Event.ORDINARY)
HOURS: Final[Mapping[Event, tuple[float, float]]] = MappingProxyType(  # an event lasts, at least and at most
    {
        Event.FAIL_SLOW: (2, 200),
        Event.TAIL_LATENCY: (0.3, 24),
        Event.IOPS_CAP: (0.3, 12),
        Event.THROUGHPUT_CAP: (0.3, 12),
        Event.BURST_CREDITS: (6, 30),
        Event.NOISY_NEIGHBOUR: (0.3, 8),
        Event.STALL: (0.03, 1.5),
        Event.IO_ERRORS: (0.1, 24),
        Event.OVERLOAD: (0.3, 8),
        Event.BACKUP: (0.3, 3),
        Event.SCRUB: (2, 10),
        Event.BATCH_JOB: (0.2, 3),
        Event.REBOOT: (0.5, 1.5),
        Event.DEPLOY: (1e4, 1e4),
    }
)
FAIL_SLOW_WEIGHT: Final = 4  # times as many as of any other fault: only many teach how slow is slow among which peers
OLD_SHARE: Final = 0.6  # of the slow disks have been slow since long before
LATE_SHARE: Final = 0.6  # of the events begin in the last day and a half, when there is a past to compare with


@dataclass(frozen=True, slots=True)
class Episode:
    """One event on some disks of a host, from `begin` on and before `end`; minutes may lie outside of what is seen."""

    event: Event
    disks: NDArray[np.intp]
    begin: int
    end: int
    strength: Array  # [minute]: 0 where it is not, at most 1; it ramps up, and may wax and wane

    @property
    def is_fault(self) -> bool:
        return self.event in KIND_OF


def suits(event: Event, device: DeviceClass) -> bool:
    """Whether an event can happen to disks of a class."""
    if event is Event.BURST_CREDITS:
        return device.credits is not None
    if event is Event.OVERLOAD:  # one that is sold by the request is throttled before it is full
        return device.provisioned_iops is None and device.credits is None
    return event is not Event.IO_ERRORS or device.counts_errors


def episodes_of(host: Character, minutes: int, rng: Generator) -> list[Episode]:
    """Draws what happens to a host: at most one fault a disk, on a quarter of the hosts none; and benign events."""
    free = rng.permutation(host.disks)
    free = free[np.argsort(host.is_quiet[free], kind="stable")]  # nobody would notice on a disk that is hardly used
    faults: list[Episode] = []
    suitable = [event for event in KIND_OF if suits(event, host.device)]
    suitable += [Event.FAIL_SLOW] * (FAIL_SLOW_WEIGHT - 1)
    count = 0 if rng.random() < 0.25 else int(rng.integers(1, 4))
    for _ in range(count):
        event = suitable[rng.integers(len(suitable))]
        size = int(rng.integers(2, host.disks + 1)) if event is Event.NOISY_NEIGHBOUR else 1
        if size <= len(free):
            faults.append(_episode(event, np.sort(free[:size]), minutes, rng))
            free = free[size:]
    benign: list[Episode] = []
    for _ in range(int(rng.integers(0, 5))):
        event = BENIGN[rng.integers(len(BENIGN))]
        is_whole = event in (Event.REBOOT, Event.SCRUB, Event.DEPLOY) or rng.random() < 0.4
        disks = np.arange(host.disks) if is_whole else rng.integers(host.disks, size=1)
        benign.append(_episode(event, disks.astype(np.intp), minutes, rng))
    return benign + faults


def _episode(event: Event, disks: NDArray[np.intp], minutes: int, rng: Generator) -> Episode:
    low, high = HOURS[event]
    length = max(2, round(60 * log_uniform(rng, low, high)))
    late = max(0, minutes - 3 * DAY // 2) if rng.random() < LATE_SHARE else 0
    begin = int(rng.integers(late, minutes))
    if event is Event.FAIL_SLOW and rng.random() < OLD_SHARE:
        begin = -DAY  # and perhaps for ever
        length += DAY + (minutes if rng.random() < 0.7 else int(rng.integers(minutes)))
    ramp = 0.0 if event in (Event.REBOOT, Event.DEPLOY) else log_uniform(rng, 0.5, max(1, min(length / 3, 240)))
    at = np.arange(minutes)
    strength = np.clip(
        np.minimum((at + 1 - begin) / max(ramp, 1e-9), (begin + length - at) / max(ramp / 4, 1e-9)), 0, 1
    )
    if event is Event.REBOOT:  # caches fill again
        strength *= np.clip((begin + length - at) / length, 0, 1)
    if event in KIND_OF and rng.random() < 0.3:
        period, phase, low = log_uniform(rng, 20, 720), rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 0.8)
        strength *= low + (1 - low) * (0.5 + 0.5 * np.cos(2 * math.pi * at / period + phase))
    return Episode(event, disks, begin, begin + length, strength)
