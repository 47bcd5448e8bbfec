"""Which streams of a demonstration get which fault, and which a benign event."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ml.device import GP3, HDD, NVME, DeviceClass
from ml.fault import Benign, BenignKind, Fault, FaultKind
from ml.simulate import Stream

# The first ten: 3 fail_slow, 2 iops_cap, 2 stall, 2 io_errors, 1 tail_latency.
FAULT_ORDER: Final = (
    FaultKind.FAIL_SLOW,
    FaultKind.STALL,
    FaultKind.IOPS_CAP,
    FaultKind.IO_ERRORS,
    FaultKind.TAIL_LATENCY,
    FaultKind.FAIL_SLOW,
    FaultKind.IOPS_CAP,
    FaultKind.STALL,
    FaultKind.IO_ERRORS,
    FaultKind.FAIL_SLOW,
    # From the eleventh on:
    FaultKind.THROUGHPUT_CAP,
    FaultKind.OVERLOAD,
)
# Where a fault can be seen at all: a cap needs provisioned IOPS, an error a counter, a tail a disk whose mean is small.
SUITABLE: Final[Mapping[FaultKind, tuple[DeviceClass, ...]]] = {
    FaultKind.IOPS_CAP: (GP3,),
    FaultKind.IO_ERRORS: (NVME, HDD),
    FaultKind.TAIL_LATENCY: (NVME, GP3),
    FaultKind.FAIL_SLOW: (NVME, GP3, HDD),
    FaultKind.STALL: (NVME, GP3, HDD),
    FaultKind.THROUGHPUT_CAP: (GP3,),
    FaultKind.OVERLOAD: (NVME, HDD),
}


@dataclass(frozen=True)
class Plan:
    """What will happen, by stream id."""

    faults: Mapping[str, Fault]
    benign: Mapping[str, Benign]


def plan_events(streams: Sequence[Stream], *, seed: int, faults: int, begins_at: datetime, spread_s: float) -> Plan:
    """At most one fault a host, beginning one after the other over `spread_s`, and three benign events elsewhere.

    Fewer hosts than `faults` get fewer; benign events come after the faults' hosts are chosen.
    """
    rng = random.Random(f"{seed}/plan")
    hosts = {stream.peer_group for stream in streams}
    chosen = _choose_streams(streams, _kinds(min(faults, len(hosts))), rng)
    delay_s = spread_s / max(1, len(chosen) - 1)
    planned = {
        stream.stream_id: Fault(
            kind=kind, begins_at=begins_at + timedelta(seconds=index * delay_s), severity=round(rng.random(), 2)
        )
        for index, (stream, kind) in enumerate(sorted(chosen, key=lambda pair: pair[0].stream_id))
    }
    busy = [stream for stream in streams if stream.stream_id not in planned and not stream.is_quiet]
    chosen_benign = rng.sample(busy, min(len(BenignKind), len(busy)))
    benign = {
        stream.stream_id: Benign(kind=kind, begins_at=begins_at)
        for stream, kind in zip(chosen_benign, BenignKind, strict=False)
    }
    return Plan(planned, benign)


def _kinds(count: int) -> list[FaultKind]:
    """The first `count` kinds, the choosiest first, so that they find a host."""
    kinds = [FAULT_ORDER[index % len(FAULT_ORDER)] for index in range(count)]
    return sorted(kinds, key=lambda kind: len(SUITABLE[kind]))


def _choose_streams(
    streams: Sequence[Stream], kinds: list[FaultKind], rng: random.Random
) -> list[tuple[Stream, FaultKind]]:
    free = {stream.peer_group for stream in streams}
    chosen: list[tuple[Stream, FaultKind]] = []
    for kind in kinds:
        fitting = [
            stream
            for stream in streams
            if stream.peer_group in free and stream.device in SUITABLE[kind] and not stream.is_quiet
        ]
        if fitting:
            stream = rng.choice(fitting)
            free.discard(stream.peer_group)
            chosen.append((stream, kind))
    return chosen
