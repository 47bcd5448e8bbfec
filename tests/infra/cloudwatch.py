"""What CloudWatch knows without us: AWS's own metrics and their dimensions, as its user guides list them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from infra.config import SERVICES, Config
from infra.metric import Watched
from iops import contract

BALANCER: Final = ("LoadBalancer",)
TARGETS: Final = ("LoadBalancer", "TargetGroup")
TASKS: Final = ("ClusterName", "ServiceName")
TABLE: Final = ("TableName",)
INDEX: Final = ("TableName", "GlobalSecondaryIndexName")
QUEUE: Final = ("QueueName",)
RULE: Final = ("EventBusName", "RuleName")
TOPIC: Final = ("TopicName",)

# (namespace, metric) -> the sets of dimensions that it is told by.
KNOWN: Final[Mapping[tuple[str, str], tuple[tuple[str, ...], ...]]] = {
    ("AWS/ApplicationELB", "RequestCount"): (BALANCER, TARGETS),
    ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"): (BALANCER, TARGETS),
    ("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count"): (BALANCER,),
    ("AWS/ApplicationELB", "TargetResponseTime"): (BALANCER, TARGETS),
    ("AWS/ApplicationELB", "HealthyHostCount"): (TARGETS,),
    ("AWS/ApplicationELB", "UnHealthyHostCount"): (TARGETS,),
    ("AWS/ApplicationELB", "ConsumedLCUs"): (BALANCER,),
    ("AWS/ApplicationELB", "ProcessedBytes"): (BALANCER,),
    ("AWS/ECS", "CPUUtilization"): (("ClusterName",), TASKS),
    ("AWS/ECS", "MemoryUtilization"): (("ClusterName",), TASKS),
    ("AWS/DynamoDB", "ReadThrottleEvents"): (TABLE, INDEX),
    ("AWS/DynamoDB", "WriteThrottleEvents"): (TABLE, INDEX),
    ("AWS/DynamoDB", "ConsumedReadCapacityUnits"): (TABLE, INDEX),
    ("AWS/DynamoDB", "ConsumedWriteCapacityUnits"): (TABLE, INDEX),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): (QUEUE,),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): (QUEUE,),
    ("AWS/SQS", "NumberOfMessagesSent"): (QUEUE,),
    ("AWS/SQS", "NumberOfEmptyReceives"): (QUEUE,),
    ("AWS/Events", "Invocations"): (("RuleName",), RULE),
    ("AWS/Events", "FailedInvocations"): (("RuleName",), RULE),
    ("AWS/Events", "InvocationsSentToDlq"): (("RuleName",), RULE),
    ("AWS/SNS", "NumberOfNotificationsDelivered"): (TOPIC,),
    ("AWS/SNS", "NumberOfNotificationsFailed"): (TOPIC,),
    ("AWS/SNS", "NumberOfNotificationsRedrivenToDlq"): (TOPIC,),
}
NAMES: Final = {
    "LoadBalancer": {"app/iops/50dc6c495c0c9188"},
    "TargetGroup": {f"targetgroup/{service}/73e2d6bc24d8a067" for service in SERVICES},
    "ClusterName": {"iops"},
    "ServiceName": set(SERVICES),
    "TableName": {contract.TABLE_NAME},
    "GlobalSecondaryIndexName": {contract.ENTITY_TYPE_INDEX, contract.STREAM_INDEX},
    "QueueName": {
        contract.SCORING_QUEUE,
        contract.SCORING_DEAD_LETTERS,
        contract.RULE_DEAD_LETTERS,
        contract.SUBSCRIPTION_DEAD_LETTERS,
    },
    "EventBusName": {contract.EVENT_BUS},
    "RuleName": {contract.EVENT_RULE},
    "TopicName": {contract.ALERT_TOPIC},
}


def watched(config: Config | None = None) -> Watched:
    """A system whose names are plain texts."""
    return Watched(
        config=config or Config(),
        balancer="app/iops/50dc6c495c0c9188",
        target_groups={service: f"targetgroup/{service}/73e2d6bc24d8a067" for service in SERVICES},
        cluster="iops",
        services={service: service for service in SERVICES},
    )


def check_exists(namespace: str, name: str, dimensions: Mapping[str, object]) -> None:
    """Fails where nobody tells this metric by these dimensions."""
    if namespace == contract.METRICS_NAMESPACE:
        assert list(dimensions) == [contract.METRICS_DIMENSION]
        assert name in contract.CUSTOM_METRICS[str(dimensions[contract.METRICS_DIMENSION])]
        return
    assert set(dimensions) in map(set, KNOWN[namespace, name]), f"{name} is not told by {tuple(dimensions)}"
    for dimension, value in dimensions.items():
        assert value in NAMES[dimension]
