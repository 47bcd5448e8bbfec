"""The fleet in memory: every stream and every alert that has not ended, sorted, searched and paged."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from iops import items
from iops.alert import Alert, AlertState
from iops.auth import Caller
from iops.clock import Clock
from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE
from iops.errors import Unavailable
from iops.insight import PredictionType
from iops.items import Stream
from iops.table import Table
from services.insights.mirror import Kind, Mirror
from services.insights.silence import ALL_HOSTS, host_of

VIEWS_KEPT: Final = 16  # of callers who see different streams


class State(StrEnum):
    """How a stream stands, as one looks for it."""

    HIGH = "high"  # risk 80 or more
    ELEVATED = "elevated"  # 60 or more
    FIRING = "firing"  # an alert of it, which nobody has taken
    WARMING_UP = "warming_up"
    SILENT = "silent"  # its agent is, and people were told; where most are at once it is not they


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams somebody wants to see; empty and None mean any."""

    text: str = ""  # in the stream's id or one of its labels, in whatever case
    peer_group: str = ""
    min_risk: float = 0.0
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A stream with what stands beside it."""

    stream: Stream
    alert: Alert | None  # the one that most needs somebody
    silent_since: datetime | None  # when people were told that its agent is
    states: frozenset[State]
    text: str  # what it is found by

    def is_silent(self, last_at: datetime | None) -> bool:
        """Nothing came since people were told; None: nothing of the last hour is known."""
        return self.silent_since is not None and (last_at is None or last_at <= self.silent_since)


@dataclass(frozen=True, slots=True)
class View:
    """What a caller sees of the fleet."""

    found: Sequence[Seen]  # the worst first
    counts: Mapping[str, int]  # of all that is theirs: "streams", "alerts", and each State
    peer_groups: Sequence[str]


class Fleet:
    """Each question is answered from memory; the table is asked every two seconds what changed."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._streams = Mirror(table, Kind("stream", items.item_to_stream), clock)
        alerts = Kind(
            "alert",
            items.item_to_alert,
            prefix="alert#",
            where=items.open_alerts_where(),
            keep=lambda alert: alert.is_active,
        )
        self._alerts = Mirror(table, alerts, clock)
        self._sorted: tuple[tuple[int, int], Sequence[Seen]] = (-1, -1), ()
        self._views: dict[tuple[str, ...], tuple[tuple[int, int], View]] = {}  # by what a caller may see

    @property
    def streams(self) -> Mapping[str, Stream]:
        """By id. Raises Unavailable where they are not read yet."""
        _ = self.read_at
        return self._streams.rows

    @property
    def alerts(self) -> Mapping[str, Alert]:
        """Those that have not ended, by id. Raises Unavailable."""
        _ = self.read_at
        return self._alerts.rows

    @property
    def is_outage(self) -> bool:
        """Whether people are told that most hosts are silent: it is not their agents. Raises Unavailable."""
        return any(alert.stream_id == ALL_HOSTS and _is_silence(alert) for alert in self.alerts.values())

    @property
    def version(self) -> tuple[int, int]:
        """Of streams and alerts: another one where something changed."""
        return self._streams.version, self._alerts.version

    @property
    def read_at(self) -> datetime:
        """As of when this is. Raises Unavailable."""
        if self._streams.read_at is None or self._alerts.read_at is None:
            raise Unavailable("the fleet is being read; come again in a moment", retry_after_s=1)
        return min(self._streams.read_at, self._alerts.read_at)

    async def run(self) -> None:
        """Keeps up with the table until it is cancelled."""
        async with asyncio.TaskGroup() as mirrors:
            mirrors.create_task(self._streams.run())
            mirrors.create_task(self._alerts.run())

    async def look_once(self) -> None:
        """The same once. Raises Unavailable."""
        await self._streams.look_once()
        await self._alerts.look_once()

    def view(self, wanted: Wanted, caller: Caller) -> View:
        """What `wanted` finds of the streams that are the caller's. Raises Unavailable."""
        own = self._own(caller)
        found = own.found if wanted == Wanted() else [seen for seen in own.found if _is_wanted(seen, wanted)]
        return replace(own, found=found)

    def changed_since(self, version: tuple[int, int]) -> tuple[list[str] | None, list[str] | None]:
        """Names of streams and of alerts that changed since then; None where that was too much to say."""
        return self._streams.changed_since(version[0]), self._alerts.changed_since(version[1])

    def _own(self, caller: Caller) -> View:
        """All of the caller's, counted once a change: 10,000 streams take 10 ms, and a wall of screens asks often."""
        version = self.version
        known = self._views.get(caller.streams)
        if known is not None and known[0] == version:
            return known[1]
        own = [seen for seen in self._all() if caller.may_see(seen.stream.stream_id)]
        alerts = [alert for alert in self.alerts.values() if caller.may_see(alert.stream_id)]
        counts = Counter(state for seen in own for state in seen.states)
        view = View(
            found=own,
            counts={"streams": len(own), "alerts": len(alerts), **{state: counts[state] for state in State}},
            peer_groups=sorted({seen.stream.peer_group for seen in own}),
        )
        if len(self._views) >= VIEWS_KEPT:
            self._views.clear()  # only a cache: it fills again
        self._views[caller.streams] = version, view
        return view

    def _all(self) -> Sequence[Seen]:
        streams, alerts = self.streams, self.alerts
        if self._sorted[0] != self.version:
            self._sorted = self.version, sort_fleet(streams.values(), alerts.values())
        return self._sorted[1]


def sort_fleet(streams: Iterable[Stream], alerts: Iterable[Alert]) -> list[Seen]:
    """The worst first: by risk, of equal ones those that fire, then by name."""
    by_stream: dict[str, Alert] = {}
    silent: dict[str, datetime] = {}
    for alert in alerts:
        if _is_silence(alert):
            silent[alert.stream_id] = alert.updated_at
        other = by_stream.get(alert.stream_id)
        if other is None or _urgency(alert) > _urgency(other):
            by_stream[alert.stream_id] = alert
    found = []
    for stream in streams:
        own = by_stream.get(stream.stream_id)
        since = silent.get(host_of(stream.stream_id)) if silent else None
        found.append(Seen(stream, own, since, _states(stream, own, is_silent=since is not None), _text_of(stream)))
    return sorted(found, key=_badness)


def _is_silence(alert: Alert) -> bool:
    """One that lasts: an alert stays open for minutes after its agent spoke again."""
    return alert.prediction_type is PredictionType.AGENT_SILENT and alert.recovering_since is None


def _urgency(alert: Alert) -> tuple[bool, float]:
    return alert.state is AlertState.FIRING, alert.risk_score


def _badness(seen: Seen) -> tuple[float, bool, str]:
    risk = -1.0 if seen.stream.risk_score is None else seen.stream.risk_score
    return -risk, seen.alert is None, seen.stream.stream_id


def _states(stream: Stream, alert: Alert | None, *, is_silent: bool) -> frozenset[State]:
    risk = stream.risk_score or 0.0
    holds = {
        State.HIGH: risk >= PAGE_RISK_SCORE,
        State.ELEVATED: INSIGHT_RISK_SCORE <= risk < PAGE_RISK_SCORE,
        State.FIRING: alert is not None and alert.state is AlertState.FIRING,
        State.WARMING_UP: stream.is_warming_up,
        State.SILENT: is_silent,
    }
    return frozenset(state for state, is_so in holds.items() if is_so)


def _is_wanted(seen: Seen, wanted: Wanted) -> bool:
    stream = seen.stream
    if wanted.min_risk and (stream.risk_score or 0.0) < wanted.min_risk:
        return False
    if wanted.peer_group and stream.peer_group != wanted.peer_group:
        return False
    if wanted.state is not None and wanted.state not in seen.states:
        return False
    return wanted.text.strip().casefold() in seen.text


def _text_of(stream: Stream) -> str:
    return "\n".join((stream.stream_id, *(f"{name}={value}" for name, value in stream.labels.items()))).casefold()
