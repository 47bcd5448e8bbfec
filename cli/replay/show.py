"""The outcome of a replay as tables or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cli.replay.compare import Difference
from cli.replay.desk import Fired
from cli.replay.options import Span
from cli.replay.real import Real
from cli.screen import instant, number, plain, print_json, print_line, print_table
from cli.server import Row


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Everything that a replay found."""

    span: Span
    streams: int
    scored: int  # streams scored, each time anew
    insights: int
    pages: int
    reminders: int
    fired: Sequence[Fired]
    difference: Difference

    @property
    def pages_per_stream_day(self) -> float:
        """What page budgets are counted in."""
        return self.pages / max(self.streams * (self.span.to_at - self.span.from_at).total_seconds() / 86_400, 1e-9)


def show(outcomes: Outcomes, *, as_json: bool) -> None:
    """On standard output."""
    if as_json:
        print_json(_to_row(outcomes))
        return
    titles = ("opened (UTC)", "resolved (UTC)", "stream", "finding", "peak>", "people")
    print_table(titles, [_cells(fired) for fired in outcomes.fired])
    print_line(
        f"{_count(len(outcomes.fired), 'episode')}, {_count(outcomes.pages, 'page')} "
        f"({number(outcomes.pages_per_stream_day)} a stream-day), {_count(outcomes.reminders, 'reminder')}, "
        f"{_count(outcomes.insights, 'insight')}; {_count(outcomes.scored, 'scoring')} of "
        f"{_count(outcomes.streams, 'stream')}"
    )
    difference = outcomes.difference
    print_line(
        f"Beside what fired in life: {len(difference.both)} in both, {len(difference.only_replay)} only in the replay, "
        f"{len(difference.only_life)} only in life"
    )
    rows = [*map(_both_cells, difference.both)]
    rows += [
        ["only in the replay", *_names(mine), _at(mine.opened_at), "-", why] for mine, why in difference.only_replay
    ]
    rows += [["only in life", *_names(theirs), "-", _at(theirs.opened_at), why] for theirs, why in difference.only_life]
    if rows:
        print_table(("where", "stream", "finding", "opened here", "opened in life", "why"), rows)


def _cells(fired: Fired) -> list[str]:
    people = "nobody is told" if fired.told_by is None else "page of its own"
    if fired.told_by not in (None, fired.stream_id):
        people = f"joined that of {fired.told_by}"
    again = f", reopened {_count(fired.reopened, 'time')}" if fired.reopened else ""
    end = "still fires" if fired.resolved_at is None else _at(fired.resolved_at)
    return [_at(fired.opened_at), end, *_names(fired), number(fired.peak_risk_score), people + again]


def _both_cells(pair: tuple[Fired, Real]) -> list[str]:
    mine, theirs = pair
    after_s = (mine.opened_at - theirs.opened_at).total_seconds()
    when = (
        "at the same time" if abs(after_s) < 1 else f"{abs(after_s):.0f} s {'later' if after_s > 0 else 'earlier'} here"
    )
    return ["in both", *_names(mine), _at(mine.opened_at), _at(theirs.opened_at), ", ".join([when, *theirs.deeds])]


def _count(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def _names(episode: Fired | Real) -> list[str]:
    return [plain(episode.stream_id), episode.prediction_type]


def _at(at: datetime) -> str:
    return instant(at.isoformat())


def _to_row(outcomes: Outcomes) -> Row:
    difference = outcomes.difference
    return {
        "from": outcomes.span.from_at.isoformat(),
        "to": outcomes.span.to_at.isoformat(),
        "streams": outcomes.streams,
        "scored": outcomes.scored,
        "insights": outcomes.insights,
        "episodes": [_fired_row(each) for each in outcomes.fired],
        "pages": outcomes.pages,
        "pages_per_stream_day": round(outcomes.pages_per_stream_day, 4),
        "reminders": outcomes.reminders,
        "in_both": [
            _fired_row(mine)
            | {"opened_in_life_at": theirs.opened_at.isoformat(), "deeds": theirs.deeds}
            | {"later_s": round((mine.opened_at - theirs.opened_at).total_seconds(), 3)}
            for mine, theirs in difference.both
        ],
        "only_in_replay": [_fired_row(mine) | {"why": why or None} for mine, why in difference.only_replay],
        "only_in_life": [_real_row(theirs) | {"why": why or None} for theirs, why in difference.only_life],
    }


def _fired_row(fired: Fired) -> Row:
    return _real_row(fired) | {"reopened": fired.reopened, "told_by": fired.told_by}


def _real_row(episode: Fired | Real) -> Row:
    return {
        "stream_id": episode.stream_id,
        "prediction_type": episode.prediction_type,
        "opened_at": episode.opened_at.isoformat(),
        "resolved_at": episode.resolved_at and episode.resolved_at.isoformat(),
        "peak_risk_score": episode.peak_risk_score,
    }
