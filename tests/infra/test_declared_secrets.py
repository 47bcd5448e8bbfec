"""The secrets, and the function that rotates one of them, as they are declared."""

import pytest

from infra.config import Config
from infra.secrets import HANDLER, Secrets
from iops import contract
from tests.infra.declared import ACCOUNT, REGION, Stack, declare

SECRET = "aws:secretsmanager/secret:Secret"
PEPPER_ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:iops-dashboard/peppers-AbCdEf"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:iops-dashboard-pepper-rotation"


@pytest.fixture(scope="module")
def stack() -> Stack:
    return declare(lambda: Secrets(Config(environment="prod")).arns)


def test_there_is_a_secret_for_every_document_of_the_contract(stack: Stack) -> None:
    assert set(stack.result) == {contract.PEPPER_SECRETS, contract.INSIGHTS_SECRETS, contract.ALERTS_SECRETS}
    assert {each.inputs["name"]: each.inputs["recoveryWindowInDays"] for each in stack.all(SECRET)} == {
        "iops-dashboard/peppers": 30,
        "iops-dashboard/insights": 30,
        "iops-dashboard/alerts": 30,
    }


def test_outside_prod_a_deleted_secrets_name_is_free_at_once() -> None:
    stack = declare(lambda: Secrets(Config()).arns)

    assert [each.inputs["recoveryWindowInDays"] for each in stack.all(SECRET)] == [0, 0, 0]


def test_pulumis_state_never_has_a_value(stack: Stack) -> None:
    assert stack.all("aws:secretsmanager/secretVersion:SecretVersion") == []
    assert stack.all("aws:lambda/invocation:Invocation") == []


def test_to_turn_rotation_on_makes_the_first_pepper(stack: Stack) -> None:
    rotation = stack.one("aws:secretsmanager/secretRotation:SecretRotation").inputs

    assert rotation["rotateImmediately"] is True
    assert rotation["rotationRules"] == {"automaticallyAfterDays": 30}
    assert rotation["rotationLambdaArn"] == FUNCTION_ARN


def test_only_secrets_manager_may_call_the_function_and_for_the_pepper_only(stack: Stack) -> None:
    permission = stack.one("aws:lambda/permission:Permission").inputs

    assert permission["principal"] == "secretsmanager.amazonaws.com"
    assert permission["sourceArn"] == PEPPER_ARN


def test_the_function_may_touch_the_pepper_and_its_log(stack: Stack) -> None:
    pepper, log = stack.one("aws:iam/rolePolicy:RolePolicy", "rotation").json("policy")["Statement"]

    assert pepper["Resource"] == [PEPPER_ARN]
    assert log["Resource"] == [
        f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/iops-dashboard-pepper-rotation:*"
    ]


def test_the_function_is_the_file_that_is_tested(stack: Stack) -> None:
    function = stack.one("aws:lambda/function:Function").inputs

    assert (function["runtime"], function["architectures"]) == ("python3.12", ["arm64"])
    assert function["handler"] == "handler.handle"
    assert list(function["code"].assets) == ["handler.py"]
    assert function["code"].assets["handler.py"].path == str(HANDLER)
    assert "def handle(" in HANDLER.read_text()
