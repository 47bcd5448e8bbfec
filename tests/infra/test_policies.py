"""Every policy that is declared, read by cfn-lint: actions that do not exist, resources that are none."""

import json
from collections.abc import Mapping
from typing import Any, Final

from cfnlint.api import lint_all  # type: ignore[import-untyped]

from infra.config import Config
from tests.infra.declared import Declared, Stack
from tests.infra.granted import the_stack

POLICY_OF: Final[
    Mapping[str, tuple[str, dict[str, Any]]]
] = {  # our type -> CloudFormation's, and what else that asks for
    "aws:sqs/queuePolicy:QueuePolicy": ("AWS::SQS::QueuePolicy", {"Queues": ["https://sqs/queue"]}),
    "aws:sns/topicPolicy:TopicPolicy": ("AWS::SNS::TopicPolicy", {"Topics": ["arn:aws:sns:us-east-1:123456789012:a"]}),
    "aws:s3/bucketPolicy:BucketPolicy": ("AWS::S3::BucketPolicy", {"Bucket": "models"}),
}


def as_template(stack: Stack) -> dict[str, Any]:
    """The policies, as CloudFormation would have them."""
    resources: dict[str, Any] = {}
    for index, each in enumerate(stack.resources):
        if each.type in POLICY_OF:
            type_, more = POLICY_OF[each.type]
            resources[f"Policy{index}"] = {
                "Type": type_,
                "Properties": {"PolicyDocument": each.json("policy"), **more},
            }
        elif each.type == "aws:iam/rolePolicy:RolePolicy":
            resources[f"Role{index}"] = _role(each, stack)
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def _role(policy: Declared, stack: Stack) -> dict[str, Any]:
    role = next(
        each
        for each in stack.all("aws:iam/role:Role")
        if each.name in (policy.name, f"iops-dashboard-{policy.name}", f"iops-dashboard-pepper-{policy.name}")
    )
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": role.json("assumeRolePolicy"),
            "Policies": [{"PolicyName": policy.name, "PolicyDocument": policy.json("policy")}],
        },
    }


def problems_of(template: dict[str, Any]) -> list[str]:
    """Errors and warnings; what it would like to be told (I...) is about templates that people keep."""
    found = lint_all(json.dumps(template))
    return [str(problem) for problem in found if not str(problem.rule.id).startswith("I")]


def test_cfn_lint_has_nothing_to_say_of_our_policies() -> None:
    template = as_template(the_stack(Config(sagemaker="serverless")))

    assert len(template["Resources"]) == 12  # 5 queues, a topic, a bucket, 4 roles of tasks, 1 of the rotation
    assert problems_of(template) == []


def test_cfn_lint_sees_an_action_that_does_not_exist() -> None:
    template = as_template(the_stack(Config()))
    role = next(each for each in template["Resources"].values() if each["Type"] == "AWS::IAM::Role")
    role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]["Action"] = ["dynamodb:TransactWriteItems"]

    assert problems_of(template) != []
