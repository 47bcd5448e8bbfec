"""Dashboards: three, within what is free, and every chart shows numbers that exist."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import pytest

from infra.dashboards import Dashboards, DashboardsArgs
from tests.infra.cloudwatch import check_exists, watched
from tests.infra.declared import declare

DASHBOARD: Final = "aws:cloudwatch/dashboard:Dashboard"
ALARM_ARN: Final = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:iops-dashboard-outbox-age"
FREE_METRICS: Final = 50  # of each of the three dashboards that an account has free


@cache
def bodies() -> dict[str, Any]:
    def program() -> None:
        Dashboards(DashboardsArgs(watched=watched(), alarm_arns={"outbox-age": ALARM_ARN}))

    return {
        each.inputs["dashboardName"]: json.loads(each.inputs["dashboardBody"])
        for each in declare(program).all(DASHBOARD)
    }


def metrics_of(body: dict[str, Any]) -> list[list[Any]]:
    charts = [each["properties"] for each in body["widgets"] if each["type"] == "metric"]
    return [metric for each in charts for metric in each["metrics"] if isinstance(metric[0], str)]


def test_there_are_three() -> None:
    assert sorted(bodies()) == ["iops-dashboard-alerts", "iops-dashboard-cost", "iops-dashboard-service"]


@pytest.mark.parametrize("name", ["service", "alerts", "cost"])
def test_every_chart_shows_numbers_that_exist(name: str) -> None:
    metrics = metrics_of(bodies()[f"iops-dashboard-{name}"])

    assert 0 < len(metrics) <= FREE_METRICS
    for namespace, metric, *pairs, options in metrics:
        check_exists(namespace, metric, dict(zip(pairs[::2], pairs[1::2], strict=True)))
        assert options["stat"] in {"Sum", "Average", "Maximum", "Minimum", "p99"}


@pytest.mark.parametrize("name", ["service", "alerts", "cost"])
def test_no_two_widgets_overlap(name: str) -> None:
    widgets = bodies()[f"iops-dashboard-{name}"]["widgets"]
    places = {(each["x"], each["y"]) for each in widgets}

    assert len(places) == len(widgets)
    assert all(each["x"] + each["width"] <= 24 for each in widgets)


def test_alarms_are_shown_with_their_state() -> None:
    (states,) = [each for each in bodies()["iops-dashboard-service"]["widgets"] if each["type"] == "alarm"]

    assert states["properties"]["alarms"] == [ALARM_ARN]


def test_an_expression_hides_what_it_is_made_of() -> None:
    charts = [each["properties"] for each in bodies()["iops-dashboard-cost"]["widgets"] if each["type"] == "metric"]
    (ratio,) = [each for each in charts if each["title"] == "Write units a sample"]

    assert [each[-1].get("visible", True) for each in ratio["metrics"]] == [True, False, False]
    assert ratio["metrics"][0] == [{"expression": "m1 / m2", "label": "write units a sample"}]
