"""The queues: what they keep, for how long, and who may send there."""

import json

import pytest

from infra.config import Config
from infra.queues import Queues
from iops import contract
from tests.infra.declared import ACCOUNT, REGION, Stack, declare

QUEUE = "aws:sqs/queue:Queue"
ALL = (
    contract.SCORING_QUEUE,
    contract.SCORING_DEAD_LETTERS,
    contract.RULE_DEAD_LETTERS,
    contract.SUBSCRIPTION_DEAD_LETTERS,
    contract.CANARY_QUEUE,
)


@pytest.fixture(scope="module")
def stack() -> Stack:
    return declare(lambda: Queues(Config()).arns)


def test_every_queue_of_the_contract_is_there_and_encrypted(stack: Stack) -> None:
    queues = stack.all(QUEUE)

    assert {queue.inputs["name"] for queue in queues} == set(ALL)
    assert all(queue.inputs["sqsManagedSseEnabled"] is True for queue in queues)
    assert stack.result == {name: f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}" for name in ALL}


def test_a_message_that_fails_five_times_is_a_dead_letter(stack: Stack) -> None:
    scoring = stack.one(QUEUE, contract.SCORING_QUEUE)

    assert scoring.json("redrivePolicy") == {
        "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:iops-dashboard-scoring-dead-letters",
        "maxReceiveCount": 5,
    }
    assert scoring.inputs["visibilityTimeoutSeconds"] == 60
    assert scoring.inputs["receiveWaitTimeSeconds"] == 10


def test_dead_letters_stay_as_long_as_sqs_allows(stack: Stack) -> None:
    kept_s = {queue.name: queue.inputs["messageRetentionSeconds"] for queue in stack.all(QUEUE)}

    assert kept_s == {
        "iops-dashboard-scoring": 345_600,
        "iops-dashboard-scoring-dead-letters": 1_209_600,
        "iops-dashboard-rule-dead-letters": 1_209_600,
        "iops-dashboard-subscription-dead-letters": 1_209_600,
        "iops-dashboard-canary": 86_400,
    }


def test_only_the_scoring_queue_may_use_its_dead_letters(stack: Stack) -> None:
    said = {
        each.name: json.loads(each.inputs["redriveAllowPolicy"])
        for each in stack.all("aws:sqs/redriveAllowPolicy:RedriveAllowPolicy")
    }

    assert said.pop(contract.SCORING_DEAD_LETTERS) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [f"arn:aws:sqs:{REGION}:{ACCOUNT}:iops-dashboard-scoring"],
    }
    assert list(said.values()) == [{"redrivePermission": "denyAll"}] * 4


def test_nobody_reaches_the_scoring_queues_without_tls(stack: Stack) -> None:
    policies = stack.all("aws:sqs/queuePolicy:QueuePolicy")

    assert {each.name for each in policies} == {contract.SCORING_QUEUE, contract.SCORING_DEAD_LETTERS}
    for policy in policies:
        (statement,) = policy.json("policy")["Statement"]
        assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
