"""Grafana's dashboards are what the generator writes, say what they show, and ask for numbers that exist."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from iops.telemetry import CHANNELS
from local.grafana.__main__ import FOLDER, documents

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = ("fleet", "stream", "services", "aws")
PAGES: Final[dict[str, dict[str, Any]]] = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in NAMES}
METRIC: Final = re.compile(r"\biops_[a-z0-9_]+")
BY: Final = re.compile(r"by \(([^)]*)\) \((?:\w+\()?(iops_[a-z0-9_]+)")
SUFFIXES: Final = {"counter": "_total", "gauge": "", "histogram": "_bucket"}
OF_PROMETHEUS: Final = {"service", "le"}  # labels that are not the services' own


def everything_on(name: str) -> list[dict[str, Any]]:
    """Rows, panels, and what is folded into a row."""
    return [each for panel in PAGES[name]["panels"] for each in (panel, *panel.get("panels", []))]


def panels_of(name: str) -> list[dict[str, Any]]:
    return [panel for panel in everything_on(name) if panel["type"] != "row"]


def asked_by(name: str) -> list[str]:
    return [target["expr"] for panel in panels_of(name) for target in panel["targets"]]


@cache
def told_by_services() -> dict[str, set[str]]:
    """The labels of each metric that the services' code makes, by its name in Prometheus."""
    sources = [path for folder in ("iops", "services") for path in (ROOT / folder).rglob("*.py")]
    calls = [node for path in sources for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return dict(made for call in calls for made in made_by(call))


def made_by(call: ast.Call) -> Iterator[tuple[str, set[str]]]:
    kind = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    texts = [each.value if isinstance(each, ast.Constant) else None for each in call.args]
    name, labels = next(iter(texts), None), texts[2:]  # between them stands what it is
    if kind in SUFFIXES and isinstance(name, str) and name.startswith("iops_"):
        yield f"{name}{SUFFIXES[kind]}", {str(label) for label in labels}


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_dashboard_is_what_the_generator_writes(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == documents()[name], "run `make grafana`"


def test_nothing_else_is_committed_as_a_dashboard() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.json" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_one_to_grafanas_own_types(name: str) -> None:
    register_default_plugins()

    read = Dashboard.from_json(PAGES[name])

    assert json.loads(JSONEncoder().encode(read)) == PAGES[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows_in_which_unit_and_has_its_place(name: str) -> None:
    everything = everything_on(name)
    places = [tuple(each["gridPos"][side] for side in "xywh") for each in everything]

    assert [each["id"] for each in everything] == list(range(1, len(everything) + 1))
    assert len({place[:2] for place in places}) == len(places)
    assert all(x + width <= 24 for x, _, width, _ in places)
    for panel in panels_of(name):
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${source}"


@pytest.mark.parametrize("name", NAMES)
def test_what_was_not_measured_is_a_gap(name: str) -> None:
    graphs = [panel for panel in panels_of(name) if panel["type"] == "timeseries"]

    assert graphs
    assert not any(panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] for panel in graphs)


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_leads_to_the_others_and_uses_only_variables_it_has(name: str) -> None:
    page = PAGES[name]
    own = {variable["name"] for variable in page["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z][a-z_]*)(?=\W)", json.dumps(page["panels"] + page["links"])))

    assert page["tags"] == page["links"][0]["tags"]
    assert used <= own


def test_the_stream_dashboard_shows_every_channel() -> None:
    asked = {metric for query in asked_by("stream") for metric in METRIC.findall(query)}

    assert {f"iops_stream_{channel.name}" for channel in CHANNELS} <= asked


def test_streams_lead_to_their_own_page() -> None:
    links = re.findall(r'"url": "([^"]+)"', json.dumps(PAGES["fleet"]["panels"]) + json.dumps(PAGES["stream"]["links"]))

    assert set(links) == {
        "${iops:raw}/ui/streams/${__data.fields.stream}",
        "${iops:raw}/ui/streams/${__field.labels.stream}",
        "${iops:raw}/ui/streams/${stream}",
        "/d/iops-stream?var-stream=${__data.fields.stream}&${__url_time_range}",
    }


def test_what_reads_the_samples_of_a_whole_fleet_is_folded_away() -> None:
    shown = [panel for panel in PAGES["fleet"]["panels"] if panel["type"] != "row"]
    asked = {metric for panel in shown for target in panel["targets"] for metric in METRIC.findall(target["expr"])}

    assert asked == {"iops_stream_risk_score", "iops_stream_warming_up", "iops_stream_alert"}
    assert len(panels_of("fleet")) == len(shown) + 9


@pytest.mark.parametrize("name", ["fleet", "stream"])
def test_risk_is_marked_at_60_and_80(name: str) -> None:
    (risk,) = [panel for panel in panels_of(name) if panel["type"] == "timeseries" and "Risk" in panel["title"]]

    defaults = risk["fieldConfig"]["defaults"]
    assert [step["value"] for step in defaults["thresholds"]["steps"]] == [None, 60, 80]
    assert (defaults["min"], defaults["max"]) == (0, 100)


@pytest.mark.parametrize("query", asked_by("services"))
def test_services_are_asked_for_numbers_that_they_have(query: str) -> None:
    told = told_by_services()

    assert set(METRIC.findall(query)) <= set(told)
    for labels, metric in BY.findall(query.replace("rate(", "")):
        assert set(labels.split(", ")) <= told[metric] | OF_PROMETHEUS


def test_the_services_dashboard_kept_what_it_showed_before_it_was_generated() -> None:
    asked = {metric for query in asked_by("services") for metric in METRIC.findall(query)}

    assert asked >= {
        "iops_requests_total", "iops_request_seconds_bucket", "iops_rows_stored_total", "iops_store_failures_total",
        "iops_waiting_samples", "iops_streams_scored_total", "iops_model_failures_total",
        "iops_group_scoring_seconds_bucket", "iops_findings_written_total", "iops_deliveries_total",
        "iops_dead_letters", "iops_secret_age_seconds", "iops_canary_age_seconds",
    }  # fmt: skip
