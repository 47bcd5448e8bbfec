"""How the services stand, by what their replicas last said of themselves: in words, and pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, Field

from iops.items import PULSE_KEPT, Pulse

HEARD_FOR: Final = timedelta(seconds=90)  # three beats of iops/pulse.py
SERVICES: Final = ("alerts", "ingest", "insights")  # what is missed most when it is gone, first
WITHOUT: Final = {
    "alerts": "nobody is told of anything",
    "ingest": "samples may not be taken, and agents keep them",
    "insights": "nothing is scored",
}


class State(StrEnum):
    """Of a service, or of one replica."""

    OK = "ok"
    DEGRADED = "degraded"
    NOT_HEARD_OF = "not_heard_of"


class Trouble(BaseModel):
    """Something that is wrong, and what deals with it."""

    says: str
    section: str = Field(description="the heading in docs/runbook.md")


class ReplicaView(BaseModel):
    """One process, as it last described itself."""

    replica: str
    version: str
    started_at: datetime
    heard_at: datetime
    state: State
    says: str = Field(examples=["ok", "degraded: table (away)", "not heard of for 3 min"])


class ServiceView(BaseModel):
    """A service, and its replicas; one that ended properly, or that another took the place of, is not among them."""

    service: str
    state: State
    says: str = Field(examples=["ok", "degraded: 1 of 2 replicas not heard of for 3 min"])
    replicas: list[ReplicaView]

    @property
    def trouble(self) -> Trouble | None:
        """None where it is well."""
        if self.state is State.OK:
            return None
        if self.state is State.DEGRADED:
            return Trouble(says=f"{self.service} is {self.says}", section="unhealthy-targets")
        says = f"{self.service} has {self.says.replace('not', 'not been', 1)}: {WITHOUT[self.service]}"
        return Trouble(says=says, section="unhealthy-targets")


def view_service(service: str, pulses: Iterable[Pulse], now: datetime) -> ServiceView:
    """By the pulses of its replicas."""
    there = _in_place([pulse for pulse in pulses if now - pulse.at < PULSE_KEPT], now)
    replicas = [_view_replica(pulse, now) for pulse in there]
    state, says = _judge(replicas, now)
    return ServiceView(service=service, state=state, says=says, replicas=replicas)


def heard(pulses: Iterable[Pulse], now: datetime) -> list[Pulse]:
    """Those that are new enough to say how it is now."""
    return [pulse for pulse in pulses if now - pulse.at <= HEARD_FOR]


def how_long(seconds: float) -> str:
    """
    >>> how_long(59), how_long(180), how_long(97_200)
    ('59 s', '3 min', '27 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.0f} h"


def _in_place(pulses: Sequence[Pulse], now: datetime) -> list[Pulse]:
    """Without those that ended without a word, one for each replica that began since then."""
    alive = heard(pulses, now)
    began = sorted(pulse.started_at for pulse in pulses)
    lost = []
    for pulse in sorted((each for each in pulses if each not in alive), key=lambda each: each.at):
        successor = next((at for at in began if at >= pulse.at), None)
        if successor is None:
            lost.append(pulse)
        else:
            began.remove(successor)
    return sorted([*alive, *lost], key=lambda each: (each.started_at, each.replica))


def _view_replica(pulse: Pulse, now: datetime) -> ReplicaView:
    state, says = State.OK, "ok"
    if now - pulse.at > HEARD_FOR:
        state, says = State.NOT_HEARD_OF, f"not heard of for {_since(pulse.at, now)}"
    elif pulse.failed:
        why = "; ".join(f"{check} ({reason})" for check, reason in sorted(pulse.failed.items()))
        state, says = State.DEGRADED, f"degraded: {why}"
    return ReplicaView(
        replica=pulse.replica,
        version=pulse.version,
        started_at=pulse.started_at,
        heard_at=pulse.at,
        state=state,
        says=says,
    )


def _judge(replicas: Sequence[ReplicaView], now: datetime) -> tuple[State, str]:
    if not replicas:
        return State.NOT_HEARD_OF, "not heard of for an hour or more"
    if all(each.state is State.NOT_HEARD_OF for each in replicas):
        return State.NOT_HEARD_OF, f"not heard of for {_since(max(each.heard_at for each in replicas), now)}"
    ill = [each for each in replicas if each.state is not State.OK]
    if not ill:
        return State.OK, "ok"
    first = ill[0].says.removeprefix("degraded: ")
    says = first if len(replicas) == 1 else f"{len(ill)} of {len(replicas)} replicas {first}"
    return State.DEGRADED, f"degraded: {says}"


def _since(at: datetime, now: datetime) -> str:
    return how_long((now - at).total_seconds())
