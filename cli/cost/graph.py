"""What each kind of resource costs that infra declares: a function by Pulumi type, and the types that cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cli.cost import tasks, traffic
from cli.cost.fleet import Fleet
from cli.cost.free import FREE
from cli.cost.line import Line, Quantity, idle, use
from cli.cost.prices import MONTH_H, PriceList
from cli.cost.table import table_lines
from iops import contract

if TYPE_CHECKING:
    from infra.declared import Declared

IMAGE_GB: Final = 0.5  # assumed: what lifecycle rules leave in a repository, compressed, with layers shared
BUCKET_GB: Final = 1.0  # assumed: models and exports
PEOPLE: Final = 20  # assumed: who sign in


class UnpricedType(Exception):
    """A resource that may cost, and nobody has said what."""


@dataclass(frozen=True)
class Scene:
    """What a price function looks at."""

    resources: Sequence[Declared]
    fleet: Fleet
    prices: PriceList

    def all(self, type_: str) -> list[Declared]:
        return [each for each in self.resources if each.type == type_]

    @property
    def tasks(self) -> Mapping[str, float]:
        """Of each service: how many run."""
        return tasks.counts(self.all(tasks.SERVICE))


Pricer = Callable[[Scene, "list[Declared]"], Iterator[Line]]


def graph_cost(scene: Scene) -> list[Line]:
    """The bill of all resources, in the order of PRICED. Raises UnpricedType."""
    types = {each.type for each in scene.resources}
    unknown = {type_ for type_ in types - PRICED.keys() - FREE if not type_.startswith(OURS)}
    if unknown:
        raise UnpricedType(f"{', '.join(sorted(unknown))}: cli/cost/graph.py has no price for it, nor is it in FREE")
    return [line for type_, price in PRICED.items() if type_ in types for line in price(scene, scene.all(type_))]


def _services(scene: Scene, services: list[Declared]) -> Iterator[Line]:
    yield from tasks.task_lines(services, scene.all(tasks.DEFINITION), scene.prices)


def _balancers(scene: Scene, balancers: list[Declared]) -> Iterator[Line]:
    for each in balancers:
        yield idle("balancer", "load balancer", scene.prices["balancer"], 1)
        if not each.inputs.get("internal"):
            zones = len(each.inputs.get("subnets") or each.inputs.get("subnetMappings") or ())
            yield idle("network", "the balancer's public IPv4", scene.prices["public_ipv4"], zones)
        yield use("balancer", "capacity units", scene.prices["balancer_lcu"], traffic.lcus(scene.fleet))
    yield use("network", "answers to the internet", scene.prices["egress_gb"], traffic.egress_gb(scene.fleet))


def _gateways(scene: Scene, gateways: list[Declared]) -> Iterator[Line]:
    yield idle("network", "NAT gateway", scene.prices["nat_gateway"], len(gateways))
    yield use("network", "through NAT", scene.prices["nat_gb"], traffic.nat_gb(scene.fleet, scene.tasks))


def _addresses(scene: Scene, addresses: list[Declared]) -> Iterator[Line]:
    yield idle("network", "elastic IPv4", scene.prices["public_ipv4"], len(addresses))


def _endpoints(scene: Scene, endpoints: list[Declared]) -> Iterator[Line]:
    zones = [len(each.inputs["subnetIds"]) for each in endpoints if each.inputs.get("vpcEndpointType") == "Interface"]
    if zones:
        yield idle("network", "interface endpoints", scene.prices["interface_endpoint"], sum(zones))


def _tables(scene: Scene, tables: list[Declared]) -> Iterator[Line]:
    targets = scene.all("aws:appautoscaling/target:Target")
    for each in tables:
        yield from table_lines(each, targets, scene.fleet, scene.tasks, scene.prices)


def _logs(scene: Scene, _: list[Declared]) -> Iterator[Line]:
    yield use("watching", "logs", scene.prices["log_gb"], traffic.log_gb(scene.fleet, scene.tasks))
    metrics = sum(map(len, contract.CUSTOM_METRICS.values()))  # CloudWatch makes them of lines in the logs
    yield idle("watching", "custom metrics", scene.prices["custom_metric"], metrics)


def _alarms(scene: Scene, alarms: list[Declared]) -> Iterator[Line]:
    watched = sum(_metrics_of(each.inputs) for each in alarms)
    how = f"{len(alarms)} alarms on {watched} metrics"
    yield idle("watching", "alarms", scene.prices["alarm"], watched, how=how)


def _scalings(scene: Scene, policies: list[Declared]) -> Iterator[Line]:
    """AWS makes alarms for each policy that keeps to a target: two, and four for a table's capacity."""
    tracking = [each.inputs for each in policies if each.inputs.get("policyType") == "TargetTrackingScaling"]
    made = sum(4 if each.get("serviceNamespace") == "dynamodb" else 2 for each in tracking)
    how = f"{made} that AWS makes for {len(tracking)} policies"
    price = replace(scene.prices["alarm"], free=0)  # our own have the allowance
    yield idle("watching", "alarms of autoscaling", price, made, how=how)


def _clusters(_: Scene, clusters: list[Declared]) -> Iterator[Line]:
    """Free, unless it tells CloudWatch of every container."""
    settings = [setting for each in clusters for setting in each.inputs.get("settings") or ()]
    if any(each["name"] == "containerInsights" and each["value"] != "disabled" for each in settings):
        raise UnpricedType("Container Insights: each metric of each task costs, and prices.toml does not say how many")
    yield from ()


def _metrics_of(inputs: Mapping[str, Any]) -> int:
    """How many metrics an alarm reads: each is paid for."""
    return sum(1 for query in inputs.get("metricQueries") or () if query.get("metric")) or 1


def _dashboards(scene: Scene, dashboards: list[Declared]) -> Iterator[Line]:
    yield idle("watching", "dashboards", scene.prices["dashboard"], len(dashboards))


def _secrets(scene: Scene, secrets: list[Declared]) -> Iterator[Line]:
    yield idle("secrets", "secrets", scene.prices["secret"], len(secrets))
    yield use("secrets", "reading secrets", scene.prices["secret_reads"], traffic.secret_reads(scene.tasks))


def _queues(scene: Scene, _: list[Declared]) -> Iterator[Line]:
    quantity = traffic.queue_requests(scene.fleet, scene.tasks)
    yield use("messages", "queue requests", scene.prices["queue_requests"], quantity)


def _buses(scene: Scene, _: list[Declared]) -> Iterator[Line]:
    yield use("messages", "events", scene.prices["bus_events"], traffic.events(scene.fleet))


def _topics(scene: Scene, _: list[Declared]) -> Iterator[Line]:
    yield use("messages", "mails to one address", scene.prices["mails"], traffic.events(scene.fleet))


def _images(scene: Scene, repositories: list[Declared]) -> Iterator[Line]:
    how = f"{len(repositories)} repositories x {IMAGE_GB:g} GB (assumed)"
    quantity = Quantity(len(repositories) * IMAGE_GB, how)
    yield use("storage", "images", scene.prices["image_gb"], quantity)


def _buckets(scene: Scene, buckets: list[Declared]) -> Iterator[Line]:
    quantity = Quantity(len(buckets) * BUCKET_GB, f"{len(buckets)} buckets x {BUCKET_GB:g} GB (assumed)")
    yield use("storage", "models and exports", scene.prices["bucket_gb"], quantity)


def _keys(scene: Scene, keys: list[Declared]) -> Iterator[Line]:
    yield idle("secrets", "keys of KMS", scene.prices["key"], len(keys))


def _pools(scene: Scene, _: list[Declared]) -> Iterator[Line]:
    yield use("people", "signing in", scene.prices["people"], Quantity(PEOPLE, f"{PEOPLE} people (assumed)"))


def _firewalls(scene: Scene, walls: list[Declared]) -> Iterator[Line]:
    rules = sum(len(each.inputs.get("rules") or ()) for each in walls)
    yield idle("network", "WAF", scene.prices["waf"], len(walls))
    yield idle("network", "WAF's rules", scene.prices["waf_rule"], rules)
    yield use("network", "WAF's requests", scene.prices["waf_requests"], traffic.waf_requests(scene.fleet))


def _models(scene: Scene, configurations: list[Declared]) -> Iterator[Line]:
    """A serverless variant costs nothing while nobody asks it, and the flag's share begins at 0."""
    variants = [variant for each in configurations for variant in each.inputs.get("productionVariants") or ()]
    instances = [variant for variant in variants if variant.get("instanceType")]
    if unknown := {each["instanceType"] for each in instances} - {"ml.m5.large"}:
        raise UnpricedType(f"{', '.join(sorted(unknown))}: prices.toml knows ml.m5.large only")
    if instances:
        hours = sum(int(each.get("initialInstanceCount") or 1) for each in instances) * MONTH_H
        yield idle("model", "SageMaker, real time", scene.prices["sagemaker_m5_large"], hours)


OURS: Final = ("iops:", "pulumi:")

PRICED: Final[Mapping[str, Pricer]] = {
    tasks.SERVICE: _services,
    "aws:lb/loadBalancer:LoadBalancer": _balancers,
    "aws:ec2/natGateway:NatGateway": _gateways,
    "aws:ec2/eip:Eip": _addresses,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoints,
    "aws:wafv2/webAcl:WebAcl": _firewalls,
    "aws:dynamodb/table:Table": _tables,
    "aws:sqs/queue:Queue": _queues,
    "aws:cloudwatch/eventBus:EventBus": _buses,
    "aws:sns/topic:Topic": _topics,
    "aws:secretsmanager/secret:Secret": _secrets,
    "aws:kms/key:Key": _keys,
    "aws:cognito/userPool:UserPool": _pools,
    "aws:ecr/repository:Repository": _images,
    "aws:s3/bucket:Bucket": _buckets,
    "aws:cloudwatch/logGroup:LogGroup": _logs,
    "aws:cloudwatch/metricAlarm:MetricAlarm": _alarms,
    "aws:appautoscaling/policy:Policy": _scalings,
    "aws:ecs/cluster:Cluster": _clusters,
    "aws:cloudwatch/dashboard:Dashboard": _dashboards,
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": _models,
}
