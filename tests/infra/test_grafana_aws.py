"""Grafana's dashboard of AWS: what it asks is told by AWS or by us, and nothing of CloudWatch's own is missing."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from iops import contract
from local.grafana.__main__ import FOLDER
from tests.infra.cloudwatch import KNOWN, NAMES

PAGE: Final[dict[str, Any]] = json.loads((FOLDER / "aws.json").read_text())
TARGETS: Final = [target for panel in PAGE["panels"] for target in panel.get("targets", [])]
LOOKED_UP: Final = {"LoadBalancer": "$balancer", "TargetGroup": "*", "ClusterName": "$cluster"}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target['metricName']}-{target['refId']}")
def test_a_number_is_told_by_these_dimensions(target: dict[str, Any]) -> None:
    dimensions = target["dimensions"]

    assert target["statistic"] in {"Sum", "Average", "Maximum", "Minimum", "p99"}
    if target["namespace"] == contract.METRICS_NAMESPACE:
        assert target["metricName"] in contract.CUSTOM_METRICS[dimensions[contract.METRICS_DIMENSION]]
        return
    assert set(dimensions) in map(set, KNOWN[target["namespace"], target["metricName"]])
    for dimension, value in dimensions.items():
        assert value == LOOKED_UP[dimension] if dimension in LOOKED_UP else value in NAMES[dimension]


def test_everything_that_cloudwatchs_own_dashboards_and_alarms_look_at_is_shown() -> None:
    shown = {(target["namespace"], target["metricName"]) for target in TARGETS}
    ours = {(contract.METRICS_NAMESPACE, name) for names in contract.CUSTOM_METRICS.values() for name in names}

    assert shown == set(KNOWN) | ours


def test_what_the_page_looks_up_is_told_too() -> None:
    found = [each["query"] for each in PAGE["templating"]["list"] if each["type"] == "query"]

    assert {each["dimensionKey"] for each in found} == {"LoadBalancer", "ClusterName"}
    for each in found:
        assert (each["dimensionKey"],) in KNOWN[each["namespace"], each["metricName"]]
