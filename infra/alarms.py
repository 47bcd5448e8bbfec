"""One CloudWatch alarm an incident, which mails when it begins and when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.incidents import Incident, incidents
from infra.metric import Metric, Watched

PREFIX: Final = "iops-dashboard-"
RUNBOOK: Final = "docs/runbook.md"
PERCENTILE: Final = "p"


@dataclass(frozen=True, slots=True)
class AlarmsArgs:
    """What is watched, and the ARN of the topic that is told."""

    watched: Watched
    topic_arn: pulumi.Input[str]


class Alarms(pulumi.ComponentResource):
    """$0.10 a month for each metric in an alarm: 29 of them in 25 alarms, $2.90, less the ten that each account has
    free."""

    arns: dict[str, pulumi.Output[str]]  # by incident

    def __init__(self, args: AlarmsArgs, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:alarms:Alarms", "alarms", None, opts)
        self.arns = {each.name: self._alarm(each, args.topic_arn).arn for each in incidents(args.watched)}
        self.register_outputs({"arns": self.arns})

    def _alarm(self, incident: Incident, topic_arn: pulumi.Input[str]) -> aws.cloudwatch.MetricAlarm:
        return aws.cloudwatch.MetricAlarm(
            incident.name,
            name=PREFIX + incident.name,
            alarm_description=f"{incident.meaning} What to do: {RUNBOOK}#{incident.section}",
            comparison_operator="GreaterThanThreshold",
            threshold=incident.above,
            datapoints_to_alarm=incident.points,
            evaluation_periods=incident.of,
            treat_missing_data=incident.missing,
            alarm_actions=[topic_arn],
            ok_actions=[topic_arn],  # so that nobody has to ask whether it is over
            opts=pulumi.ResourceOptions(parent=self),
            **(_queries(incident) if incident.expression else _single(incident)),
        )


def _single(incident: Incident) -> dict[str, Any]:
    (metric,) = incident.metrics.values()
    if metric.statistic.startswith(PERCENTILE):
        # With few requests a percentile is the slowest one; CloudWatch then keeps the state it had.
        statistic = {"extended_statistic": metric.statistic, "evaluate_low_sample_count_percentiles": "ignore"}
    else:
        statistic = {"statistic": metric.statistic}
    return {
        "namespace": metric.namespace,
        "metric_name": metric.name,
        "dimensions": dict(metric.dimensions),
        "period": incident.period_s,
        **statistic,
    }


def _queries(incident: Incident) -> dict[str, Any]:
    result = aws.cloudwatch.MetricAlarmMetricQueryArgs(
        id="result", expression=incident.expression, label=incident.name, return_data=True
    )
    metrics = [_query(name, metric, incident.period_s) for name, metric in incident.metrics.items()]
    return {"metric_queries": [result, *metrics]}


def _query(name: str, metric: Metric, period_s: int) -> aws.cloudwatch.MetricAlarmMetricQueryArgs:
    return aws.cloudwatch.MetricAlarmMetricQueryArgs(
        id=name,
        metric=aws.cloudwatch.MetricAlarmMetricQueryMetricArgs(
            namespace=metric.namespace,
            metric_name=metric.name,
            dimensions=dict(metric.dimensions),
            period=period_s,
            stat=metric.statistic,
        ),
    )
