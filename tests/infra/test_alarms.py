"""Alarms: each looks at a number that exists, says what to do, and is red when something is wrong, and only then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from infra.alarms import Alarms, AlarmsArgs
from infra.config import Config
from infra.incidents import Incident, incidents
from infra.metric import Metric
from iops import contract
from tests.infra.cloudwatch import check_exists, watched
from tests.infra.declared import Declared, Stack, declare

TOPIC: Final = "arn:aws:sns:us-east-1:123456789012:iops-dashboard-operations"
RUNBOOK: Final = Path(__file__).parents[2] / "docs" / "runbook.md"
ALARM: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"
INCIDENTS: Final = {each.name: each for each in incidents(watched())}

# 200 streams, a sample in 10 s, a POST a minute for each: a minute of sums, or the highest that a day of it brings.
# Where docs/performance.md has a measurement, it is that one, rounded up.
INTENDED: Final[Mapping[str, float]] = {
    "RequestCount": 200,
    "HTTPCode_Target_5XX_Count": 0.2,
    "HTTPCode_ELB_5XX_Count": 0.2,
    "TargetResponseTime": 0.1,  # p99 of 83 ms at 2,000 requests a second
    "UnHealthyHostCount": 0,
    "CPUUtilization": 40,  # three requests and five scored groups a second
    "MemoryUtilization": 75,
    "WriteThrottleEvents": 0,  # 200 rows a minute; a partition takes 60,000
    "ReadThrottleEvents": 0,
    "ApproximateAgeOfOldestMessage": 15,  # a group is asked for every 10 s
    "ApproximateNumberOfMessagesVisible": 0,
    "ScorerFallbackRatio": 0.01,
    "ExplainerFallbackRatio": 0.1,
    "BedrockThrottles": 0.2,
    "LlmBudgetRatio": 0.5,
    "SilentAgents": 1,  # somebody replaces a host
    "OutboxAgeSeconds": 16,  # the longest pause
    "CanaryAgeSeconds": 24 * 3600 + 900,
    "SecretAgeSeconds": 70,
}
TROUBLE: Final[Mapping[str, float]] = {
    "RequestCount": 200,
    "HTTPCode_Target_5XX_Count": 20,
    "HTTPCode_ELB_5XX_Count": 0,
    "TargetResponseTime": 3,
    "UnHealthyHostCount": 1,
    "CPUUtilization": 99,
    "MemoryUtilization": 95,
    "WriteThrottleEvents": 20,
    "ReadThrottleEvents": 0,
    "ApproximateAgeOfOldestMessage": 400,
    "ApproximateNumberOfMessagesVisible": 1,
    "ScorerFallbackRatio": 1,
    "ExplainerFallbackRatio": 1,
    "BedrockThrottles": 10,
    "LlmBudgetRatio": 0.9,
    "SilentAgents": 20,
    "OutboxAgeSeconds": 600,
    "CanaryAgeSeconds": 50 * 3600,
    "SecretAgeSeconds": 600,
}


@cache
def stack() -> Stack:
    def program() -> None:
        Alarms(AlarmsArgs(watched=watched(), topic_arn=TOPIC))

    return declare(program)


def alarm(name: str) -> Declared:
    return stack().one(ALARM, name)


def value(incident: Incident, minutes: Mapping[str, float]) -> float:
    """What CloudWatch would compare with the threshold; its IF and FILL are Python's here."""

    def of(metric: Metric) -> float:
        per_minute = minutes[metric.name]
        return per_minute * incident.period_s / 60 if metric.statistic == "Sum" else per_minute

    numbers = {name: of(metric) for name, metric in incident.metrics.items()}
    language: dict[str, Any] = {"IF": lambda is_so, then, other: then if is_so else other, "FILL": lambda x, _: x}
    return float(eval(incident.expression or "number", {"__builtins__": {}}, numbers | language))


@pytest.mark.parametrize("name", INCIDENTS)
def test_no_alarm_is_red_at_the_intended_load(name: str) -> None:
    incident = INCIDENTS[name]

    assert value(incident, INTENDED) <= incident.above


@pytest.mark.parametrize("name", INCIDENTS)
def test_every_alarm_is_red_when_it_is_as_bad_as_it_says(name: str) -> None:
    incident = INCIDENTS[name]

    assert value(incident, TROUBLE) > incident.above


def test_a_single_bad_answer_among_few_is_no_incident() -> None:
    incident = INCIDENTS["balancer-errors"]

    assert value(incident, {**TROUBLE, "RequestCount": 1, "HTTPCode_Target_5XX_Count": 1}) == 0


@pytest.mark.parametrize("name", INCIDENTS)
def test_every_metric_of_an_alarm_exists(name: str) -> None:
    declared = alarm(name).inputs
    metrics = [each["metric"] for each in declared.get("metricQueries", []) if "metric" in each] or [declared]

    for each in metrics:
        check_exists(each["namespace"], each["metricName"], each["dimensions"])


@pytest.mark.parametrize("name", INCIDENTS)
def test_every_alarm_names_its_section_of_the_runbook(name: str) -> None:
    described = alarm(name).inputs["alarmDescription"]
    (section,) = re.findall(r"docs/runbook\.md#([a-z0-9-]+)$", described)

    assert f"### {section}" in RUNBOOK.read_text().splitlines()
    assert len(described) < 1024


def test_the_runbook_has_no_section_of_an_alarm_that_is_gone() -> None:
    incidents_text = RUNBOOK.read_text().split("## Incidents", 1)[1].split("\n## ", 1)[0]

    assert re.findall(r"^### (.+)$", incidents_text, re.MULTILINE) == list(
        dict.fromkeys(each.section for each in INCIDENTS.values())
    )


@pytest.mark.parametrize("name", INCIDENTS)
def test_every_alarm_tells_operations_when_it_begins_and_when_it_is_over(name: str) -> None:
    declared = alarm(name).inputs

    assert (declared["alarmActions"], declared["okActions"]) == ([TOPIC], [TOPIC])
    assert declared["name"] == f"iops-dashboard-{name}"
    assert declared["comparisonOperator"] == "GreaterThanThreshold"


@pytest.mark.parametrize("name", ["canary-missing", "outbox-age", "unhealthy-targets-alerts"])
def test_silence_of_who_tells_people_is_itself_an_incident(name: str) -> None:
    assert alarm(name).inputs["treatMissingData"] == "breaching"


def test_one_late_number_of_ours_decides_nothing_that_missing_data_can_raise() -> None:
    for each in INCIDENTS.values():
        is_ours = any(metric.namespace == contract.METRICS_NAMESPACE for metric in each.metrics.values())
        if is_ours and each.missing == "breaching":
            assert each.points * each.period_s >= 300, each.name


def test_alarms_cost_what_is_said_of_them() -> None:
    assert len(stack().all(ALARM)) == 25
    assert sum(len(each.metrics) for each in INCIDENTS.values()) == 29


def test_a_small_fleet_is_missed_too() -> None:
    small = {each.name: each for each in incidents(watched(Config(streams=10)))}

    assert (small["silent-agents"].above, INCIDENTS["silent-agents"].above) == (1, 2)


def test_a_percentile_of_few_requests_keeps_its_state() -> None:
    declared = alarm("ingest-latency").inputs

    assert declared["extendedStatistic"] == "p99"
    assert declared["evaluateLowSampleCountPercentiles"] == "ignore"
