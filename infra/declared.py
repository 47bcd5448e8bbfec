"""What infra declares, without a cloud: runs it under Pulumi's mocks and keeps every resource with its inputs.

    stack = declare(lambda: Network(Config()))
    stack.one("aws:ec2/vpc:Vpc").inputs["cidrBlock"]

Inputs have the wire's names (camelCase) and plain values. A program's result comes back with its outputs resolved where
they stand in dicts and lists: `declare(lambda: {"vpc": Network(Config()).vpc_id})`.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import runpy
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.stack import run_pulumi_func

ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"
ZONES: Final = ("us-east-1a", "us-east-1b", "us-east-1c")
TIME_LIMIT_S: Final = 30.0  # an output that never comes would wait for ever; a whole stack takes two
STACK: Final = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class Declared:
    """One resource, or one of our components (`iops:network:Network`)."""

    type: str
    name: str  # the logical one, unique by type
    inputs: Mapping[str, Any]
    parent: str | None  # its logical name; None is the stack itself
    is_protected: bool = False
    ignored_changes: tuple[str, ...] = ()
    waits_for: frozenset[str] = frozenset()  # the logical names of what has to be there before

    def json(self, name: str) -> Any:
        """An input that holds JSON: a policy, container definitions."""
        return json.loads(self.inputs[name])


@dataclass(frozen=True)
class Stack:
    """All that a program declared, and what it returned."""

    result: Any  # outputs resolved, in dicts and lists too
    resources: tuple[Declared, ...]

    def all(self, type_: str) -> list[Declared]:
        """Those of a type, in the order of their declaration."""
        return [resource for resource in self.resources if resource.type == type_]

    def one(self, type_: str, name: str | None = None) -> Declared:
        """The only one of a type, or the one of that logical name."""
        found = [resource for resource in self.all(type_) if name in (None, resource.name)]
        assert len(found) == 1, f"{type_} {name or ''}: {[resource.name for resource in self.all(type_)]}"
        return found[0]


def declare(program: Callable[[], object], *, config: Mapping[str, str] | None = None) -> Stack:
    """Runs `program` as a stack of its own. `config` is that of Pulumi.<stack>.yaml: `iops-dashboard:region`."""
    return contextvars.copy_context().run(_declare, program, config or {})


def declare_all(config: Mapping[str, str]) -> Stack:
    """The whole system, as `pulumi up` would with this Pulumi.<stack>.yaml."""

    def program() -> None:
        runpy.run_module("infra.__main__")

    return declare(program, config=config)


def _declare(program: Callable[[], object], config: Mapping[str, str]) -> Stack:
    monitor = RecordingMonitor(PlainMocks())
    loops: list[asyncio.AbstractEventLoop] = []
    pulumi.runtime.settings.ROOT.set(None)  # else the last stack is taken for this one
    pulumi.runtime.set_all_config(dict(config))
    results: list[Any] = []

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(1, initializer=_open_loop, initargs=(loops,))
        )
        set_mocks(monitor.mocks, project="iops-dashboard", stack="test", preview=False, monitor=monitor)
        await asyncio.wait_for(run_pulumi_func(kept), TIME_LIMIT_S)

    async def kept() -> None:
        output: pulumi.Output[Any] = pulumi.Output.from_input(program())
        results.append(await output.future())

    try:
        asyncio.run(run())
    finally:
        for loop in loops:
            loop.close()
    return Stack(results[0], tuple(monitor.declared))


def _open_loop(loops: list[asyncio.AbstractEventLoop]) -> None:
    """The mocks answer on another thread and want a loop there; somebody has to close it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loops.append(loop)


class RecordingMonitor(MockMonitor):
    """Pulumi's own, that also keeps what mocks are not shown: parents and options."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.declared: list[Declared] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        """Keeps it."""
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != STACK:
            self.declared.append(
                Declared(
                    type=request.type,
                    name=request.name,
                    inputs=pulumi.runtime.rpc.deserialize_properties(request.object),
                    parent=_logical_name(request.parent),
                    is_protected=request.protect,
                    ignored_changes=tuple(request.ignoreChanges),
                    waits_for=frozenset(filter(None, map(_logical_name, request.dependencies))),
                )
            )
        return response


def _logical_name(urn: str) -> str | None:
    *_, kind, name = urn.split("::") if urn else ("", STACK, "")
    return None if kind.rsplit("$", 1)[-1] == STACK else name


@dataclass
class PlainMocks(Mocks):
    """Answers as AWS would, with names instead of random identifiers."""

    calls: list[MockCallArgs] = field(default_factory=list)

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Its inputs, and what AWS adds."""
        return (f"{args.name}-id" if args.custom else None), computed(args) | args.inputs

    def call(self, args: MockCallArgs) -> Any:
        """Who and where we are."""
        self.calls.append(args)
        return ANSWERS[args.token]


ANSWERS: Final[Mapping[str, dict[str, Any]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:user/deployer",
        "id": ACCOUNT,
        "userId": "AIDAEXAMPLE",
    },
    "aws:index/getRegion:getRegion": {"id": REGION, "name": REGION, "region": REGION, "description": "N. Virginia"},
    "aws:index/getPartition:getPartition": {"partition": "aws", "dnsSuffix": "amazonaws.com", "id": "aws"},
    "aws:index/getAvailabilityZones:getAvailabilityZones": {"names": list(ZONES), "zoneIds": [], "id": REGION},
    "aws:sagemaker/getPrebuiltEcrImage:getPrebuiltEcrImage": {
        "registryId": "683313688378",
        "registryPath": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0",
        "id": "683313688378",
    },
    "aws:elb/getServiceAccount:getServiceAccount": {"arn": "arn:aws:iam::127311923021:root", "id": "127311923021"},
}

# What stands between the region and the name in an ARN, where it is not the service's own token.
RESOURCE_PARTS: Final[Mapping[str, str]] = {
    "aws:cloudwatch/eventBus:EventBus": "events:{region}:{account}:event-bus/{name}",
    "aws:cloudwatch/eventRule:EventRule": "events:{region}:{account}:rule/{name}",
    "aws:cloudwatch/logGroup:LogGroup": "logs:{region}:{account}:log-group:{name}",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "cloudwatch:{region}:{account}:alarm:{name}",
    "aws:cognito/userPool:UserPool": "cognito-idp:{region}:{account}:userpool/{region}_{name}",
    "aws:dynamodb/table:Table": "dynamodb:{region}:{account}:table/{name}",
    "aws:ecr/repository:Repository": "ecr:{region}:{account}:repository/{name}",
    "aws:ecs/cluster:Cluster": "ecs:{region}:{account}:cluster/{name}",
    "aws:ecs/taskDefinition:TaskDefinition": "ecs:{region}:{account}:task-definition/{name}:1",
    "aws:iam/policy:Policy": "iam::{account}:policy/{name}",
    "aws:iam/role:Role": "iam::{account}:role/{name}",
    "aws:lambda/function:Function": "lambda:{region}:{account}:function:{name}",
    "aws:lb/loadBalancer:LoadBalancer": "elasticloadbalancing:{region}:{account}:loadbalancer/app/{name}/50dc6c495c",
    "aws:lb/targetGroup:TargetGroup": "elasticloadbalancing:{region}:{account}:targetgroup/{name}/73e2d6bc24d8a067",
    "aws:s3/bucket:Bucket": "s3:::{name}",
    "aws:sagemaker/endpoint:Endpoint": "sagemaker:{region}:{account}:endpoint/{name}",
    "aws:secretsmanager/secret:Secret": "secretsmanager:{region}:{account}:secret:{name}-AbCdEf",
    "aws:sns/topic:Topic": "sns:{region}:{account}:{name}",
    "aws:sqs/queue:Queue": "sqs:{region}:{account}:{name}",
    "aws:ssm/parameter:Parameter": "ssm:{region}:{account}:parameter{name}",
}


def computed(args: MockResourceArgs) -> dict[str, Any]:
    """The outputs that AWS makes up; harmless where a type has no such output."""
    name = next((args.inputs[key] for key in ("name", "bucket", "family") if key in args.inputs), args.name)
    service, _, kind = args.typ.removeprefix("aws:").partition("/")
    default = f"{service}:{{region}}:{{account}}:{kind.rpartition(':')[2].lower()}/{{name}}"
    arn = "arn:aws:" + RESOURCE_PARTS.get(args.typ, default).format(region=REGION, account=ACCOUNT, name=name)
    outputs = {"name": name, "arn": arn, "arnSuffix": arn.partition("loadbalancer/")[2] or arn.rpartition(":")[2]}
    match args.typ:
        case "aws:lb/loadBalancer:LoadBalancer":
            outputs["dnsName"] = f"{name}.{REGION}.elb.amazonaws.com"
        case "aws:s3/bucket:Bucket":
            outputs["bucket"] = name
        case "aws:sqs/queue:Queue":
            outputs["url"] = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
        case "aws:ecr/repository:Repository":
            outputs["registryId"] = ACCOUNT
            outputs["repositoryUrl"] = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}"
        case "aws:cognito/userPool:UserPool":
            outputs["endpoint"] = f"cognito-idp.{REGION}.amazonaws.com/{REGION}_{name}"
        case "aws:ec2/vpc:Vpc":
            outputs |= {"ipv6CidrBlock": "2600:1f18:1234:5600::/56", "defaultSecurityGroupId": "sg-default"}
    return outputs
