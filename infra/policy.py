"""IAM documents: who may do what to which resource, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pulumi

VERSION: Final = "2012-10-17"

Statement = Mapping[str, Any]
Arn = pulumi.Input[str]


def allow(
    sid: str, actions: Sequence[str], resources: Sequence[Arn], *, condition: Mapping[str, Any] | None = None
) -> Statement:
    """Of a role: it may do these to these. The sid says what for."""
    said = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return said | ({"Condition": dict(condition)} if condition else {})


def deny(sid: str, actions: Sequence[str], resources: Sequence[Arn], *, condition: Mapping[str, Any]) -> Statement:
    """Of a role: whatever else allows it, not under this condition."""
    return {**allow(sid, actions, resources, condition=condition), "Effect": "Deny"}


def allow_service(sid: str, service: str, action: str, resource: Arn, *, source: Arn) -> Statement:
    """Of a resource: an AWS service may do this to it, on behalf of `source` and of nobody else."""
    return {
        **allow(sid, [action], [resource], condition={"ArnEquals": {"aws:SourceArn": source}}),
        "Principal": {"Service": service},
    }


def deny_unencrypted(action: str, resources: Sequence[Arn]) -> Statement:
    """Of a resource: nobody comes without TLS."""
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    return {**deny("OnlyWithTls", [action], resources, condition=condition), "Principal": "*"}


def document(*statements: Statement) -> pulumi.Output[str]:
    """All of them, as AWS takes it."""
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": list(statements)})


def trust(service: str, *, account_id: pulumi.Input[str] | None = None) -> pulumi.Output[str]:
    """Which AWS service takes on a role; with an account, only for what is in it."""
    said: dict[str, Any] = {
        "Sid": "TakesTheRole",
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if account_id is not None:
        said["Condition"] = {"StringEquals": {"aws:SourceAccount": account_id}}
    return document(said)
