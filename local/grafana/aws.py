"""What runs in AWS from CloudWatch: the balancer, tasks, table, queues, rule and topic, and our own nine numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders.cloudwatch import MetricsQuery
from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.cloudwatch import MetricEditorMode, MetricQueryType, QueryMode
from grafana_foundation_sdk.models.units import (
    BytesSI,
    Number,
    Percent,
    PercentUnit,
    Seconds,
    Short,
)

from iops import contract
from local.grafana.panels import Panel, chosen, laid_out, lines, named

CLOUDWATCH: Final = chosen("cloudwatch")
SERVICES: Final = tuple(contract.CUSTOM_METRICS)
INDEXES: Final = (contract.ENTITY_TYPE_INDEX, contract.STREAM_INDEX)
DEAD_LETTERS: Final = (contract.SCORING_DEAD_LETTERS, contract.RULE_DEAD_LETTERS, contract.SUBSCRIPTION_DEAD_LETTERS)
EACH_TARGET: Final = "${PROP('Dim.TargetGroup')}"  # CloudWatch itself fills it in
HOUR_S: Final = 3600
REGION: Final = "default"  # the data source's own

# Names that AWS or Pulumi chose; the page looks them up.
BALANCER: Final = {"LoadBalancer": "$balancer"}
TARGETS: Final = {"LoadBalancer": "$balancer", "TargetGroup": "*"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of CloudWatch, or with `*` as a dimension one of each."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str = "Sum"  # or Average, Maximum, Minimum, p99


def make() -> Dashboard:
    """The whole dashboard."""
    about = "What runs in AWS, from CloudWatch, which takes $0.01 for each thousand metrics that are asked."
    page = named("aws", "AWS", about, kind="cloudwatch", source="cloudwatch").time("now-6h", "now").refresh("5m")
    page.with_variable(_looked_up("balancer", "AWS/ApplicationELB", "RequestCount", "LoadBalancer"))
    page.with_variable(_looked_up("cluster", "AWS/ECS", "CPUUtilization", "ClusterName"))
    sections = {
        "Doors": _doors(),
        "Tasks": _tasks(),
        "Table": _table(),
        "Scoring": _scoring(),
        "People are told": _alerts(),
        "What is paid for by use": _cost(),
    }
    return laid_out(page, sections)


def _looked_up(variable: str, namespace: str, metric: str, dimension: str) -> QueryVariable:
    """The names that CloudWatch knows and that are ours: one for each environment."""
    query: dict[str, object] = {
        "queryType": "dimensionValues",
        "refId": variable,
        "region": REGION,
        "namespace": namespace,
        "metricName": metric,
        "dimensionKey": dimension,
        "dimensionFilters": {},
    }
    found = QueryVariable(variable).label(variable.capitalize()).datasource(CLOUDWATCH).query(query)
    return found.regex("/iops-dashboard-/").refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)


def _chart(title: str, unit: str, metrics: Mapping[str, Metric], *, period_s: int | None = None) -> Panel:
    """`metrics` by the words beside their line; without `period_s` Grafana chooses by the width of the page."""
    panel = lines(title, unit).datasource(CLOUDWATCH)
    for letter, (words, metric) in zip(ascii_uppercase, metrics.items(), strict=False):
        panel.with_target(
            MetricsQuery()
            .query_mode(QueryMode.METRICS)
            .metric_query_type(MetricQueryType.SEARCH)
            .metric_editor_mode(MetricEditorMode.BUILDER)
            .ref_id(letter)
            .id("")
            .expression("")
            .label(words)
            .region(REGION)
            .namespace(metric.namespace)
            .metric_name(metric.name)
            .dimensions(dict(metric.dimensions))
            .match_exact(match_exact=True)
            .statistic(metric.statistic)
            .period(str(period_s) if period_s else "auto")
        )
    return panel


def _of_balancer(name: str) -> Metric:
    return Metric("AWS/ApplicationELB", name, BALANCER)


def _of_targets(name: str, statistic: str) -> Metric:
    return Metric("AWS/ApplicationELB", name, TARGETS, statistic)


def _of_tasks(service: str, name: str, statistic: str) -> Metric:
    return Metric("AWS/ECS", name, {"ClusterName": "$cluster", "ServiceName": service}, statistic)


def _of_table(name: str) -> dict[str, Metric]:
    """Of the table, and of each index, which are counted apart."""
    table = {"TableName": contract.TABLE_NAME}
    indexes = {each: Metric("AWS/DynamoDB", name, table | {"GlobalSecondaryIndexName": each}) for each in INDEXES}
    return {"table": Metric("AWS/DynamoDB", name, table)} | indexes


def _of_queue(queue: str, name: str, statistic: str = "Maximum") -> Metric:
    return Metric("AWS/SQS", name, {"QueueName": queue}, statistic)


def _of_rule(name: str) -> Metric:
    return Metric("AWS/Events", name, {"EventBusName": contract.EVENT_BUS, "RuleName": contract.EVENT_RULE})


def _of_topic(name: str) -> Metric:
    return Metric("AWS/SNS", name, {"TopicName": contract.ALERT_TOPIC})


def _ours(service: str, name: str, statistic: str = "Maximum") -> Metric:
    return Metric(contract.METRICS_NAMESPACE, name, {contract.METRICS_DIMENSION: service}, statistic)


def _doors() -> list[Panel]:
    answers = {
        "requests": _of_balancer("RequestCount"),
        "5xx of services": _of_balancer("HTTPCode_Target_5XX_Count"),
        "5xx of the balancer": _of_balancer("HTTPCode_ELB_5XX_Count"),
    }
    return [
        _chart("Requests and errors", Short, answers),
        _chart("Seconds to answer, p99", Seconds, {EACH_TARGET: _of_targets("TargetResponseTime", "p99")}),
        _chart("Healthy tasks", Number, {EACH_TARGET: _of_targets("HealthyHostCount", "Minimum")}),
        _chart("Tasks that fail their checks", Number, {EACH_TARGET: _of_targets("UnHealthyHostCount", "Maximum")}),
    ]


def _tasks() -> list[Panel]:
    cpu = {service: _of_tasks(service, "CPUUtilization", "Average") for service in SERVICES}
    memory = {service: _of_tasks(service, "MemoryUtilization", "Maximum") for service in SERVICES}
    return [_chart("CPU", Percent, cpu), _chart("Memory of the fullest task", Percent, memory)]


def _table() -> list[Panel]:
    return [
        _chart("Writes that the table refused", Short, _of_table("WriteThrottleEvents")),
        _chart("Reads that the table refused", Short, _of_table("ReadThrottleEvents")),
        _chart("Samples stored", Short, {"samples": _ours("ingest", "StoredSamples", "Sum")}),
        _chart("Since ingest read a secret", Seconds, {"ingest": _ours("ingest", "SecretAgeSeconds")}),
    ]


def _scoring() -> list[Panel]:
    fell_back = {
        "scorers": _ours("insights", "ScorerFallbackRatio", "Average"),
        "explainers": _ours("insights", "ExplainerFallbackRatio", "Average"),
    }
    waits = _of_queue(contract.SCORING_QUEUE, "ApproximateAgeOfOldestMessage")
    return [
        _chart("Oldest stream that waits to be scored", Seconds, {"age": waits}),
        _chart("Share that fell back", PercentUnit, fell_back),
        _chart("Calls that Bedrock throttled", Short, {"calls": _ours("insights", "BedrockThrottles", "Sum")}),
        _chart("Silent agents", Short, {"hosts": _ours("insights", "SilentAgents")}),
    ]


def _alerts() -> list[Panel]:
    rule = {
        "handed to SNS": _of_rule("Invocations"),
        "failed": _of_rule("FailedInvocations"),
        "to dead letters": _of_rule("InvocationsSentToDlq"),
    }
    mails = {
        "delivered": _of_topic("NumberOfNotificationsDelivered"),
        "failed": _of_topic("NumberOfNotificationsFailed"),
        "to dead letters": _of_topic("NumberOfNotificationsRedrivenToDlq"),
    }
    letters = {each: _of_queue(each, "ApproximateNumberOfMessagesVisible") for each in DEAD_LETTERS}
    return [
        _chart("Oldest insight that nobody took", Seconds, {"age": _ours("alerts", "OutboxAgeSeconds")}),
        _chart("Since the canary came back", Seconds, {"age": _ours("alerts", "CanaryAgeSeconds")}),
        _chart("Events that the rule let through, and lost", Short, rule),
        _chart("Mails", Short, mails),
        _chart("Dead letters", Short, letters),
    ]


def _cost() -> list[Panel]:
    messages = {
        "sent": _of_queue(contract.SCORING_QUEUE, "NumberOfMessagesSent", "Sum"),
        "empty answers": _of_queue(contract.SCORING_QUEUE, "NumberOfEmptyReceives", "Sum"),
    }
    budget = {"share": _ours("insights", "LlmBudgetRatio")}
    return [
        _chart("Write units an hour", Short, _of_table("ConsumedWriteCapacityUnits"), period_s=HOUR_S),
        _chart("Read units an hour", Short, _of_table("ConsumedReadCapacityUnits"), period_s=HOUR_S),
        _chart("Share of the day's money for language models", PercentUnit, budget),
        _chart("Capacity units of the balancer", Short, {"units": _of_balancer("ConsumedLCUs")}, period_s=HOUR_S),
        _chart(
            "Bytes through the balancer an hour", BytesSI, {"bytes": _of_balancer("ProcessedBytes")}, period_s=HOUR_S
        ),
        _chart("Messages of the scoring queue an hour", Short, messages, period_s=HOUR_S),
    ]
