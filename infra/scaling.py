"""How many tasks a service has: ingest by requests, insights by how long its work waits, alerts always one."""

from __future__ import annotations

from typing import Final

import pulumi
import pulumi_aws as aws

from infra.balancer import Balancer
from iops.contract import SCORING_QUEUE

TASKS: Final = {"ingest": (1, 4), "insights": (1, 3), "alerts": (1, 1)}  # a second alerts would wait for leases only
REQUESTS_PER_MINUTE: Final = 12_000  # 200/s a task: under half of what a quarter of a core took (131 us a request)
OLDEST_MESSAGE_S: Final = 30  # a group is scored within seconds of its samples; SQS tells the age by the minute
OUT_COOLDOWN_S: Final = 60
IN_COOLDOWN_S: Final = 300


class Scaling(pulumi.ComponentResource):
    """Target tracking; AWS makes its two alarms by itself, $0.20 a month."""

    def __init__(
        self,
        name: str,
        *,
        balancer: Balancer,
        cluster_name: pulumi.Input[str],
        service_name: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("iops:scaling:Scaling", name, None, opts)
        least, most = TASKS[name]
        self._child = pulumi.ResourceOptions(parent=self)
        self._name = name
        self.target = aws.appautoscaling.Target(
            name,
            min_capacity=least,
            max_capacity=most,
            resource_id=pulumi.Output.concat("service/", cluster_name, "/", service_name),
            scalable_dimension="ecs:service:DesiredCount",
            service_namespace="ecs",
            opts=self._child,
        )
        if name == "ingest":
            self._follow(REQUESTS_PER_MINUTE, requests=_requests(balancer, name))
        if name == "insights":
            self._follow(OLDEST_MESSAGE_S, age=_age())
        self.register_outputs({})

    def _follow(
        self,
        target: int,
        *,
        requests: aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs
        | None = None,
        age: aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationArgs
        | None = None,
    ) -> None:
        tracking = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs(
            target_value=target,
            scale_out_cooldown=OUT_COOLDOWN_S,
            scale_in_cooldown=IN_COOLDOWN_S,
            predefined_metric_specification=requests,
            customized_metric_specification=age,
        )
        aws.appautoscaling.Policy(
            self._name,
            name=f"iops-dashboard-{self._name}",
            policy_type="TargetTrackingScaling",
            resource_id=self.target.resource_id,
            scalable_dimension=self.target.scalable_dimension,
            service_namespace=self.target.service_namespace,
            target_tracking_scaling_policy_configuration=tracking,
            opts=self._child,
        )


def _requests(
    balancer: Balancer, name: str
) -> aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs:
    return aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs(
        predefined_metric_type="ALBRequestCountPerTarget",
        resource_label=pulumi.Output.concat(balancer.arn_suffix, "/", balancer.target_groups[name].arn_suffix),
    )


def _age() -> aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationArgs:
    """Of one queue for one or three tasks: an age says that work waits, whatever a piece of it costs."""
    dimension = (
        aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationDimensionArgs
    )
    return aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationArgs(
        namespace="AWS/SQS",
        metric_name="ApproximateAgeOfOldestMessage",
        statistic="Maximum",
        unit="Seconds",
        dimensions=[dimension(name="QueueName", value=SCORING_QUEUE)],
    )
