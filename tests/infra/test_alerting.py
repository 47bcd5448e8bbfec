"""The way to people, as it is declared."""

import json
from typing import Any

import pytest

from infra.alerting import Alerting
from infra.config import Config
from infra.queues import Queues
from iops import contract, events
from tests.infra.declared import ACCOUNT, REGION, Stack, declare
from tests.unit.test_events import matches

MAILS = ("ann@example.com", "bob@example.com")
RULE_ARN = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/iops-dashboard-high-risk"
TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:iops-dashboard-high-risk-alerts"


@pytest.fixture(scope="module")
def stack() -> Stack:
    config = Config(alert_emails=MAILS)

    def program() -> Any:
        alerting = Alerting(config, Queues(config))
        return {"bus": alerting.bus_arn, "topic": alerting.topic_arn}

    return declare(program)


@pytest.mark.parametrize(
    ("risk_score", "reaches_people"), [(79, False), (79.99, False), (80, True), (80.5, True), ("95", False)]
)
def test_the_rule_lets_through_what_is_80_or_more(stack: Stack, risk_score: Any, reaches_people: bool) -> None:
    pattern = stack.one("aws:cloudwatch/eventRule:EventRule").json("eventPattern")
    event = {"source": "iops.insights", "detail-type": "Insight", "detail": {"risk_score": risk_score}}

    assert matches(pattern, event) is reaches_people


@pytest.mark.parametrize("change", [{"source": "aws.ec2"}, {"detail-type": "Rumour"}])
def test_the_rule_lets_through_no_event_of_others(stack: Stack, change: dict[str, str]) -> None:
    pattern = stack.one("aws:cloudwatch/eventRule:EventRule").json("eventPattern")
    event = {"source": "iops.insights", "detail-type": "Insight", "detail": {"risk_score": 99}}

    assert not matches(pattern, event | change)


def test_the_names_are_the_contracts(stack: Stack) -> None:
    assert stack.one("aws:cloudwatch/eventBus:EventBus").inputs["name"] == "iops-dashboard-alerts"
    assert stack.one("aws:cloudwatch/eventRule:EventRule").inputs["eventBusName"] == "iops-dashboard-alerts"
    assert stack.result == {
        "bus": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/iops-dashboard-alerts",
        "topic": TOPIC_ARN,
    }


def test_what_the_topic_does_not_take_becomes_a_dead_letter(stack: Stack) -> None:
    target = stack.one("aws:cloudwatch/eventTarget:EventTarget").inputs

    assert target["arn"] == TOPIC_ARN
    assert target["deadLetterConfig"] == {"arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:iops-dashboard-rule-dead-letters"}
    assert target["retryPolicy"] == {"maximumEventAgeInSeconds": 3600, "maximumRetryAttempts": 185}


def test_a_mail_is_worded_as_on_a_laptop(stack: Stack) -> None:
    transformer = stack.one("aws:cloudwatch/eventTarget:EventTarget").inputs["inputTransformer"]

    assert transformer == {
        "inputPaths": events.mail_transformer()["InputPathsMap"],
        "inputTemplate": events.mail_transformer()["InputTemplate"],
    }


def test_every_mailbox_and_the_canary_queue_hear_of_alerts(stack: Stack) -> None:
    heard = {
        each.inputs["endpoint"]: (each.inputs["protocol"], each.inputs.get("redrivePolicy"))
        for each in stack.all("aws:sns/topicSubscription:TopicSubscription")
    }
    letters = f"arn:aws:sqs:{REGION}:{ACCOUNT}:iops-dashboard-subscription-dead-letters"

    assert heard.pop(f"arn:aws:sqs:{REGION}:{ACCOUNT}:iops-dashboard-canary") == ("sqs", None)
    assert set(heard) == set(MAILS)
    for protocol, redrive in heard.values():
        assert protocol == "email"
        assert json.loads(redrive or "") == {"deadLetterTargetArn": letters}


@pytest.mark.parametrize(
    ("type_", "name", "service", "action", "source"),
    [
        ("aws:sns/topicPolicy:TopicPolicy", "topic", "events", "sns:Publish", RULE_ARN),
        ("aws:sqs/queuePolicy:QueuePolicy", contract.RULE_DEAD_LETTERS, "events", "sqs:SendMessage", RULE_ARN),
        ("aws:sqs/queuePolicy:QueuePolicy", contract.SUBSCRIPTION_DEAD_LETTERS, "sns", "sqs:SendMessage", TOPIC_ARN),
        ("aws:sqs/queuePolicy:QueuePolicy", contract.CANARY_QUEUE, "sns", "sqs:SendMessage", TOPIC_ARN),
    ],
)
def test_only_the_service_before_it_sends_and_only_for_us(
    stack: Stack, type_: str, name: str, service: str, action: str, source: str
) -> None:
    let_in, kept_out = stack.one(type_, name).json("policy")["Statement"]

    assert let_in["Principal"] == {"Service": f"{service}.amazonaws.com"}
    assert let_in["Action"] == [action]
    assert let_in["Condition"] == {"ArnEquals": {"aws:SourceArn": source}}
    assert (kept_out["Effect"], kept_out["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
