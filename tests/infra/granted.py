"""What a role may do: IAM's judgement, of what our policies use of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pulumi

from infra.alerting import Alerting
from infra.bucket import Bucket
from infra.config import SERVICES, Config
from infra.flags import Flags
from infra.queues import Queues
from infra.roles import Roles, RolesArgs
from infra.secrets import Secrets
from infra.table import Table
from iops import contract
from tests.infra.declared import ACCOUNT, REGION, Stack, declare

Statements = Sequence[Mapping[str, Any]]
ENDPOINT_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{contract.RISK_ENDPOINT}"


def the_stack(config: Config, *, has_endpoint: bool = True) -> Stack:
    """The roles, and everything that they are about."""

    def program() -> dict[str, Any]:
        table, queues, secrets = Table(config), Queues(config), Secrets(config)
        alerting = Alerting(config, queues)
        roles = Roles(
            RolesArgs(
                config=config,
                repository_arns={each: f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/iops-{each}" for each in SERVICES},
                log_group_arns={each: f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/iops/{each}" for each in SERVICES},
                table_arn=table.arn,
                index_arns=table.index_arns,
                queue_arns=queues.arns,
                bus_arn=alerting.bus_arn,
                topic_arn=alerting.topic_arn,
                secret_arns=secrets.arns,
                flags_arn=Flags(config).parameter_arn,
                endpoint_arn=pulumi.Output.from_input(ENDPOINT_ARN) if has_endpoint else None,
            )
        )
        Bucket(config)
        return {"execution": roles.execution_role_arn, **roles.task_role_arns}

    return declare(program)


def statements_of(stack: Stack, role: str) -> Statements:
    """What the role's one policy says."""
    found: Statements = stack.one("aws:iam/rolePolicy:RolePolicy", role).json("policy")["Statement"]
    return found


def actions_in(statements: Statements) -> set[str]:
    """Every action that is allowed on anything."""
    return {action for statement in statements for action in statement["Action"]}


def may(statements: Statements, action: str, resource: str, **context: str) -> bool:
    """Whether a request passes; `key` is the row's partition key, `profile` the inference profile's ARN."""
    named = {"dynamodb:LeadingKeys": context.get("key"), "bedrock:InferenceProfileArn": context.get("profile")}
    return any(
        action in statement["Action"]
        and any(fnmatchcase(resource, pattern) for pattern in _listed(statement["Resource"]))
        and _holds(statement.get("Condition", {}), named)
        for statement in statements
    )


def _holds(condition: Mapping[str, Mapping[str, Any]], named: Mapping[str, str | None]) -> bool:
    return all(
        _compares(operator, named[name], _listed(wanted))
        for operator, keys in condition.items()
        for name, wanted in keys.items()
    )


def _compares(operator: str, value: str | None, wanted: Iterable[str]) -> bool:
    if operator == "Null":
        return list(wanted) == [str(value is None).lower()]
    if value is None:
        return operator.startswith("ForAllValues")  # as AWS has it: nothing to compare is no contradiction
    is_like = any(fnmatchcase(value, pattern) for pattern in wanted)
    return not is_like if "NotLike" in operator else is_like


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
