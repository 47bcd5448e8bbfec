"""What can happen to a disk: faults, which are the label, and events that are nobody's business."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

FAIL_SLOW_FACTORS: Final = (4.0, 10.0)  # times the healthy service time, mild to severe
TAIL_RATIO: Final = 0.02  # of the requests
TAIL_MS: Final = 100.0
OVERLOAD_RATIO: Final = 1.5  # demand over what is let through
ERROR_RATIO: Final = 0.01  # of the requests
RETRY_MS: Final = 30.0  # what a failed request costs before it is given up
BURST_FACTOR: Final = 2.5
TAKEN_RATIOS: Final = (0.5, 0.85)  # of a shared device that a neighbour takes
THROUGHPUT_RATIOS: Final = (0.6, 0.3)  # of the usual bytes that a cap lets through
FULL_RATIOS: Final = (1.1, 1.5)  # demand over what lanes and throughput can serve


class FaultKind(StrEnum):
    """A fault somebody must act on."""

    FAIL_SLOW = "fail_slow"
    TAIL_LATENCY = "tail_latency"
    IOPS_CAP = "iops_cap"
    STALL = "stall"
    IO_ERRORS = "io_errors"
    THROUGHPUT_CAP = "throughput_cap"
    NOISY_NEIGHBOUR = "noisy_neighbour"  # give it to all disks of the shared device
    OVERLOAD = "overload"


class BenignKind(StrEnum):
    """A busy hour that must wake nobody."""

    BACKUP = "backup"
    SCRUB = "scrub"
    BURST = "burst"


@dataclass(frozen=True, slots=True)
class Effect:
    """What an event does to one interval of a stream."""

    service_factor: float = 1.0
    slow_ratio: float = 0.0  # share of the requests that take `slow_ms` more
    slow_ms: float = 0.0
    demand_factor: float = 1.0
    overload: float = 0.0  # 0 = demand as ever, 1 = OVERLOAD_RATIO over the cap
    cap_ratio: float | None = None  # of the provisioned IOPS that are let through; None = as provisioned
    throughput_ratio: float | None = None  # of the usual bytes that are let through; None = what the device can
    load_ratio: float = 0.0  # demand is at least this much of what lanes and throughput can serve
    sequential_load: float = 0.0  # share of the device that large sequential reads fill up to
    error_ratio: float = 0.0
    is_stalled: bool = False


NO_EFFECT: Final = Effect()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Episode:
    """Something that begins, grows over `ramp_s`, lasts, and ends (None: it does not)."""

    begins_at: datetime
    ramp_s: float = 15.0
    ends_at: datetime | None = None

    def strength(self, at: datetime) -> float:
        """0 before it begins and after it ends, 1 when fully grown."""
        if at <= self.begins_at or (self.ends_at is not None and at > self.ends_at):
            return 0.0
        return min(1.0, (at - self.begins_at).total_seconds() / max(self.ramp_s, 1e-9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(_Episode):
    """An injected fault; `severity` is 0 (mild) to 1."""

    kind: FaultKind
    severity: float = 0.5

    def effect(self, at: datetime) -> Effect:
        """What it does to the interval that ends at `at`."""
        strength = self.strength(at)
        if strength == 0:
            return NO_EFFECT
        match self.kind:
            case FaultKind.FAIL_SLOW:
                return Effect(service_factor=1 + (self._between(FAIL_SLOW_FACTORS) - 1) * strength)
            case FaultKind.TAIL_LATENCY:
                return Effect(slow_ratio=TAIL_RATIO * strength, slow_ms=TAIL_MS)
            case FaultKind.IOPS_CAP:
                return Effect(overload=strength, cap_ratio=1 - 0.05 * self.severity)
            case FaultKind.STALL:
                return Effect(is_stalled=True)
            case FaultKind.IO_ERRORS:
                ratio = ERROR_RATIO * strength
                return Effect(error_ratio=ratio, slow_ratio=ratio, slow_ms=RETRY_MS)
            case FaultKind.THROUGHPUT_CAP:
                return Effect(throughput_ratio=self._between(THROUGHPUT_RATIOS))
            case FaultKind.NOISY_NEIGHBOUR:
                return Effect(service_factor=1 / (1 - self._between(TAKEN_RATIOS) * strength))
            case FaultKind.OVERLOAD:
                return Effect(load_ratio=self._between(FULL_RATIOS) * strength)

    def _between(self, mild_to_severe: tuple[float, float]) -> float:
        mild, severe = mild_to_severe
        return mild + self.severity * (severe - mild)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benign(_Episode):
    """Something that looks alarming on a graph and is as it should be."""

    kind: BenignKind

    def effect(self, at: datetime) -> Effect:
        """What it does to the interval that ends at `at`."""
        strength = self.strength(at)
        match self.kind:
            case _ if strength == 0:
                return NO_EFFECT
            case BenignKind.BACKUP:
                return Effect(sequential_load=0.85 * strength)
            case BenignKind.SCRUB:
                return Effect(sequential_load=0.5 * strength)
            case BenignKind.BURST:
                return Effect(demand_factor=1 + (BURST_FACTOR - 1) * strength)
