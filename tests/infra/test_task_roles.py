"""What each role may do: all that its service's code asks for, and nothing beyond."""

from typing import Any

import pytest

from infra.config import SERVICES, Config
from iops import contract
from tests.infra.calls import ACTIONS, TRANSACTIONS, actions_of, client_methods
from tests.infra.declared import ACCOUNT, REGION, Stack
from tests.infra.granted import ENDPOINT_ARN, actions_in, may, statements_of, the_stack

PROD: Any = Config(
    environment="prod",
    certificate_arn=f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/7f2c",
    alert_emails=("ann@example.com",),
    sagemaker="serverless",
)
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{contract.TABLE_NAME}"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/us.{HAIKU}"
ROLES = ("execution", *SERVICES)
# What AWS knows no resource for.
EVERYWHERE = {"ecr:GetAuthorizationToken"}


def queue(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def secret(name: str) -> str:
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf"


@pytest.fixture(scope="module")
def stack() -> Stack:
    return the_stack(PROD)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_do_what_its_code_asks_for_and_nothing_beyond(stack: Stack, service: str) -> None:
    assert actions_in(statements_of(stack, service)) == actions_of(service)


def test_every_call_of_a_client_is_known_to_this_test() -> None:
    assert client_methods() == {*ACTIONS, TRANSACTIONS}


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_do_something_to_everything(stack: Stack, role: str) -> None:
    for statement in statements_of(stack, role):
        assert statement["Sid"].isalnum()
        assert not any("*" in action for action in statement["Action"])
        if set(statement["Action"]) - EVERYWHERE:
            assert all(arn.startswith("arn:aws:") for arn in statement["Resource"])
            assert not any("*" in arn.removesuffix(":*") for arn in statement["Resource"])  # a log group's streams


def test_a_role_is_taken_on_by_tasks_of_this_account_only(stack: Stack) -> None:
    for role in ROLES:
        (trust,) = stack.one("aws:iam/role:Role", f"iops-dashboard-{role}").json("assumeRolePolicy")["Statement"]
        assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


@pytest.mark.parametrize(
    ("action", "key", "passes"),
    [
        ("BatchWriteItem", "web-1:nvme0n1", True),
        ("BatchWriteItem", "insight#01J", False),
        ("BatchWriteItem", "apikey#a1b2", False),
        ("UpdateItem", "web-1:nvme0n1", True),
        ("UpdateItem", "apikey#a1b2", True),
        ("UpdateItem", "alert#web-1", False),
        ("PutItem", "apikey#a1b2", True),
        ("PutItem", "group#web-1", True),
        ("PutItem", "audit#01J", False),
        ("PutItem", "pulse#ingest", True),
        ("PutItem", "pulse#alerts", False),
        ("DeleteItem", "group#web-1", True),
        ("DeleteItem", "apikey#a1b2", False),
        ("DeleteItem", "pulse#ingest", True),
        ("DeleteItem", "web-1:nvme0n1", False),
        ("GetItem", "apikey#a1b2", True),
        ("GetItem", "link#0f", False),
        ("Query", "web-1:nvme0n1", True),
        ("Query", "audit#01J", False),
    ],
)
def test_ingest_reaches_telemetry_and_keys_only(stack: Stack, action: str, key: str, passes: bool) -> None:
    assert may(statements_of(stack, "ingest"), f"dynamodb:{action}", TABLE, key=key) is passes


def test_ingest_lists_nothing(stack: Stack) -> None:
    ingest = statements_of(stack, "ingest")

    assert not may(ingest, "dynamodb:Query", f"{TABLE}/index/EntityTypeIndex", key="insight")
    assert not may(ingest, "dynamodb:GetItem", TABLE)
    assert may(ingest, "dynamodb:DescribeTable", TABLE)


@pytest.mark.parametrize("service", ["insights", "alerts"])
def test_lists_are_read_from_both_indexes_and_never_written(stack: Stack, service: str) -> None:
    for index in (contract.ENTITY_TYPE_INDEX, contract.STREAM_INDEX):
        assert may(statements_of(stack, service), "dynamodb:Query", f"{TABLE}/index/{index}")
        assert not may(statements_of(stack, service), "dynamodb:PutItem", f"{TABLE}/index/{index}")


@pytest.mark.parametrize(
    ("service", "name", "passes"),
    [
        ("ingest", contract.PEPPER_SECRETS, True),
        ("ingest", contract.ALERTS_SECRETS, False),
        ("insights", contract.PEPPER_SECRETS, True),
        ("insights", contract.INSIGHTS_SECRETS, True),
        ("insights", contract.ALERTS_SECRETS, False),
        ("alerts", contract.PEPPER_SECRETS, True),
        ("alerts", contract.ALERTS_SECRETS, True),
        ("alerts", contract.INSIGHTS_SECRETS, False),
    ],
)
def test_a_service_reads_its_own_secrets(stack: Stack, service: str, name: str, passes: bool) -> None:
    assert may(statements_of(stack, service), "secretsmanager:GetSecretValue", secret(name)) is passes


@pytest.mark.parametrize(
    ("service", "action", "name", "passes"),
    [
        ("ingest", "SendMessage", contract.SCORING_QUEUE, True),
        ("ingest", "ReceiveMessage", contract.SCORING_QUEUE, False),
        ("insights", "ReceiveMessage", contract.SCORING_QUEUE, True),
        ("insights", "SendMessage", contract.SCORING_DEAD_LETTERS, True),
        ("insights", "ReceiveMessage", contract.SCORING_DEAD_LETTERS, False),
        ("alerts", "ReceiveMessage", contract.RULE_DEAD_LETTERS, True),
        ("alerts", "DeleteMessage", contract.SUBSCRIPTION_DEAD_LETTERS, True),
        ("alerts", "SendMessage", contract.SCORING_QUEUE, True),
        ("alerts", "ReceiveMessage", contract.SCORING_QUEUE, False),
        ("alerts", "DeleteMessage", contract.CANARY_QUEUE, True),
    ],
)
def test_a_service_uses_its_end_of_a_queue(stack: Stack, service: str, action: str, name: str, passes: bool) -> None:
    assert may(statements_of(stack, service), f"sqs:{action}", queue(name)) is passes


def test_a_model_answers_through_its_profile_only(stack: Stack) -> None:
    insights = statements_of(stack, "insights")
    model = f"arn:aws:bedrock:us-east-2::foundation-model/{HAIKU}"

    assert may(insights, "bedrock:InvokeModel", PROFILE)
    assert may(insights, "bedrock:InvokeModel", model, profile=PROFILE)
    assert not may(insights, "bedrock:InvokeModel", model)


def test_what_a_stack_has_not_nobody_may_ask() -> None:
    bare = statements_of(the_stack(Config(has_bedrock=False), has_endpoint=False), "insights")

    assert not actions_in(bare) & {"bedrock:InvokeModel", "sagemaker:InvokeEndpoint"}


def test_the_endpoint_is_asked_by_insights(stack: Stack) -> None:
    assert may(statements_of(stack, "insights"), "sagemaker:InvokeEndpoint", ENDPOINT_ARN)


def test_starting_a_task_is_apart_from_what_it_may_do(stack: Stack) -> None:
    assert actions_in(statements_of(stack, "execution")) == {
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }
    assert len(set(stack.result.values())) == 4
