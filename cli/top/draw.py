"""What `iops top` shows: a head, the streams that fit, and how to go on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli.top.columns import GAP, HIGH, STREAM, Column, age, cut_middle, fit
from cli.top.fleet import Look
from cli.top.rows import StreamRow

BETWEEN: Final = "  "  # two parts of the head
STALE_AFTER_S: Final = 10.0  # the server reads every 2 s what has changed
TITLES_AND_FOOT: Final = 2  # lines
KEYS: Final = "j/k or arrows: page   q: end"


def draw(look: Look, now: datetime, *, width: int, height: int | None, why_stale: str | None = None) -> Group:
    """At most `height` lines of at most `width` cells; None: as many as it takes, and no keys are offered.

    `why_stale` says why there is nothing newer.
    """
    head = _head(look, now, width=width, why_stale=why_stale)
    if height is None:
        return Group(*head, _table(look, width=width, rows=len(look.streams)))
    rows = max(1, height - len(head) - TITLES_AND_FOOT)
    return Group(*head, _table(look, width=width, rows=rows), _one_line(_foot(look), width))


def rows_that_fit(look: Look | None, *, width: int, height: int) -> int:
    """How many streams a terminal has room for, before the first look about as many."""
    head = 2 if look is None else len(_head(look, look.heard_at, width=width, why_stale=None))
    return max(1, height - head - TITLES_AND_FOOT)


def _head(look: Look, now: datetime, *, width: int, why_stale: str | None) -> list[Text]:
    """The system in words, then how old that is."""
    age_s = (now - look.heard_at).total_seconds()
    if why_stale is None and age_s <= STALE_AFTER_S:
        return _lines((*look.strip, f"updated {age(age_s)} ago"), width)
    why = why_stale or "the server itself has read nothing newer"
    said = f"STALE for {age(age_s)}, since {look.heard_at:%H:%M:%S} UTC: {why}"
    return [*_lines(look.strip, width), _one_line(Text(said, HIGH), width)]


def _table(look: Look, *, width: int, rows: int) -> Table | Text:
    streams = look.streams[:rows]
    if not streams:
        return Text(look.why_empty)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    shown = fit(streams, width=width)
    for column, cells in shown:
        table.add_column(
            Text(column.title),
            justify="right" if column.is_number else "left",
            width=cells,
            no_wrap=True,
            overflow="ellipsis",
        )
    for stream in streams:
        table.add_row(*(_cell(column, stream, cells) for column, cells in shown))
    return table


def _cell(column: Column, stream: StreamRow, cells: int) -> Text:
    text = column.cell(stream)
    return Text(cut_middle(text.plain, cells)) if column is STREAM else text


def _foot(look: Look) -> Text:
    return Text(f"page {look.page} of {look.pages}, {look.total:,} streams, the worst first   {KEYS}", "dim")


def _lines(parts: Iterable[str], width: int) -> list[Text]:
    """The parts on as few lines as their width allows."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(BETWEEN) + len(part) <= width:
            lines[-1] += BETWEEN + part
        else:
            lines.append(part)
    return [_one_line(Text(line, "bold"), width) for line in lines]


def _one_line(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text
