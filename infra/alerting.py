"""The way to people: bus, rule, topic and subscriptions, and where what does not arrive is kept."""

from __future__ import annotations

import json
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import Config
from infra.policy import Arn, allow_service, deny_unencrypted, document
from infra.queues import Queues
from iops import contract, events

TARGET_ID: Final = "alert-topic"
EVENT_AGE_LIMIT_S: Final = 3600  # then it is a dead letter, and an alarm says so: a day later nobody wants the page
ATTEMPTS_LIMIT: Final = 185  # EventBridge's own


class Alerting(pulumi.ComponentResource):
    """Idle it costs nothing: $1 a million events, $2 per 100,000 mails after the first 1,000.

    The topic is not encrypted at rest: SNS keeps nothing that was delivered, and EventBridge could publish through a
    key of the account only ($1 a month, and its own policy).
    """

    bus_arn: pulumi.Output[str]
    rule: aws.cloudwatch.EventRule
    topic_arn: pulumi.Output[str]

    def __init__(self, config: Config, queues: Queues, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:alerting:Alerting", "alerting", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bus = aws.cloudwatch.EventBus("bus", name=contract.EVENT_BUS, opts=child)
        self.rule = aws.cloudwatch.EventRule(
            "rule",
            name=contract.EVENT_RULE,
            event_bus_name=bus.name,
            description=f"What reaches people: a risk of {contract.PAGE_RISK_SCORE} or more",
            event_pattern=json.dumps(events.rule_pattern()),
            opts=child,
        )
        topic = aws.sns.Topic("topic", name=contract.ALERT_TOPIC, opts=child)
        self.bus_arn, self.topic_arn = bus.arn, topic.arn
        policy = self._let_in(queues)
        self._aim(bus, queues, after=policy)
        self._subscribe(config, queues, after=policy)
        self.register_outputs({"bus_arn": self.bus_arn, "topic_arn": self.topic_arn})

    def _let_in(self, queues: Queues) -> list[pulumi.Resource]:
        """Who may send to the topic and to its queues: the services that stand before them, and nobody unencrypted."""
        child = pulumi.ResourceOptions(parent=self)
        topic_policy = aws.sns.TopicPolicy(
            "topic",
            arn=self.topic_arn,
            policy=document(
                allow_service(
                    "TheRulePublishes", "events.amazonaws.com", "sns:Publish", self.topic_arn, source=self.rule.arn
                ),
                deny_unencrypted("sns:Publish", [self.topic_arn]),
            ),
            opts=child,
        )
        senders: tuple[tuple[str, str, Arn], ...] = (
            (contract.RULE_DEAD_LETTERS, "events.amazonaws.com", self.rule.arn),
            (contract.SUBSCRIPTION_DEAD_LETTERS, "sns.amazonaws.com", self.topic_arn),
            (contract.CANARY_QUEUE, "sns.amazonaws.com", self.topic_arn),
        )
        queue_policies = [
            aws.sqs.QueuePolicy(
                name,
                queue_url=queues.urls[name],
                policy=document(
                    allow_service("SendsOnOurBehalf", service, "sqs:SendMessage", queues.arns[name], source=source),
                    deny_unencrypted("sqs:*", [queues.arns[name]]),
                ),
                opts=child,
            )
            for name, service, source in senders
        ]
        return [topic_policy, *queue_policies]

    def _aim(self, bus: aws.cloudwatch.EventBus, queues: Queues, *, after: list[pulumi.Resource]) -> None:
        """Without the policies the first event would be lost: EventBridge does not repeat what is refused."""
        transformer = events.mail_transformer()
        aws.cloudwatch.EventTarget(
            "topic",
            target_id=TARGET_ID,
            rule=self.rule.name,
            event_bus_name=bus.name,
            arn=self.topic_arn,
            input_transformer={
                "input_paths": transformer["InputPathsMap"],
                "input_template": transformer["InputTemplate"],
            },
            retry_policy={
                "maximum_event_age_in_seconds": EVENT_AGE_LIMIT_S,
                "maximum_retry_attempts": ATTEMPTS_LIMIT,
            },
            dead_letter_config={"arn": queues.arns[contract.RULE_DEAD_LETTERS]},
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _subscribe(self, config: Config, queues: Queues, *, after: list[pulumi.Resource]) -> None:
        """A mailbox hears nothing until its reader confirms; Pulumi does not wait for that.

        The canary queue has no dead letters: redriven, they would tell everybody everything again.
        """
        child = pulumi.ResourceOptions(parent=self, depends_on=after)
        dead_letters = queues.arns[contract.SUBSCRIPTION_DEAD_LETTERS]
        for address in config.alert_emails:
            aws.sns.TopicSubscription(
                f"mail-{address}",
                topic=self.topic_arn,
                protocol="email",
                endpoint=address,
                redrive_policy=pulumi.Output.json_dumps({"deadLetterTargetArn": dead_letters}),
                opts=child,
            )
        aws.sns.TopicSubscription(
            "canary", topic=self.topic_arn, protocol="sqs", endpoint=queues.arns[contract.CANARY_QUEUE], opts=child
        )
