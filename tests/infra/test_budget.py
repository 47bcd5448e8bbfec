"""Who hears of the system's own state: of money by AWS Budgets, of incidents by a topic of their own."""

from __future__ import annotations

import pytest

from infra.budget import Budget
from infra.config import Config, Environment
from infra.operations import Operations
from iops import contract
from tests.infra.declared import declare

BUDGET = "aws:budgets/budget:Budget"
MAILS = ("ops@example.org", "boss@example.org")


def test_mails_go_out_at_half_at_most_at_all_and_when_all_is_foreseen() -> None:
    budget = declare(lambda: Budget(Config(alert_emails=MAILS, budget_usd=50.0)).urn).one(BUDGET).inputs

    assert (budget["limitAmount"], budget["limitUnit"], budget["timeUnit"]) == ("50.00", "USD", "MONTHLY")
    told = [(each["notificationType"], each["threshold"]) for each in budget["notifications"]]
    assert told == [("ACTUAL", 50), ("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100)]
    assert all(each["subscriberEmailAddresses"] == list(MAILS) for each in budget["notifications"])


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_only_what_has_the_tags_of_its_own_stack_counts(environment: Environment) -> None:
    budget = declare(lambda: Budget(Config(environment=environment)).urn).one(BUDGET).inputs

    tags = [each["tags"] for each in budget["filterExpression"]["ands"]]
    assert tags == [{"key": "project", "values": ["iops-dashboard"]}, {"key": "environment", "values": [environment]}]
    assert budget["metrics"] == "UnblendedCost"
    assert budget["notifications"] == []


def test_only_alarms_of_this_account_reach_the_operations_topic() -> None:
    stack = declare(lambda: Operations(Config(alert_emails=MAILS)).topic_arn)

    assert stack.one("aws:sns/topic:Topic").inputs["name"] == contract.OPERATIONS_TOPIC
    (statement,) = stack.one("aws:sns/topicPolicy:TopicPolicy").json("policy")["Statement"]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Resource"].endswith(f":{contract.OPERATIONS_TOPIC}")
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    subscribed = stack.all("aws:sns/topicSubscription:TopicSubscription")
    assert [each.inputs["endpoint"] for each in subscribed] == list(MAILS)
