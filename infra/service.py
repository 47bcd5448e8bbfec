"""One service: its task definition, how many tasks run, and how a new image takes over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.balancer import IDLE_TIMEOUT_S, Balancer
from infra.cluster import Cluster
from infra.config import Config
from infra.container import container
from infra.network import SERVICE_PORT, Network
from infra.scaling import Scaling

KEEP_ALIVE_S: Final = IDLE_TIMEOUT_S + 5  # a task that closes first can meet the balancer's next request: a 502
CPU: Final = "256"  # 0.25 vCPU, with 0.5 GB $7.21 a month on ARM, about $2.16 on Spot
SMALL_MIB: Final = "512"  # ingest's peak was 125 MB
LARGE_MIB: Final = "1024"  # $1.30 a month more: a window is 235 KB, so 1,000 of them and the model need 400 MB
LARGE_STREAMS: Final = 500
GRACE_S: Final = 60  # before the balancer's opinion of a new task counts
KEYLESS: Final = ("SECRET", "PASSWORD", "TOKEN", "API_KEY", "PEPPER")


@dataclass(frozen=True, slots=True)
class ServiceArgs:
    """What a service needs of the others."""

    config: Config
    network: Network
    cluster: Cluster
    balancer: Balancer
    image: pulumi.Input[str]
    log_group: pulumi.Input[str]
    execution_role_arn: pulumi.Input[str]
    task_role_arn: pulumi.Input[str]
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)  # beside what every service is told
    rollback_alarms: Sequence[pulumi.Input[str]] = ()  # names; one that rings while a new image comes takes it back


class Service(pulumi.ComponentResource):
    """A new image runs beside the old one until it is healthy; where it is not, the old one stays."""

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:service:Service", name, None, opts)
        if told := [key for key in args.environment if any(word in key for word in KEYLESS)]:
            raise ValueError(f"{name}: {', '.join(told)} looks like a secret; services read secrets by name")
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.task_definition = self._define_task()
        self.service = self._run()
        self.autoscaling = Scaling(
            name,
            balancer=args.balancer,
            cluster_name=args.cluster.name,
            service_name=self.service.name,
            opts=self._child,
        )
        self.register_outputs({})

    def _environment(self) -> dict[str, pulumi.Input[str]]:
        network, name = self._args.network, self._name
        told: dict[str, pulumi.Input[str]] = {
            "IOPS_AWS_REGION": self._args.config.region,
            "IOPS_KEEP_ALIVE_S": str(KEEP_ALIVE_S),
            "IOPS_LISTEN_HOST": "0.0.0.0",  # noqa: S104 - the security group lets the balancer in, nobody else
            "IOPS_LISTEN_PORT": str(SERVICE_PORT),
            "IOPS_PUBLIC_URL": self._args.balancer.url,
            "IOPS_TRUSTED_PROXIES": network.balancer_cidrs.apply(",".join),
        }
        if network.is_ipv6_only(name):
            told |= {"IOPS_LISTEN_HOST": "::", "AWS_USE_DUALSTACK_ENDPOINT": "true"}
        return {**told, **self._args.environment}

    def _define_task(self) -> aws.ecs.TaskDefinition:
        args = self._args
        is_large = self._name == "insights" and args.config.streams > LARGE_STREAMS
        definition = container(
            self._name,
            image=args.image,
            environment=self._environment(),
            log_group=args.log_group,
            region=args.config.region,
            is_ipv6_only=args.network.is_ipv6_only(self._name),
        )
        return aws.ecs.TaskDefinition(
            self._name,
            family=f"iops-dashboard-{args.config.environment}-{self._name}",
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=CPU,
            memory=LARGE_MIB if is_large else SMALL_MIB,
            runtime_platform=aws.ecs.TaskDefinitionRuntimePlatformArgs(
                cpu_architecture="ARM64", operating_system_family="LINUX"
            ),
            execution_role_arn=args.execution_role_arn,
            task_role_arn=args.task_role_arn,
            skip_destroy=True,  # `make rollback` needs the definitions before
            container_definitions=pulumi.Output.json_dumps([definition]),
            opts=self._child,
        )

    def _run(self) -> aws.ecs.Service:
        args, name = self._args, self._name
        provider = "FARGATE_SPOT" if name in args.config.spot_services else "FARGATE"
        return aws.ecs.Service(
            name,
            name=name,
            cluster=args.cluster.arn,
            task_definition=self.task_definition.arn,
            desired_count=1,
            platform_version="1.4.0",
            capacity_provider_strategies=[
                aws.ecs.ServiceCapacityProviderStrategyArgs(capacity_provider=provider, weight=1)
            ],
            network_configuration=aws.ecs.ServiceNetworkConfigurationArgs(
                subnets=args.network.task_subnet_ids(name),
                security_groups=[args.network.task_security_group_ids[name]],
                assign_public_ip=args.network.assign_public_ip(name),
            ),
            load_balancers=[
                aws.ecs.ServiceLoadBalancerArgs(
                    target_group_arn=args.balancer.target_groups[name].arn,
                    container_name=name,
                    container_port=SERVICE_PORT,
                )
            ],
            health_check_grace_period_seconds=GRACE_S,
            deployment_minimum_healthy_percent=100,
            deployment_maximum_percent=200,
            deployment_circuit_breaker=aws.ecs.ServiceDeploymentCircuitBreakerArgs(enable=True, rollback=True),
            alarms=self._rollback_alarms(),
            availability_zone_rebalancing="ENABLED",
            enable_execute_command=False,  # its agent wants to write where the container may not
            enable_ecs_managed_tags=True,
            propagate_tags="SERVICE",  # so that the bill can be split
            # A target group that no listener's rule names yet is refused.
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=["desiredCount"], depends_on=[args.balancer, args.cluster]
            ),
        )

    def _rollback_alarms(self) -> aws.ecs.ServiceAlarmsArgs | None:
        if not self._args.rollback_alarms:
            return None
        return aws.ecs.ServiceAlarmsArgs(enable=True, rollback=True, alarm_names=list(self._args.rollback_alarms))
