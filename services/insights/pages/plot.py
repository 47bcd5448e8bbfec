"""What is drawn of one stream: which lines in which plot, and each plot as a picture that needs no script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import median
from typing import Final

from markupsafe import Markup

from services.insights.chart import Chart
from services.insights.pages.render import bytes_s, percent, quantity
from services.insights.steps import Column

WIDTH, HEIGHT = 720, 120
HEADROOM: Final = 1.05
FAR: Final = 4.0  # what lies higher than so many times all else would press that flat: it leaves the plot


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what people call it, its column, and the class that says its colour and dashes."""

    label: str
    channel: str
    style: str = "main"
    is_largest: bool = False  # of the chart's `maxima`


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines of one unit."""

    name: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    usual: str = ""  # the channel of the baseline and of the peers' band


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot as a page shows it before a script does."""

    plot: Plot
    svg: str
    summary: str
    top: str  # the value at its upper edge


PLOTS: Final = (
    Plot(
        "iops",
        "IOPS",
        "IO/s",
        (Line("together", "iops"), Line("reads", "read_iops", "first"), Line("writes", "write_iops", "second")),
        usual="iops",
    ),
    Plot(
        "latency",
        "Latency",
        "ms",
        (
            Line("slowest sample", "await_ms", "largest", is_largest=True),
            Line("mean", "await_ms"),
            Line("reads", "read_await_ms", "first"),
            Line("writes", "write_await_ms", "second"),
            Line("95th percentile", "latency_p95_ms", "third"),
            Line("99th percentile", "latency_p99_ms", "fourth"),
        ),
        usual="await_ms",
    ),
    Plot(
        "queue",
        "Queue depth",
        "requests",
        (Line("deepest sample", "queue_depth", "largest", is_largest=True), Line("mean", "queue_depth")),
        usual="queue_depth",
    ),
    Plot(
        "busy",
        "Utilisation",
        "ratio",
        (Line("busiest sample", "utilization_ratio", "largest", is_largest=True), Line("mean", "utilization_ratio")),
        usual="utilization_ratio",
    ),
    Plot(
        "throughput",
        "Throughput",
        "B/s",
        (
            Line("together", "bytes_s"),
            Line("reads", "read_bytes_s", "first"),
            Line("writes", "write_bytes_s", "second"),
        ),
        usual="bytes_s",
    ),
    Plot("risk", "Risk", "", (Line("risk", "risk"),)),
)
RISK_MARKS: Final = (60.0, 80.0)
FORMATS: Final[dict[str, Callable[[float], str]]] = {"B/s": bytes_s, "ratio": percent}


def pictures(chart: Chart, plots: Sequence[Plot] = PLOTS) -> list[Picture]:
    """Of every plot, in the page's order."""
    return [_picture(plot, chart) for plot in plots]


def chart_data(chart: Chart, plots: Sequence[Plot] = PLOTS) -> str:
    """For the script, which would else ask for the same again; no `<` in it can end its element."""
    lines = json.dumps([asdict(plot) for plot in plots], separators=(",", ":"))
    data = f'{{"chart":{chart.model_dump_json(by_alias=True)},"plots":{lines}}}'
    return Markup(data.replace("<", "\\u003c"))  # noqa: S704 - escaped just here


def column_of(line: Line, chart: Chart) -> Column:
    """A line's values, one a step."""
    if line.channel == "risk":
        return risk_column(chart)
    return (chart.maxima if line.is_largest else chart.series)[line.channel]


def risk_column(chart: Chart) -> Column:
    """The highest risk of each step; null where nobody knows."""
    column: Column = []
    place, current = 0, None
    for at in chart.at:
        highest = current
        while place < len(chart.risk) and chart.risk[place][0] < at + chart.step_s:
            current = chart.risk[place][1]
            known = [value for value in (highest, current) if value is not None]
            highest = max(known, default=None)
            place += 1
        column.append(highest)
    return column


def shown(value: float, unit: str) -> str:
    """
    >>> shown(0.5, "ratio"), shown(1.25, "ms"), shown(83.0, "")
    ('50 %', '1.25 ms', '83')
    """
    return FORMATS[unit](value) if unit in FORMATS else quantity(value, unit)


def summary_of(plot: Plot, chart: Chart) -> str:
    """What the main line says, in words; and the largest sample where its means do not show it."""
    column = column_of(next(line for line in plot.lines if line.style == "main"), chart)
    said = column_summary(column, plot.unit)
    for line in plot.lines:
        largest = _highest([column_of(line, chart)]) if line.is_largest else 0.0
        said += f"; {line.label} {shown(largest, plot.unit)}" if largest > _highest([column]) else ""
    return said


def column_summary(column: Column, unit: str) -> str:
    """
    >>> column_summary([1.0, None, 3.0, 2.0], "ms")
    'lowest 1 ms, median 2 ms, highest 3 ms, newest 2 ms'
    """
    known = [value for value in column if value is not None]
    if not known:
        return "no samples in this range"
    facts = {"lowest": min(known), "median": median(known), "highest": max(known), "newest": known[-1]}
    return ", ".join(f"{name} {shown(value, unit)}" for name, value in facts.items())


def _picture(plot: Plot, chart: Chart) -> Picture:
    summary = summary_of(plot, chart)
    top = _top(plot, chart)
    svg = Markup('<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}: {}">{}</svg>').format(
        WIDTH, HEIGHT, plot.title, summary, Markup("").join(_shapes(plot, chart, top))
    )
    return Picture(plot, svg, summary, shown(top, plot.unit))


def _shapes(plot: Plot, chart: Chart, top: float) -> Iterator[str]:
    """From back to front."""
    span = chart.to - chart.from_
    for episode in chart.episodes:
        left, right = ((at - chart.from_) / span * WIDTH for at in (episode.from_, episode.to or chart.to))
        yield _shape("rect", "episode", x=left, y=0, width=max(1.0, right - left), height=HEIGHT)
    if chart.peers is not None and plot.usual in chart.peers.low:
        yield _band(chart.peers.low[plot.usual], chart.peers.high[plot.usual], top)
    if chart.baseline is not None and plot.usual in chart.baseline:
        usual = chart.baseline[plot.usual]
        low, high = _y(usual.p10, top), _y(usual.p90, top)
        yield _shape("rect", "usual", x=0, y=high, width=WIDTH, height=max(1.0, low - high))
    for mark in _marks(plot, chart):
        yield _shape("line", "limit", x1=0, y1=_y(mark, top), x2=WIDTH, y2=_y(mark, top))
    for line in plot.lines:
        column = column_of(line, chart)
        if any(value is not None for value in column):
            yield Markup('<path class="{}" d="{}"/>').format(line.style, _path(column, top))


def _marks(plot: Plot, chart: Chart) -> tuple[float, ...]:
    if plot.name == "risk":
        return RISK_MARKS
    return (chart.provisioned_iops,) if plot.name == "iops" and chart.provisioned_iops else ()


def _top(plot: Plot, chart: Chart) -> float:
    if plot.name == "risk":
        return 100.0
    if plot.name == "busy":
        return 1.0
    columns = [column_of(line, chart) for line in plot.lines if not line.is_largest]
    if chart.peers is not None and plot.usual in chart.peers.median:
        columns.append(chart.peers.median[plot.usual])
    highest = _highest(columns)
    if chart.baseline is not None and plot.usual in chart.baseline:
        highest = max(highest, chart.baseline[plot.usual].p90)
    near = [mark for mark in _marks(plot, chart) if mark <= FAR * highest]
    spike = min(_highest(column_of(line, chart) for line in plot.lines if line.is_largest), FAR * highest)
    return HEADROOM * max([highest, spike, *near]) or 1.0


def _highest(columns: Iterable[Column]) -> float:
    return max((value for column in columns for value in column if value is not None), default=0.0)


def _path(column: Column, top: float) -> str:
    """Unbroken from gap to gap; a value alone is a dot."""
    parts = []
    for run in _runs(column):
        points = _points(column, run, top)
        parts.append("M" + "L".join(points) + ("h.1" if len(points) == 1 else ""))
    return "".join(parts)


def _band(low: Column, high: Column, top: float) -> str:
    edges = ([*_points(high, run, top), *reversed(_points(low, run, top))] for run in _runs(low))
    return Markup('<path class="peers" d="{}"/>').format("".join(f"M{'L'.join(points)}z" for points in edges))


def _runs(column: Column) -> Iterator[range]:
    """Where values follow one another."""
    begin = None
    for index, value in enumerate([*column, None]):
        if value is not None and begin is None:
            begin = index
        elif value is None and begin is not None:
            yield range(begin, index)
            begin = None


def _points(column: Column, run: range, top: float) -> list[str]:
    places = _places(len(column))
    return [f"{places[index]} {HEIGHT * (1 - min((column[index] or 0.0) / top, 1.0)):.4g}" for index in run]


@lru_cache(maxsize=16)
def _places(count: int) -> Sequence[str]:
    """Where each of so many steps is drawn; a chart has at most 1,001."""
    width = WIDTH / count
    return [f"{(index + 0.5) * width:.4g}" for index in range(count)]


def _y(value: float, top: float) -> float:
    return HEIGHT * (1 - max(0.0, min(1.0, value / top)))


def _shape(kind: str, style: str, **numbers: float) -> str:
    given: Sequence[str] = [f'{name}="{value:.4g}"' for name, value in numbers.items()]
    return Markup(f'<{kind} class="{style}" {" ".join(given)}/>')  # noqa: S704 - our own words and numbers
