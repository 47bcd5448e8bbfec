"""All streams from the read API: how many are in trouble, which are worst, and where the load is."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.bargauge import Panel as Bars
from grafana_foundation_sdk.builders.common import ReduceDataOptions, TableSortByFieldState
from grafana_foundation_sdk.builders.dashboard import CustomVariable, Dashboard, DashboardLink, QueryVariable
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.units import (
    BytesPerSecondSI,
    IOOpsPerSecond,
    Milliseconds,
    Number,
    PercentUnit,
    Short,
)

from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE
from local.grafana.panels import (
    HEIGHT,
    OWN_PAGES,
    PROMETHEUS,
    RISK_STEPS,
    STREAM_PAGE,
    THIRD,
    Panel,
    graph,
    laid_out,
    levels,
    named,
    now,
    risk_graph,
    risk_levels,
)

CHOSEN: Final = '{peer_group=~"$peer_group"}'
RISK: Final = f"iops_stream_risk_score{CHOSEN}"
OPEN_ALERTS: Final = 'iops_stream_alert{peer_group=~"$peer_group", state!="resolved"}'
LISTED: Final = 20
DRAWN: Final = 10  # more lines cannot be told apart


def make() -> Dashboard:
    """The whole dashboard."""
    about = "Every stream by its risk, from the read API of the insights service."
    page = named("fleet", "fleet", about, kind="prometheus", source="iops").time("now-1h", "now").refresh("1m")
    for variable in (_peer_group(), _least_risk(), OWN_PAGES):
        page.with_variable(variable)
    in_memory = {"Now": [*_numbers(), _worst(), _alerts_by_kind()], "Risk": [_risk_of_worst()]}
    return laid_out(page, in_memory, folded={"Load by peer group: reads the samples of each, at most 200": _load()})


def _peer_group() -> QueryVariable:
    return (
        QueryVariable("peer_group")
        .label("Peer group")
        .datasource(PROMETHEUS)
        .query("label_values(iops_stream_risk_score, peer_group)")
        .refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(dashboard.VariableSort.NATURAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".+")
        .current(dashboard.VariableOption(text="All", value="$__all"))
    )


def _least_risk() -> CustomVariable:
    choice = CustomVariable("min_risk").label("Risk at least").values(f"0,20,40,{INSIGHT_RISK_SCORE},{PAGE_RISK_SCORE}")
    return choice.current(dashboard.VariableOption(text="0", value="0"))


def _numbers() -> list[Panel]:
    worth_a_page, worth_an_insight = f"count({RISK} >= {PAGE_RISK_SCORE})", f"count({RISK} >= {INSIGHT_RISK_SCORE})"
    return [
        now("Streams", f"count({RISK})"),
        now(f"Risk {PAGE_RISK_SCORE} or more", worth_a_page).thresholds(levels((1, "red"))),
        now(f"Risk {INSIGHT_RISK_SCORE} or more", worth_an_insight).thresholds(levels((1, "orange"))),
        now("Alerts not resolved", f"count({OPEN_ALERTS})").thresholds(levels((1, "red"))),
        now("Highest risk", f"max({RISK})", nothing="-").thresholds(risk_levels()),
        now("Warming up", f"sum(iops_stream_warming_up{CHOSEN})"),
    ]


def _worst() -> Table:
    """Only what every stream has is a column: the names of its own labels differ."""
    query = Dataquery().expr(f"topk({LISTED}, {RISK} >= $min_risk)").instant().format(PromQueryFormat.TABLE).ref_id("A")
    names = ("stream", "peer_group", "Value")
    order = {name: place for place, name in enumerate(names)}
    headers = {"stream": "Stream", "peer_group": "Peer group", "Value": "Risk"}
    gauge = {"type": "gauge", "mode": "basic"}
    links = [
        {"title": "Its own page", "url": STREAM_PAGE + "${__data.fields.stream}"},
        {"title": "Its dashboard", "url": "/d/iops-stream?var-stream=${__data.fields.stream}&${__url_time_range}"},
    ]
    return (
        Table()
        .title(f"The {LISTED} worst streams")
        .datasource(PROMETHEUS)
        .unit(Number)
        .min(0)
        .max(100)
        .span(2 * THIRD)
        .height(2 * HEIGHT)
        .no_value("No stream has a risk as high")
        .thresholds(risk_levels())
        .with_target(query)
        .with_transformation(_transformation("filterFieldsByName", include={"names": list(names)}))
        .with_transformation(_transformation("organize", indexByName=order, renameByName=headers))
        .sort_by([TableSortByFieldState().display_name("Risk").desc(desc=True)])
        .override_by_name("Value", [dashboard.DynamicConfigValue("custom.cellOptions", gauge)])
        .override_by_name("stream", [dashboard.DynamicConfigValue("links", links)])
    )


def _transformation(name: str, **options: object) -> dashboard.DataTransformerConfig:
    return dashboard.DataTransformerConfig(name, options=options)


def _alerts_by_kind() -> Bars:
    query = Dataquery().expr(f"count by (prediction_type) ({OPEN_ALERTS})").legend_format("{{prediction_type}}")
    return (
        Bars()
        .title("Alerts not resolved, by kind")
        .datasource(PROMETHEUS)
        .unit(Number)
        .min(0)
        .span(THIRD)
        .height(2 * HEIGHT)
        .no_value("None")
        .thresholds(levels())
        .orientation(common.VizOrientation.HORIZONTAL)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(query.instant().ref_id("A"))
    )


def _risk_of_worst() -> Panel:
    panel = risk_graph(f"Risk of the {DRAWN} worst", {"{{stream}}": f"topk({DRAWN}, {RISK} >= $min_risk)"})
    own_page = DashboardLink("Its own page").url(STREAM_PAGE + "${__field.labels.stream}")
    return panel.description(RISK_STEPS).data_links([own_page])


def _load() -> list[Panel]:
    def worst(title: str, unit: str, channel: str) -> Graph:
        return graph(title, unit, {"{{peer_group}}": _of_groups("max", "max_over_time", channel)}, columns=THIRD)

    def all_of(title: str, unit: str, channel: str) -> Graph:
        return graph(title, unit, {"{{peer_group}}": _of_groups("sum", "avg_over_time", channel)}, columns=THIRD)

    return [
        worst("Read latency of the slowest disk", Milliseconds, "read_await_ms"),
        worst("Write latency of the slowest disk", Milliseconds, "write_await_ms"),
        worst("Longest queue of a disk", Short, "queue_depth"),
        all_of("Reads of all disks", IOOpsPerSecond, "read_iops"),
        all_of("Writes of all disks", IOOpsPerSecond, "write_iops"),
        worst("Utilisation of the busiest disk", PercentUnit, "utilization_ratio").max(1),
        all_of("Bytes read of all disks", BytesPerSecondSI, "read_bytes_s"),
        all_of("Bytes written of all disks", BytesPerSecondSI, "write_bytes_s"),
        worst("I/O errors of a disk, most in an interval", Short, "io_errors"),
    ]


def _of_groups(aggregation: str, over_time: str, channel: str) -> str:
    """The groups with most; between two samples there is always one to see."""
    series = f"iops_stream_{channel}{CHOSEN}[$__rate_interval]"
    return f"topk({DRAWN}, {aggregation} by (peer_group) ({over_time}({series})))"
