"""Which series there are, what they are called, and what they are labelled with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from iops.alert import Alert
from iops.clock import to_epoch_ms
from iops.items import Stream
from iops.telemetry import CHANNELS
from services.insights.prometheus.match import all_fit
from services.insights.prometheus.matrix import Labels
from services.insights.prometheus.query import NAME, Matcher
from services.insights.story import RISK_LASTS_MS

RISK: Final = "iops_stream_risk_score"
WARMING_UP: Final = "iops_stream_warming_up"
ALERT: Final = "iops_stream_alert"
OF_CHANNELS: Final[Mapping[str, str]] = {f"iops_stream_{channel.name}": channel.name for channel in CHANNELS}
HELP: Final[Mapping[str, str]] = {
    RISK: "0-100: 80 is where people are told, 60 where an insight is written",
    WARMING_UP: "1 while a stream has too little history for the model, else 0",
    ALERT: "the risk of an alert that is not resolved",
    **{f"iops_stream_{channel.name}": f"in {channel.unit}, as the agent measured it" for channel in CHANNELS},
}
OURS: Final = frozenset({NAME, "stream", "peer_group", "prediction_type", "state"})
ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Sight:
    """What a caller may see, as it was at one moment."""

    streams: Sequence[Stream]
    alerts: Sequence[Alert]
    now_ms: int


@dataclass(frozen=True, slots=True)
class Held:
    """A series whose value of now is in memory."""

    labels: Labels
    value: float
    since_ms: int
    until_ms: int
    risk_of: str | None = None  # the stream whose risk it is, which the table knows of before


@dataclass(frozen=True, slots=True)
class Stored:
    """A series whose samples lie in the table."""

    labels: Labels
    stream_id: str
    channel: str


def select(matchers: Sequence[Matcher], sight: Sight) -> Iterator[Held | Stored]:
    """The series that fit all matchers; all series where there are none."""
    names = [name for name in HELP if all_fit((each for each in matchers if each.label == NAME), {NAME: name})]
    others = [matcher for matcher in matchers if matcher.label != NAME]
    labelled = {stream.stream_id: labels_of(stream) for stream in sight.streams} if names else {}
    for stream in sight.streams:
        if names and all_fit(others, labelled[stream.stream_id]):
            yield from _of_stream(stream, names, labelled[stream.stream_id], sight.now_ms)
    if ALERT in names:
        yield from (held for held in _of_alerts(sight, labelled) if all_fit(others, held.labels))


def labels_of(stream: Stream) -> Labels:
    """Its own labels with names that PromQL knows, beside ours; one that has our name is exported, as there.

    Of two names that become one the first in order stays. An empty label is none.
    """
    made = {"stream": stream.stream_id, "peer_group": stream.peer_group}
    for name, value in sorted(stream.labels.items()):
        legal = ILLEGAL.sub("_", name)
        if value:
            made.setdefault(f"exported_{legal}" if legal in OURS or legal.startswith("__") else legal, value)
    return made


def _of_stream(stream: Stream, names: Iterable[str], labels: Labels, now_ms: int) -> Iterator[Held | Stored]:
    since_ms = to_epoch_ms(stream.scored_at or stream.first_seen_at)
    until_ms = min(now_ms, since_ms + RISK_LASTS_MS)
    for name in names:
        if name in OF_CHANNELS:
            yield Stored({NAME: name, **labels}, stream.stream_id, OF_CHANNELS[name])
        elif name == WARMING_UP:
            yield Held({NAME: name, **labels}, float(stream.is_warming_up), since_ms, until_ms)
        elif name == RISK and stream.risk_score is not None:
            yield Held({NAME: name, **labels}, stream.risk_score, since_ms, until_ms, risk_of=stream.stream_id)


def _of_alerts(sight: Sight, labelled: Mapping[str, Labels]) -> Iterator[Held]:
    for alert in sight.alerts:
        about = labelled.get(alert.stream_id) or {"stream": alert.stream_id, "peer_group": alert.peer_group}
        own = {NAME: ALERT, "prediction_type": alert.prediction_type.value, "state": alert.state.value}
        yield Held({**about, **own}, alert.risk_score, to_epoch_ms(alert.updated_at), sight.now_ms)
