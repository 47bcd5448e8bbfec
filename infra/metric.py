"""What CloudWatch knows a number by, and those that alarms and dashboards look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi

from infra.config import Config
from iops import contract

Text = pulumi.Input[str]


@dataclass(frozen=True, slots=True)
class Watched:
    """What is running, by the names that CloudWatch knows it by."""

    config: Config
    balancer: Text  # the suffix of its ARN
    target_groups: Mapping[str, Text]  # by service, the suffix of its ARN
    cluster: Text
    services: Mapping[str, Text]  # by service, its name in the cluster


@dataclass(frozen=True, slots=True)
class Metric:
    """One number over time."""

    namespace: str
    name: str
    dimensions: Mapping[str, Text]
    statistic: str  # Sum, Average, Maximum, Minimum or p99

    def by(self, statistic: str) -> Metric:
        """The same by another statistic."""
        return replace(self, statistic=statistic)


def of_ours(service: str, name: str, statistic: str = "Maximum") -> Metric:
    """One that the contract names; a service tells it in its log."""
    return Metric(contract.METRICS_NAMESPACE, name, {contract.METRICS_DIMENSION: service}, statistic)


def of_balancer(watched: Watched, name: str, statistic: str = "Sum") -> Metric:
    """Over all services."""
    return Metric("AWS/ApplicationELB", name, {"LoadBalancer": watched.balancer}, statistic)


def of_targets(watched: Watched, service: str, name: str, statistic: str) -> Metric:
    """Of one service's target group."""
    dimensions = {"LoadBalancer": watched.balancer, "TargetGroup": watched.target_groups[service]}
    return Metric("AWS/ApplicationELB", name, dimensions, statistic)


def of_tasks(watched: Watched, service: str, name: str, statistic: str) -> Metric:
    """Over all tasks of a service; these are free, those of Container Insights are not."""
    dimensions = {"ClusterName": watched.cluster, "ServiceName": watched.services[service]}
    return Metric("AWS/ECS", name, dimensions, statistic)


def of_table(name: str) -> Metric:
    """Without its indexes, which are counted apart."""
    return Metric("AWS/DynamoDB", name, {"TableName": contract.TABLE_NAME}, "Sum")


def of_index(index: str, name: str) -> Metric:
    """Of one index of the table."""
    return Metric("AWS/DynamoDB", name, {"TableName": contract.TABLE_NAME, "GlobalSecondaryIndexName": index}, "Sum")


def of_queue(queue: str, name: str, statistic: str = "Maximum") -> Metric:
    """SQS tells nothing of a queue that nobody used for six hours."""
    return Metric("AWS/SQS", name, {"QueueName": queue}, statistic)


def of_rule(name: str) -> Metric:
    """Of the rule that lets events reach people."""
    dimensions = {"EventBusName": contract.EVENT_BUS, "RuleName": contract.EVENT_RULE}
    return Metric("AWS/Events", name, dimensions, "Sum")


def of_topic(name: str) -> Metric:
    """Of the topic that mails are sent from."""
    return Metric("AWS/SNS", name, {"TopicName": contract.ALERT_TOPIC}, "Sum")
