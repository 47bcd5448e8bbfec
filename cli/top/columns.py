"""The columns of `iops top`: what a cell says, how wide it is, and which go first where the terminal is narrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from cli.screen import plain
from cli.top.rows import StreamRow
from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE
from iops.insight import cut_risk

GAP: Final = 1  # between two columns
BAR_CELLS: Final = 8
SPARK_CELLS: Final = 30  # two minutes each
LEVELS: Final = "▁▂▃▄▅▆▇█"
HIGH, ELEVATED, FAINT = "bold red", "yellow", "dim"


@dataclass(frozen=True, slots=True)
class Column:
    """`least` and `most` are widths in cells; what is longer is cut."""

    title: str
    least: int
    most: int
    cell: Callable[[StreamRow], Text]
    is_number: bool = False

    def wanted(self, streams: Sequence[StreamRow]) -> int:
        """The width that shows everything, as far as that is allowed."""
        widest = max((self.cell(stream).cell_len for stream in streams), default=0)
        return min(self.most, max(self.least, widest))


def fit(streams: Sequence[StreamRow], *, width: int) -> list[tuple[Column, int]]:
    """The columns that have room, each with its width; what room is left goes to the names, first come first served."""
    shown = list(COLUMNS)
    for column in DROPPED_FIRST:
        if _least(shown) <= width:
            break
        shown.remove(column)
    rest = max(0, width - _least(shown))
    widths = {column.title: column.least for column in shown}
    for column in (each for each in GROWS_FIRST if each in shown):
        more = min(rest, column.wanted(streams) - column.least)
        widths[column.title] += more
        rest -= more
    return [(column, widths[column.title]) for column in shown]


def spark(values: Sequence[float | None], *, cells: int) -> str:
    """Values as blocks, from 0 to their largest; each cell is the largest of its part, and a gap where it has none.

    >>> spark([1.0, None, 4.0, 8.0], cells=4), spark([0.0, 8.0, None, None], cells=2), spark([], cells=2)
    ('▂ ▅█', '█ ', '  ')
    """
    top = max((value for value in values if value is not None), default=0.0)
    parts = [values[len(values) * cell // cells : len(values) * (cell + 1) // cells] for cell in range(cells)]
    known = [[value for value in part if value is not None] for part in parts]
    return "".join(_block(max(part), top) if part else " " for part in known)


def cut_middle(text: str, cells: int) -> str:
    """A name with its middle left out: its end tells the disks of a host apart.

    >>> cut_middle("web-1.eu-west.example:nvme0n1", 16), cut_middle("web-1:sda", 16)
    ('web-1.e…:nvme0n1', 'web-1:sda')
    """
    if len(text) <= cells:
        return text
    end = cells // 2
    return f"{text[: cells - end - 1]}…{text[len(text) - end :]}"


def age(age_s: float | None) -> str:
    """How long ago, short.

    >>> [age(age_s) for age_s in (-3.0, 59.9, 60.0, 7200.0, 200_000.0, None)]
    ['0 s', '59 s', '1 min', '2 h', '2 d', '-']
    """
    if age_s is None:
        return "-"
    for unit, unit_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if age_s >= unit_s:
            return f"{int(age_s // unit_s)} {unit}"
    return f"{max(0, int(age_s))} s"


def style_of(risk_score: float | None) -> str:
    """The colour of a risk; the number says the same."""
    if risk_score is None or risk_score < INSIGHT_RISK_SCORE:
        return ""
    return HIGH if risk_score >= PAGE_RISK_SCORE else ELEVATED


def _block(value: float, top: float) -> str:
    return LEVELS[min(len(LEVELS) - 1, max(0, int(value / top * len(LEVELS))))] if top > 0 else LEVELS[0]


def _least(columns: Sequence[Column]) -> int:
    return sum(column.least for column in columns) + GAP * (len(columns) - 1)


def _risk(stream: StreamRow) -> Text:
    return Text("-" if stream.risk_score is None else f"{cut_risk(stream.risk_score)}", style_of(stream.risk_score))


def _bar(stream: StreamRow) -> Text:
    full = round(min(100.0, max(0.0, stream.risk_score or 0.0)) / 100 * BAR_CELLS)
    return Text("█" * full, style_of(stream.risk_score)).append("·" * (BAR_CELLS - full), FAINT)


def _finding(stream: StreamRow) -> Text:
    return Text(stream.finding or "-", style_of(stream.risk_score) if stream.finding else FAINT)


def _state(stream: StreamRow) -> Text:
    return Text(stream.state or "-", "bold" if stream.state else FAINT)


def _seen(stream: StreamRow) -> Text:
    return Text(age(stream.age_s) if stream.is_read else "...")


def _hour(stream: StreamRow) -> Text:
    return Text(spark(stream.spark, cells=SPARK_CELLS))


def _number(value: Callable[[StreamRow], float | None]) -> Callable[[StreamRow], Text]:
    def cell(stream: StreamRow) -> Text:
        return Text(plain(value(stream)) if stream.is_read else "...")

    return cell


def _megabytes_s(stream: StreamRow) -> float | None:
    return None if stream.bytes_s is None else stream.bytes_s / 1e6


def _busy(stream: StreamRow) -> Text:
    ratio = stream.utilization_ratio
    return Text("..." if not stream.is_read else "-" if ratio is None else f"{ratio:.0%}")


RISK: Final = Column("risk", 4, 4, _risk, is_number=True)
BAR: Final = Column("of 100", BAR_CELLS, BAR_CELLS, _bar)
FINDING: Final = Column("finding", 13, 23, _finding)
STREAM: Final = Column("stream", 16, 48, lambda stream: Text(stream.stream_id))
GROUP: Final = Column("peer group", 10, 24, lambda stream: Text(stream.peer_group))
IOPS: Final = Column("IOPS", 7, 7, _number(lambda stream: stream.iops), is_number=True)
MEGABYTES: Final = Column("MB/s", 6, 6, _number(_megabytes_s), is_number=True)
AWAIT: Final = Column("await ms", 8, 8, _number(lambda stream: stream.await_ms), is_number=True)
QUEUE: Final = Column("queue", 6, 6, _number(lambda stream: stream.queue_depth), is_number=True)
BUSY: Final = Column("busy", 4, 4, _busy, is_number=True)
HOUR: Final = Column("await, last hour", SPARK_CELLS, SPARK_CELLS, _hour)
SEEN: Final = Column("seen", 6, 6, _seen, is_number=True)
STATE: Final = Column("state", 12, 28, _state)

COLUMNS: Final = (RISK, BAR, FINDING, STREAM, GROUP, IOPS, MEGABYTES, AWAIT, QUEUE, BUSY, HOUR, SEEN, STATE)
# The help of `iops top` says this order. Risk, finding, stream and state always stay.
DROPPED_FIRST: Final = (GROUP, BAR, MEGABYTES, QUEUE, HOUR, BUSY, IOPS, SEEN, AWAIT)
GROWS_FIRST: Final = (STREAM, STATE, FINDING, GROUP)
