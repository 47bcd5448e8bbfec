"""A stack with all that services stand on, for tests of how they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infra.balancer import Balancer
from infra.cluster import Cluster
from infra.config import SERVICES, Config
from infra.logs import Logs
from infra.network import Network
from infra.registry import Registry
from infra.service import Service, ServiceArgs
from tests.infra.declared import ACCOUNT, Stack, declare

CERTIFICATE: Final = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/0d5e1a4c"
PROD: Final = Config(environment="prod", certificate_arn=CERTIFICATE, alert_emails=("oncall@example.com",))
EGRESSES: Final = ("ipv6", "public-ipv4", "nat")


def declare_services(config: Config, *, environment: Mapping[str, str] | None = None) -> Stack:
    """The three services, with an alarm that takes a new image back; once for each configuration."""
    wanted = repr((config, environment))
    if wanted not in STACKS:
        STACKS[wanted] = _declare_services(config, environment or {})
    return STACKS[wanted]


STACKS: Final[dict[str, Stack]] = {}


def _declare_services(config: Config, environment: Mapping[str, str]) -> Stack:
    def program() -> dict[str, Any]:
        network, registry, logs, cluster = Network(config), Registry(config), Logs(config), Cluster(config)
        balancer = Balancer(config, network)
        for name in SERVICES:
            args = ServiceArgs(
                config=config,
                network=network,
                cluster=cluster,
                balancer=balancer,
                image=registry.image(name, config.image_tag(name)),
                log_group=logs.groups[name].name,
                execution_role_arn=f"arn:aws:iam::{ACCOUNT}:role/execution",
                task_role_arn=f"arn:aws:iam::{ACCOUNT}:role/{name}",
                environment=environment,
                rollback_alarms=["iops-dashboard-5xx"],
            )
            Service(name, args)
        return {
            "public": network.public_subnet_ids,
            "subnets": {name: network.task_subnet_ids(name) for name in SERVICES},
            "url": balancer.url,
        }

    return declare(program)
