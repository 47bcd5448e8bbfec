"""Where the alarms of the system itself go: a topic of its own, so that nobody takes them for a disk's alert."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from infra.config import Config
from iops import contract


class Operations(pulumi.ComponentResource):
    """The mailboxes of alerts hear of alarms too; the alerts' topic would send them through the canary's queue, and
    its fault would be told through itself. Idle it costs nothing."""

    topic_arn: pulumi.Output[str]

    def __init__(self, config: Config, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:operations:Operations", "operations", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        topic = aws.sns.Topic("operations", name=contract.OPERATIONS_TOPIC, opts=child)
        account = aws.get_caller_identity_output().account_id
        policy = pulumi.Output.json_dumps(_policy(topic.arn, account))
        aws.sns.TopicPolicy("operations", arn=topic.arn, policy=policy, opts=child)
        for address in config.alert_emails:  # each reader has to confirm
            aws.sns.TopicSubscription(
                f"operations-{address}", topic=topic.arn, protocol="email", endpoint=address, opts=child
            )
        self.topic_arn = topic.arn
        self.register_outputs({"topic_arn": self.topic_arn})


def _policy(topic_arn: pulumi.Input[str], account: pulumi.Input[str]) -> dict[str, Any]:
    """Alarms of this account, and nobody else."""
    statement = {
        "Sid": "AlarmsPublish",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic_arn,
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
