"""The whole program, run under mocks as both stacks and with each way out and capacity."""

import json
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.config import SERVICES, BadConfig
from iops import contract
from tests.infra.declared import Declared, Stack, declare
from tests.infra.test_environment import SETTINGS

INFRA = Path(__file__).parents[2] / "infra"
PROD = {
    "environment": "prod",
    "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/1",
    "public_url": "https://iops.example.com",
}
MAILS = json.dumps(["storage@example.com"])
TAGS = json.dumps(dict.fromkeys(SERVICES, "0123456789ab"))
CHOICES = [
    {"environment": "dev"},
    PROD,
    *({**PROD, "egress": egress} for egress in ("public-ipv4", "nat")),
    {**PROD, "capacity_mode": "provisioned"},
    {**PROD, "has_waf": "true", "has_access_logs": "true"},
    {"environment": "dev", "has_bedrock": "false"},
]
IDS = ["-".join([*choice.values()][:1] + [name for name in choice if name not in PROD]) for choice in CHOICES]
LETTERS = {contract.SCORING_DEAD_LETTERS, contract.RULE_DEAD_LETTERS, contract.SUBSCRIPTION_DEAD_LETTERS}
# Nothing of ours waits in them for somebody: the canary's message is read once, or its alarm fires.
WITHOUT_LETTERS = {*LETTERS, contract.CANARY_QUEUE}


@cache
def a_stack(choice: tuple[tuple[str, str], ...]) -> Stack:
    config = {**dict(choice), "alert_emails": MAILS, "image_tags": TAGS}
    return declare(run_as_pulumi_does, config={f"iops-dashboard:{name}": value for name, value in config.items()})


def run_as_pulumi_does() -> None:
    runpy.run_path(str(INFRA), run_name="__main__")


@pytest.fixture(params=CHOICES, ids=IDS)
def stack(request: pytest.FixtureRequest) -> Stack:
    return a_stack(tuple(request.param.items()))


def documents(stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every policy of a role, and whose it is."""
    for each in stack.all("aws:iam/rolePolicy:RolePolicy"):
        for statement in each.json("policy")["Statement"]:
            yield each.name, statement


def test_every_choice_declares_three_services_and_what_they_stand_on(stack: Stack) -> None:
    assert len(stack.all("aws:ecs/service:Service")) == 3
    assert stack.one("aws:dynamodb/table:Table").inputs["name"] == contract.TABLE_NAME
    assert {each.inputs["name"] for each in stack.all("aws:sqs/queue:Queue")} == {
        contract.SCORING_QUEUE,
        contract.CANARY_QUEUE,
        *LETTERS,
    }


def test_every_queue_has_dead_letters_or_holds_them(stack: Stack) -> None:
    lonely = {each.inputs["name"] for each in stack.all("aws:sqs/queue:Queue") if "redrivePolicy" not in each.inputs}

    assert lonely == WITHOUT_LETTERS


def test_the_names_are_those_of_the_contract(stack: Stack) -> None:
    assert [each.inputs["name"] for each in stack.all("aws:cloudwatch/eventBus:EventBus")] == [contract.EVENT_BUS]
    assert [each.inputs["name"] for each in stack.all("aws:cloudwatch/eventRule:EventRule")] == [contract.EVENT_RULE]
    topics = {each.inputs["name"] for each in stack.all("aws:sns/topic:Topic")}
    assert topics == {contract.ALERT_TOPIC, contract.OPERATIONS_TOPIC}
    secrets = {each.inputs["name"] for each in stack.all("aws:secretsmanager/secret:Secret")}
    assert contract.PEPPER_SECRETS in secrets
    assert secrets <= {contract.PEPPER_SECRETS, contract.INSIGHTS_SECRETS, contract.ALERTS_SECRETS}
    assert [each.inputs["name"] for each in stack.all("aws:ssm/parameter:Parameter")] == [contract.FLAGS_PARAMETER]


def test_no_role_may_do_everything_nor_anything_to_everything(stack: Stack) -> None:
    for role, statement in documents(stack):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert [action for action in actions if action.endswith(":*") or action == "*"] == [], role
        if statement["Resource"] in ("*", ["*"]):
            assert set(actions) <= WITHOUT_ARNS, f"{role}: {actions}"


# AWS gives these no resource to name.
WITHOUT_ARNS = {
    "ecr:GetAuthorizationToken",
    "secretsmanager:GetRandomPassword",
}


def test_nobody_outside_reaches_anything_but_the_balancer(stack: Stack) -> None:
    rules = stack.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    open_to_all = {each.name for each in rules if each.inputs.get("cidrIpv4") or each.inputs.get("cidrIpv6")}

    assert open_to_all
    assert {name for name in open_to_all if not name.startswith("balancer-")} == set()
    for bucket in stack.all("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"):
        names = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        assert all(bucket.inputs[name] for name in names)
    assert len(stack.all("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")) == len(
        stack.all("aws:s3/bucket:Bucket")
    )


def containers(stack: Stack) -> Iterator[tuple[Declared, dict[str, Any]]]:
    for each in stack.all("aws:ecs/taskDefinition:TaskDefinition"):
        for container in each.json("containerDefinitions"):
            yield each, container


def test_each_service_runs_its_commit_and_no_secret_stands_in_its_environment(stack: Stack) -> None:
    found = list(containers(stack))

    assert len(found) == len(SERVICES)
    for _, container in found:
        assert container["image"].endswith(":0123456789ab")
        names = {each["name"] for each in container["environment"]}
        assert {"IOPS_LISTEN_HOST", "IOPS_PUBLIC_URL", "IOPS_TRUSTED_PROXIES", "IOPS_AWS_REGION"} <= names
        assert {name for name in names if "SECRET" in name or "KEY" in name} == set()
        assert "IOPS_AUTH" not in names


def test_each_service_starts_with_what_it_is_told(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IOPS_AUTH", raising=False)  # other tests ask without keys
    for task, container in containers(stack):
        with monkeypatch.context() as task_environment:
            for each in container["environment"]:
                task_environment.setenv(each["name"], each["value"])
            settings = SETTINGS[container["name"]]()
        assert (settings.listen_port, settings.auth) == (8000, "on"), task.name
        known = {f"IOPS_{name.upper()}" for name in SETTINGS[container["name"]].model_fields}
        told = {each["name"] for each in container["environment"] if each["name"].startswith("IOPS_")}
        assert told - known == set(), task.name


def test_prod_is_protected_and_dev_may_be_deleted() -> None:
    prod, dev = (a_stack(tuple(choice.items())) for choice in (PROD, {"environment": "dev"}))

    assert prod.one("aws:dynamodb/table:Table").inputs["deletionProtectionEnabled"] is True
    assert not dev.one("aws:dynamodb/table:Table").inputs.get("deletionProtectionEnabled")


def test_prod_is_let_go_without_another_name_for_anything() -> None:
    kept, free = a_stack(tuple(PROD.items())), a_stack((*PROD.items(), ("may_be_deleted", "true")))

    assert not any(each.is_protected for each in free.resources)
    assert free.one("aws:dynamodb/table:Table").inputs["deletionProtectionEnabled"] is False
    assert free.one("aws:lb/loadBalancer:LoadBalancer").inputs["enableDeletionProtection"] is False
    assert all(each.inputs["forceDelete"] for each in free.all("aws:ecr/repository:Repository"))
    assert names_in(free) == names_in(kept)


def names_in(stack: Stack) -> set[tuple[str, str, str]]:
    """What AWS makes a thing anew for, where it changes."""
    given = ((each, each.inputs.get("name") or each.inputs.get("bucket") or "") for each in stack.resources)
    return {(each.type, each.name, name) for each, name in given}


def test_an_up_that_names_no_images_is_refused() -> None:
    """It would take the running ones away for some that are not there."""
    with pytest.raises(BadConfig, match="make deploy"):
        declare(run_as_pulumi_does, config={"iops-dashboard:environment": "dev"})


def test_an_empty_account_gets_everything_but_what_needs_an_image() -> None:
    stack = a_stack((("environment", "dev"), ("has_services", "false")))

    assert stack.all("aws:ecs/service:Service") == []
    assert len(stack.all("aws:ecr/repository:Repository")) == 3
    assert len(stack.all("aws:dynamodb/table:Table")) == 1
