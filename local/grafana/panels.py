"""What the dashboards have in common: where a panel asks, how large it is, and gaps where nothing was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    Row,
    TextBoxVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.units import Number

from iops import contract

TAG: Final = "iops-dashboard"
THIRD: Final = 8  # columns of Grafana's grid, which has 24
HALF: Final = 12
WHOLE: Final = 24
HEIGHT: Final = 8
STAT_HEIGHT: Final = 4
OWN_PAGES: Final = TextBoxVariable("iops").label("Own pages at").default_value("http://127.0.0.1:8080")
RISK_STEPS: Final = (
    "Written hourly, and when it moves by 5. Of more than 200 streams only what it is since the last scoring."
)
STREAM_PAGE: Final = "${iops:raw}/ui/streams/"

Panel = Builder[dashboard.Panel]


def named(name: str, title: str, description: str, *, kind: str, source: str) -> Dashboard:
    """An empty dashboard at /d/iops-<name>, which leads to the others.

    What it asks is chosen on the page among the data sources of `kind`, so that it fits into any Grafana; until then
    it is the one whose uid is `source`.
    """
    choice = DatasourceVariable("source").label("Data source").type(kind)
    others = DashboardLink("IOPS Dashboard").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG])
    return (
        Dashboard(f"IOPS Dashboard: {title}")
        .uid(f"iops-{name}")
        .description(description)
        .tags([TAG])
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(choice.current(dashboard.VariableOption(text=source, value=source)))
        .link(others.as_dropdown(as_dropdown=True).keep_time(keep_time=True))
    )


def chosen(kind: str) -> common.DataSourceRef:
    """The data source that was chosen."""
    return common.DataSourceRef(kind, "${source}")


PROMETHEUS: Final = chosen("prometheus")


def laid_out(
    page: Dashboard, sections: Mapping[str, Sequence[Panel]], *, folded: Mapping[str, Sequence[Panel]] | None = None
) -> Dashboard:
    """Panels by the headline above them, from left to right; Grafana tells them apart by a number.

    Those of `folded` stand below, and ask nothing until somebody unfolds them.
    """
    numbers = count(1)
    for headline, panels in sections.items():
        page.with_row(Row(headline).id(next(numbers)))
        for panel in panels:
            page.with_panel(_numbered(panel, numbers))
    for headline, panels in (folded or {}).items():
        row = Row(headline).id(next(numbers))
        for panel in panels:
            row.with_panel(_numbered(panel, numbers))
        page.with_row(row)
    return page


def _numbered(panel: Panel, numbers: Iterator[int]) -> Panel:
    panel.build().id_val = next(numbers)
    return panel


def graph(title: str, unit: str, queries: Mapping[str, str], *, columns: int = HALF) -> Graph:
    """Lines over time; `queries` by the words beside their line, in which `{{label}}` is a label's value."""
    panel = lines(title, unit, columns=columns).datasource(PROMETHEUS)
    for letter, (words, asked) in zip(ascii_uppercase, queries.items(), strict=False):
        panel.with_target(Dataquery().expr(asked).legend_format(words).range().ref_id(letter))
    return panel


def lines(title: str, unit: str, *, columns: int = HALF) -> Graph:
    """Lines over time, before it is said of what. What was not measured is a gap."""
    legend = VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
    return (
        Graph()
        .title(title)
        .unit(unit)
        .min(0)
        .span(columns)
        .height(HEIGHT)
        .line_width(1)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.AUTO)  # between two gaps there is a point and no line
        .span_nulls(span_nulls=False)
        .legend(legend.show_legend(show_legend=True))
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )


def now(title: str, asked: str, *, unit: str = Number, columns: int = 4, nothing: str = "0") -> Stat:
    """One number as it is now; `nothing` is shown where no series answers, as where PromQL counts none."""
    return (
        Stat()
        .title(title)
        .unit(unit)
        .span(columns)
        .height(STAT_HEIGHT)
        .no_value(nothing)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .thresholds(levels())
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .datasource(PROMETHEUS)
        .with_target(Dataquery().expr(asked).instant().ref_id("A"))
    )


def levels(*steps: tuple[float, str]) -> ThresholdsConfig:
    """Green, and from each value on its colour; without any Grafana paints red what is over 80."""
    marks = [dashboard.Threshold(color="green")]
    marks += [dashboard.Threshold(value=value, color=color) for value, color in steps]
    return ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(marks)


def risk_levels() -> ThresholdsConfig:
    """From where it is worth an insight, and from where a page."""
    return levels((contract.INSIGHT_RISK_SCORE, "orange"), (contract.PAGE_RISK_SCORE, "red"))


def risk_graph(title: str, queries: Mapping[str, str]) -> Graph:
    """Risk from 0 to 100 with both levels as lines."""
    style = GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    return graph(title, Number, queries, columns=WHOLE).max(100).thresholds(risk_levels()).thresholds_style(style)
