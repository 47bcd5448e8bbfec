"""Disks with a past, one of each group with a fault to come."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cli.body import Body, batch_of, history_bodies, pack_bodies
from ml.fault import Fault, FaultKind
from ml.simulate import Fleet, Stream, samples

DISKS: Final = 4  # of a group: the one with the fault and the three peers that a judgement asks for
HISTORY: Final = timedelta(hours=4)  # more than the 3 h of warming up
LIVE: Final = timedelta(seconds=60)  # what one POST tells of the present, all of it with the fault
INTERVAL_S: Final = 2.0
KINDS: Final = (FaultKind.STALL, FaultKind.IO_ERRORS, FaultKind.FAIL_SLOW)
HARD_KINDS: Final = (FaultKind.STALL, FaultKind.IO_ERRORS)  # a rule finds them that no model outvotes


@dataclass(frozen=True, slots=True)
class Case:
    """One peer group, and what will happen to one of its disks."""

    victim: Stream
    streams: tuple[Stream, ...]
    kind: FaultKind

    def fault_body(self, at: datetime) -> Body:
        """The group's last minute before `at` in one body; the fault began with it."""
        return self._body(at - LIVE, at, fault_began_at=at - LIVE)

    def later_body(self, first_at: datetime, at: datetime) -> Body:
        """What followed the body of `first_at` until `at`: the fault goes on."""
        return self._body(first_at, at, fault_began_at=first_at - LIVE)

    def _body(self, start_at: datetime, end_at: datetime, *, fault_began_at: datetime) -> Body:
        fault = Fault(kind=self.kind, begins_at=fault_began_at, severity=1.0, ramp_s=0)
        batches = (
            batch_of(
                stream,
                tuple(
                    samples(
                        stream,
                        start_at=start_at,
                        end_at=end_at,
                        interval_s=INTERVAL_S,
                        fault=fault if stream is self.victim else None,
                    )
                ),
            )
            for stream in self.streams
        )
        return next(pack_bodies(batches))


def make_cases(count: int, *, seed: int, run: str) -> list[Case]:
    """`count` groups, a third of them with each kind of fault, the same for the same seed but for their names: a stack
    that has seen one `run` would not mail of the same disks again."""
    fleet = Fleet(seed=seed, hosts=2 * count + 5, disks_per_host=DISKS, name="bench")
    rng = random.Random(f"{seed}/cases")
    free = [tuple(_renamed(stream, run) for stream in streams) for streams in _hosts(fleet)]
    cases = [_take(free, KINDS[index % len(KINDS)]) for index in range(count)]
    rng.shuffle(cases)
    return cases


def history(cases: list[Case], *, end_at: datetime) -> Iterator[Body]:
    """The healthy past of all disks."""
    start_at = end_at - HISTORY
    return history_bodies(((stream, start_at) for case in cases for stream in case.streams), end_at=end_at)


def _renamed(stream: Stream, run: str) -> Stream:
    return replace(stream, stream_id=f"{run}-{stream.stream_id}", peer_group=f"{run}-{stream.peer_group}")


def _hosts(fleet: Fleet) -> list[tuple[Stream, ...]]:
    return [fleet.streams[start : start + DISKS] for start in range(0, len(fleet.streams), DISKS)]


def _take(free: list[tuple[Stream, ...]], kind: FaultKind) -> Case:
    """The next host that has a disk on which the fault shows."""
    for streams in free:
        for stream in streams:
            if not stream.is_quiet and (kind is not FaultKind.IO_ERRORS or stream.device.counts_errors):
                free.remove(streams)
                return Case(stream, streams, kind)
    raise LookupError(f"no host is left for {kind}")
