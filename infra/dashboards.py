"""Three CloudWatch dashboards: is the service well, do people hear of things, what is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import SERVICES
from infra.incidents import CANARY_AGE_S, SCORING_AGE_S
from infra.metric import (
    Watched,
    of_balancer,
    of_index,
    of_ours,
    of_queue,
    of_rule,
    of_table,
    of_targets,
    of_tasks,
    of_topic,
)
from infra.widgets import Widget, chart, laid_out, states, text
from iops import contract

INDEXES: Final = (contract.ENTITY_TYPE_INDEX, contract.STREAM_INDEX)
HOUR_S: Final = 3600
DEAD_LETTERS: Final = (contract.SCORING_DEAD_LETTERS, contract.RULE_DEAD_LETTERS, contract.SUBSCRIPTION_DEAD_LETTERS)


@dataclass(frozen=True, slots=True)
class DashboardsArgs:
    """What is watched, and the ARNs of its alarms."""

    watched: Watched
    alarm_arns: Mapping[str, pulumi.Input[str]]


class Dashboards(pulumi.ComponentResource):
    """$3 a month each, but an account's first three are free (of 50 metrics each)."""

    names: tuple[str, ...] = ("service", "alerts", "cost")

    def __init__(self, args: DashboardsArgs, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:dashboards:Dashboards", "dashboards", None, opts)
        arns = list(args.alarm_arns.values())
        for name, widgets in zip(
            self.names, (_service(args.watched, arns), _alerts(args.watched), _cost(args.watched)), strict=True
        ):
            aws.cloudwatch.Dashboard(
                name,
                dashboard_name=f"iops-dashboard-{name}",
                dashboard_body=pulumi.Output.json_dumps(laid_out(widgets)),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})


def _service(watched: Watched, alarm_arns: Sequence[pulumi.Input[str]]) -> list[Widget]:
    draw = partial(chart, region=watched.config.region)

    def by_service(title: str, name: str, statistic: str) -> Widget:
        return draw(title, {each: of_tasks(watched, each, name, statistic) for each in SERVICES})

    return [
        states("Alarms", alarm_arns),
        draw(
            "Requests and errors",
            {
                "requests": of_balancer(watched, "RequestCount"),
                "5xx of services": of_balancer(watched, "HTTPCode_Target_5XX_Count"),
                "5xx of the balancer": of_balancer(watched, "HTTPCode_ELB_5XX_Count"),
            },
        ),
        draw(
            "Seconds to answer, p99",
            {each: of_targets(watched, each, "TargetResponseTime", "p99") for each in SERVICES},
        ),
        draw("Healthy tasks", {each: of_targets(watched, each, "HealthyHostCount", "Minimum") for each in SERVICES}),
        by_service("CPU, %", "CPUUtilization", "Average"),
        by_service("Memory of the fullest task, %", "MemoryUtilization", "Maximum"),
        draw("Samples stored", {"samples": of_ours("ingest", "StoredSamples", "Sum")}),
        draw(
            "Throttles of the table",
            {
                "writes": of_table("WriteThrottleEvents"),
                "reads": of_table("ReadThrottleEvents"),
                **{f"writes of {each}": of_index(each, "WriteThrottleEvents") for each in INDEXES},
            },
        ),
        draw(
            "Oldest stream that waits to be scored, s",
            {"age": of_queue(contract.SCORING_QUEUE, "ApproximateAgeOfOldestMessage")},
            lines={"alarm": SCORING_AGE_S},
        ),
    ]


def _alerts(watched: Watched) -> list[Widget]:
    draw = partial(chart, region=watched.config.region)
    return [
        draw("Oldest insight nobody took, s", {"age": of_ours("alerts", "OutboxAgeSeconds")}),
        draw(
            "Since the canary came back, s",
            {"age": of_ours("alerts", "CanaryAgeSeconds")},
            lines={"alarm": CANARY_AGE_S},
        ),
        draw("Silent agents", {"hosts": of_ours("insights", "SilentAgents")}),
        draw(
            "The rule: events it let through, and lost",
            {
                "handed to SNS": of_rule("Invocations"),
                "failed": of_rule("FailedInvocations"),
                "to dead letters": of_rule("InvocationsSentToDlq"),
            },
        ),
        draw(
            "Mails",
            {
                "delivered": of_topic("NumberOfNotificationsDelivered"),
                "failed": of_topic("NumberOfNotificationsFailed"),
                "to dead letters": of_topic("NumberOfNotificationsRedrivenToDlq"),
            },
        ),
        draw("Dead letters", {each: of_queue(each, "ApproximateNumberOfMessagesVisible") for each in DEAD_LETTERS}),
        draw(
            "Share that fell back",
            {
                "scorers": of_ours("insights", "ScorerFallbackRatio", "Average"),
                "explainers": of_ours("insights", "ExplainerFallbackRatio", "Average"),
            },
        ),
        draw("Calls that Bedrock throttled", {"calls": of_ours("insights", "BedrockThrottles", "Sum")}),
        draw("Seconds since a secret was read", {"ingest": of_ours("ingest", "SecretAgeSeconds")}),
    ]


def _cost(watched: Watched) -> list[Widget]:
    """Amounts, not dollars: prices stand in one place, and this is not it."""
    draw = partial(chart, region=watched.config.region)
    hourly = partial(draw, period_s=HOUR_S)

    def by_hour(title: str, name: str) -> Widget:
        metrics = {"table": of_table(name), **{each: of_index(each, name) for each in INDEXES}}
        return hourly(title, metrics)

    return [
        text("What is paid for by use. `iops cost` says what it comes to; the rest of the bill is there all the time."),
        by_hour("Write units an hour", "ConsumedWriteCapacityUnits"),
        by_hour("Read units an hour", "ConsumedReadCapacityUnits"),
        hourly(
            "Write units a sample",
            {"units": of_table("ConsumedWriteCapacityUnits"), "samples": of_ours("ingest", "StoredSamples", "Sum")},
            expressions={"write units a sample": "m1 / m2"},
        ),
        draw(
            "Share of the day's money for language models",
            {"share": of_ours("insights", "LlmBudgetRatio")},
            lines={"alarm": 0.8},
        ),
        hourly("Capacity units of the balancer", {"units": of_balancer(watched, "ConsumedLCUs")}),
        hourly("Bytes through the balancer an hour", {"bytes": of_balancer(watched, "ProcessedBytes")}),
        hourly(
            "Messages of the scoring queue an hour",
            {
                "sent": of_queue(contract.SCORING_QUEUE, "NumberOfMessagesSent", "Sum"),
                "empty answers": of_queue(contract.SCORING_QUEUE, "NumberOfEmptyReceives", "Sum"),
            },
        ),
        hourly("Mails an hour", {"mails": of_topic("NumberOfNotificationsDelivered")}),
    ]
