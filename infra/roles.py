"""Who may do what: one role that starts tasks, and one for what each service asks of AWS, by action and by ARN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra import bedrock
from infra.config import SERVICES, Config
from infra.policy import Arn, Statement, allow, document, trust
from iops import contract

TASKS: Final = "ecs-tasks.amazonaws.com"
LETTERS: Final = (contract.SCORING_DEAD_LETTERS, contract.RULE_DEAD_LETTERS, contract.SUBSCRIPTION_DEAD_LETTERS)
OWN_ROWS: Final = "*#*"  # every key but a stream's; a stream's id has no # in it
ROWS_IN_PLACE: Final = ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem", "DescribeTable")


@dataclass(frozen=True, slots=True)
class RolesArgs:
    """What the roles are about; the mappings are by the contract's names, or by service."""

    config: Config
    repository_arns: Mapping[str, Arn]
    log_group_arns: Mapping[str, Arn]
    table_arn: Arn
    index_arns: pulumi.Input[Sequence[str]]
    queue_arns: Mapping[str, Arn]
    bus_arn: Arn
    topic_arn: Arn
    secret_arns: Mapping[str, Arn]
    flags_arn: Arn
    endpoint_arn: Arn | None  # None where the stack has no endpoint


class Roles(pulumi.ComponentResource):
    """IAM is free."""

    execution_role_arn: pulumi.Output[str]
    task_role_arns: dict[str, pulumi.Output[str]]

    def __init__(self, args: RolesArgs, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:roles:Roles", "roles", None, opts)
        self._account_id = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(parent=self)).account_id
        self.execution_role_arn = self._role("execution", _execution(args))
        services = {
            "ingest": _ingest(args),
            "insights": [*_insights(args), *self._language_models(args.config)],
            "alerts": _alerts(args),
        }
        self.task_role_arns = {service: self._role(service, services[service]) for service in SERVICES}
        self.register_outputs({"execution_role_arn": self.execution_role_arn, "task_role_arns": self.task_role_arns})

    def _role(self, name: str, statements: Sequence[Statement]) -> pulumi.Output[str]:
        """Its ARN, once it may do what is said: a task that starts before is refused what it needs."""
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"iops-dashboard-{name}",
            assume_role_policy=trust(TASKS, account_id=self._account_id),
            description=f"IOPS Dashboard: {name}",
            opts=child,
        )
        policy = aws.iam.RolePolicy(name, role=role.id, policy=document(*statements), opts=child)
        return pulumi.Output.all(role.arn, policy.id).apply(lambda known: str(known[0]))

    def _language_models(self, config: Config) -> list[Statement]:
        """The profile, and behind it the model in every region it may send to; the model alone answers nobody."""
        if not config.has_bedrock:
            return []
        routes = self._account_id.apply(lambda account: bedrock.routes(config.region, account))
        profiles = routes.apply(lambda found: [route.profile_arn for route in found])
        models = routes.apply(lambda found: [arn for route in found for arn in route.model_arns])
        through = {"ArnEquals": {"bedrock:InferenceProfileArn": profiles}}
        return [
            _allow_all("AskLanguageModels", ["bedrock:InvokeModel"], profiles),
            {**_allow_all("ThroughTheirProfilesOnly", ["bedrock:InvokeModel"], models), "Condition": through},
        ]


def _execution(args: RolesArgs) -> list[Statement]:
    """What ECS does before and beside a task: load its image, write its log."""
    return [
        allow("SignInAtTheRegistry", ["ecr:GetAuthorizationToken"], ["*"]),  # AWS has no resource for it
        allow(
            "LoadImages",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            list(args.repository_arns.values()),
        ),
        allow(
            "WriteLogs",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [pulumi.Output.format("{0}:*", arn) for arn in args.log_group_arns.values()],
        ),
    ]


def _ingest(args: RolesArgs) -> list[Statement]:
    """It stands open to the world, so it reaches telemetry and keys, and no insight, alert or audit row."""
    table, queues = [args.table_arn], args.queue_arns
    return [
        allow("WriteTelemetry", _table("BatchWriteItem", "UpdateItem"), table, condition=_no_key_like(OWN_ROWS)),
        allow("ReadCounters", _table("Query"), table, condition=_no_key_like(OWN_ROWS)),
        allow("KeepGroups", _table("PutItem", "DeleteItem"), table, condition=_keys_like("group#*")),
        allow("TendKeys", _table("GetItem", "PutItem", "UpdateItem"), table, condition=_keys_like("apikey#*")),
        allow("TellHowItIs", _table("PutItem", "DeleteItem"), table, condition=_keys_like("pulse#ingest")),
        allow("BeReady", _table("DescribeTable"), table),
        allow("AskForScorings", _queue("SendMessage"), [queues[contract.SCORING_QUEUE]]),
        allow(
            "FindQueues", _queue("GetQueueUrl"), _arns(queues, contract.SCORING_QUEUE, contract.SCORING_DEAD_LETTERS)
        ),
        _read_secrets(args, contract.PEPPER_SECRETS),
    ]


def _insights(args: RolesArgs) -> list[Statement]:
    queues = args.queue_arns
    endpoint = [] if args.endpoint_arn is None else [args.endpoint_arn]
    return [
        *_rows(args),
        allow(
            "TakeScorings",
            _queue("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"),
            [queues[contract.SCORING_QUEUE]],
        ),
        allow("BuryPoison", _queue("SendMessage"), [queues[contract.SCORING_DEAD_LETTERS]]),
        allow(
            "FindQueues", _queue("GetQueueUrl"), _arns(queues, contract.SCORING_QUEUE, contract.SCORING_DEAD_LETTERS)
        ),
        allow("ReadFlags", ["ssm:GetParameter", "ssm:GetParameterHistory"], [args.flags_arn]),
        _read_secrets(args, contract.PEPPER_SECRETS, contract.INSIGHTS_SECRETS),
        *([allow("AskTheEndpoint", ["sagemaker:InvokeEndpoint"], endpoint)] if endpoint else []),
    ]


def _alerts(args: RolesArgs) -> list[Statement]:
    queues = args.queue_arns
    looked_at = _queue("GetQueueAttributes", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")
    return [
        *_rows(args),
        allow("TellPeople", ["events:PutEvents"], [args.bus_arn]),
        allow("RedriveLetters", looked_at, _arns(queues, *LETTERS)),
        allow("RedriveScorings", _queue("SendMessage"), [queues[contract.SCORING_QUEUE]]),
        allow("RedriveMails", ["sns:Publish"], [args.topic_arn]),
        allow("WatchTheCanary", _queue("ReceiveMessage", "DeleteMessage"), [queues[contract.CANARY_QUEUE]]),
        allow(
            "FindQueues", _queue("GetQueueUrl"), _arns(queues, *LETTERS, contract.SCORING_QUEUE, contract.CANARY_QUEUE)
        ),
        _read_secrets(args, contract.PEPPER_SECRETS, contract.ALERTS_SECRETS),
    ]


def _rows(args: RolesArgs) -> list[Statement]:
    """The table in whole, row by row or a query at a time; nobody scans it, and nobody writes it in batches."""
    return [
        allow("ReadAndWriteRows", _table(*ROWS_IN_PLACE, "Query"), [args.table_arn]),
        _allow_all("ListRows", _table("Query"), args.index_arns),
    ]


def _read_secrets(args: RolesArgs, *names: str) -> Statement:
    return allow("ReadSecrets", ["secretsmanager:GetSecretValue"], [args.secret_arns[name] for name in names])


def _allow_all(sid: str, actions: Sequence[str], arns: pulumi.Input[Any]) -> Statement:
    """As `allow`, for ARNs whose number is known later."""
    return {**allow(sid, actions, []), "Resource": arns}


def _keys_like(*patterns: str) -> dict[str, Any]:
    """Only rows whose partition key is like one of these; a request that names no key is no request for rows."""
    return _keyed("ForAllValues:StringLike", patterns)


def _no_key_like(*patterns: str) -> dict[str, Any]:
    return _keyed("ForAllValues:StringNotLike", patterns)


def _keyed(comparison: str, patterns: Sequence[str]) -> dict[str, Any]:
    """`ForAllValues` alone would hold, too, where there is no value at all."""
    return {comparison: {"dynamodb:LeadingKeys": list(patterns)}, "Null": {"dynamodb:LeadingKeys": "false"}}


def _table(*actions: str) -> list[str]:
    return [f"dynamodb:{action}" for action in actions]


def _queue(*actions: str) -> list[str]:
    return [f"sqs:{action}" for action in actions]


def _arns(arns: Mapping[str, Arn], *names: str) -> list[Arn]:
    return [arns[name] for name in names]
