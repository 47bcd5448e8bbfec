"""How what would have fired differs from what did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cli.replay.desk import Fired
from cli.replay.options import Span
from cli.replay.real import Real
from iops.items import Stream

SLACK: Final = timedelta(minutes=5)  # episodes so far apart are still told of one trouble: agents send once a minute


@dataclass(slots=True)
class Difference:
    """Each episode of both in one of the three."""

    both: list[tuple[Fired, Real]] = field(default_factory=list)
    only_replay: list[tuple[Fired, str]] = field(default_factory=list)  # with why, where that is known
    only_life: list[tuple[Real, str]] = field(default_factory=list)


def compare(fired: Sequence[Fired], real: Sequence[Real], span: Span, streams: Iterable[Stream]) -> Difference:
    """Both oldest first; episodes of one stream and type that overlap are the same."""
    quiet = {each.stream_id: each.quiet_until for each in streams}
    difference, rest = Difference(), list(real)
    for mine in fired:
        theirs = next((each for each in rest if _is_same(mine, each, span)), None)
        if theirs is not None:
            rest.remove(theirs)
            difference.both.append((mine, theirs))
        else:
            until = quiet.get(mine.stream_id, {}).get(mine.prediction_type)
            dismissed = "" if until is None else f"dismissed until {until:%Y-%m-%d %H:%M}"
            difference.only_replay.append((mine, _other_name(mine, real, span, "in life") or dismissed))
    for theirs in rest:
        before = "opened before the span" if theirs.opened_at < span.from_at else ""
        why = (_other_name(theirs, fired, span, "here"), before, *theirs.deeds)
        difference.only_life.append((theirs, ", ".join(filter(None, why))))
    return difference


def _is_same(mine: Fired, theirs: Real, span: Span) -> bool:
    return mine.prediction_type is theirs.prediction_type and _overlap(mine, theirs, span)


def _overlap(one: Fired | Real, other: Fired | Real, span: Span) -> bool:
    if one.stream_id != other.stream_id:
        return False
    return max(one.opened_at, other.opened_at) <= min(_end(one, span), _end(other, span)) + SLACK


def _end(episode: Fired | Real, span: Span) -> datetime:
    return episode.resolved_at or span.to_at


def _other_name(episode: Fired | Real, others: Iterable[Fired | Real], span: Span, where: str) -> str:
    """The same trouble under another name."""
    names = {each.prediction_type for each in others if _overlap(episode, each, span)} - {episode.prediction_type}
    return f"{where} as {', '.join(sorted(names))}" if names else ""
