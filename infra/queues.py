"""The queues: scoring requests and their dead letters, those of the rule and of the subscriptions, and the canary's."""

from __future__ import annotations

import json
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import Config
from infra.policy import deny_unencrypted, document
from iops import contract

LONG_POLL_S: Final = 10  # as the services ask themselves: an empty answer costs as much as a full one
LETTERS_KEPT_S: Final = 14 * 24 * 3600  # SQS's limit; somebody has to look within two weeks
SCORING_KEPT_S: Final = 4 * 24 * 3600  # a long weekend without the insights service is caught up with
CANARY_KEPT_S: Final = 24 * 3600  # nobody reads it while the canary is off
KEPT_S: Final = {
    contract.SCORING_QUEUE: SCORING_KEPT_S,
    contract.SCORING_DEAD_LETTERS: LETTERS_KEPT_S,
    contract.RULE_DEAD_LETTERS: LETTERS_KEPT_S,
    contract.SUBSCRIPTION_DEAD_LETTERS: LETTERS_KEPT_S,
    contract.CANARY_QUEUE: CANARY_KEPT_S,
}
# These have a policy in infra/alerting.py, which names who else may send: a queue has one policy.
OPEN_TO_SERVICES: Final = (
    contract.RULE_DEAD_LETTERS,
    contract.SUBSCRIPTION_DEAD_LETTERS,
    contract.CANARY_QUEUE,
)


class Queues(pulumi.ComponentResource):
    """Five queues, encrypted with SQS's own key. Idle they cost nothing; a million requests cost $0.40."""

    arns: dict[str, pulumi.Output[str]]
    urls: dict[str, pulumi.Output[str]]

    def __init__(self, _: Config, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:queues:Queues", "queues", None, opts)
        dead_letters = self._queue(contract.SCORING_DEAD_LETTERS)
        redrive = {"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": contract.SCORING_RECEIVE_LIMIT}
        scoring = self._queue(contract.SCORING_QUEUE, redrive_policy=pulumi.Output.json_dumps(redrive))
        queues = {contract.SCORING_DEAD_LETTERS: dead_letters, contract.SCORING_QUEUE: scoring}
        queues |= {name: self._queue(name) for name in OPEN_TO_SERVICES}
        for name, queue in queues.items():
            sources = [scoring.arn] if name == contract.SCORING_DEAD_LETTERS else []
            self._allow_redrive(name, queue, sources)
        for name in (contract.SCORING_QUEUE, contract.SCORING_DEAD_LETTERS):
            aws.sqs.QueuePolicy(
                name,
                queue_url=queues[name].url,
                policy=document(deny_unencrypted("sqs:*", [queues[name].arn])),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.arns = {name: queue.arn for name, queue in queues.items()}
        self.urls = {name: queue.url for name, queue in queues.items()}
        self.register_outputs({"arns": self.arns, "urls": self.urls})

    def _queue(self, name: str, *, redrive_policy: pulumi.Input[str] | None = None) -> aws.sqs.Queue:
        return aws.sqs.Queue(
            name,
            name=name,
            message_retention_seconds=KEPT_S[name],
            visibility_timeout_seconds=contract.SCORING_VISIBILITY_S if name == contract.SCORING_QUEUE else None,
            receive_wait_time_seconds=LONG_POLL_S,
            redrive_policy=redrive_policy,
            sqs_managed_sse_enabled=True,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _allow_redrive(self, name: str, queue: aws.sqs.Queue, sources: list[pulumi.Output[str]]) -> None:
        """Of which queues this one may hold the dead letters; most: of none."""
        said: pulumi.Input[str] = json.dumps({"redrivePermission": "denyAll"})
        if sources:
            said = pulumi.Output.json_dumps({"redrivePermission": "byQueue", "sourceQueueArns": sources})
        aws.sqs.RedriveAllowPolicy(
            name, queue_url=queue.url, redrive_allow_policy=said, opts=pulumi.ResourceOptions(parent=self)
        )
