"""One stream from the read API: every channel with its unit, and the risk below on the same time axis."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, QueryVariable
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.units import (
    BytesPerSecondSI,
    IOOpsPerSecond,
    Milliseconds,
    PercentUnit,
    Seconds,
    Short,
)

from local.grafana.panels import (
    OWN_PAGES,
    PROMETHEUS,
    RISK_STEPS,
    STREAM_PAGE,
    Panel,
    graph,
    laid_out,
    levels,
    named,
    now,
    risk_graph,
    risk_levels,
)

CHOSEN: Final = '{stream="$stream"}'
RISK: Final = f"iops_stream_risk_score{CHOSEN}"


def make() -> Dashboard:
    """The whole dashboard."""
    about = "One stream: what it does and what is made of it, from the read API of the insights service."
    page = named("stream", "stream", about, kind="prometheus", source="iops").time("now-3h", "now").refresh("30s")
    own_page = DashboardLink("Its own page").type(dashboard.DashboardLinkType.LINK).url(STREAM_PAGE + "${stream}")
    page.with_variable(_stream()).with_variable(OWN_PAGES).link(own_page)
    risk = risk_graph("Risk", {"risk": RISK}).description(RISK_STEPS).data_links([own_page])
    return laid_out(page, {"Now": _numbers(), "What it does": _channels(), "Risk": [risk]})


def _stream() -> QueryVariable:
    return (
        QueryVariable("stream")
        .label("Stream")
        .datasource(PROMETHEUS)
        .query("label_values(iops_stream_risk_score, stream)")
        .refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(dashboard.VariableSort.NATURAL_ASC)
    )


def _numbers() -> list[Panel]:
    open_alerts = 'count(iops_stream_alert{stream="$stream", state!="resolved"})'
    says = {"0": dashboard.ValueMappingResult(text="no"), "1": dashboard.ValueMappingResult(text="yes", color="orange")}
    warming_up = now("Warming up", f"max(iops_stream_warming_up{CHOSEN})", columns=6, nothing="-")
    return [
        now("Risk", f"max({RISK})", columns=6, nothing="-").thresholds(risk_levels()),
        now("Alerts not resolved", open_alerts, columns=6).thresholds(levels((1, "red"))),
        warming_up.mappings([dashboard.ValueMap(options=says)]),
        now("Seconds between samples", f"max(iops_stream_interval_s{CHOSEN})", unit=Seconds, columns=6, nothing="-"),
    ]


def _channels() -> list[Panel]:
    latencies = {
        "read": highest("read_await_ms"),
        "write": highest("write_await_ms"),
        "95th percentile": highest("latency_p95_ms"),
        "99th percentile": highest("latency_p99_ms"),
    }
    waiting = {"queue": highest("queue_depth"), "in flight": highest("in_flight")}
    return [
        graph("Operations", IOOpsPerSecond, {"read": mean("read_iops"), "write": mean("write_iops")}),
        graph("Throughput", BytesPerSecondSI, {"read": mean("read_bytes_s"), "write": mean("write_bytes_s")}),
        graph("Latency, highest", Milliseconds, latencies).description(
            "Means of an interval; percentiles only where the sender measures them."
        ),
        graph("Requests waiting, most", Short, waiting),
        graph("Utilisation", PercentUnit, {"busy": mean("utilization_ratio")}).max(1),
        graph("I/O errors, most in an interval", Short, {"errors": highest("io_errors")}),
    ]


def mean(channel: str) -> str:
    """Of the samples since the point before."""
    return f"avg_over_time(iops_stream_{channel}{CHOSEN}[$__rate_interval])"


def highest(channel: str) -> str:
    """Of the samples since the point before, so that a moment is seen in a month."""
    return f"max_over_time(iops_stream_{channel}{CHOSEN}[$__rate_interval])"
