"""The whole system, a concern a line: what `pulumi up` runs."""

import pulumi

from infra.alarms import Alarms, AlarmsArgs
from infra.alerting import Alerting
from infra.balancer import Balancer
from infra.bucket import Bucket
from infra.budget import Budget
from infra.cluster import Cluster
from infra.config import SERVICES, read_config
from infra.dashboards import Dashboards, DashboardsArgs
from infra.endpoint import Endpoint
from infra.environment import Facts, variables
from infra.flags import Flags
from infra.identity import Identity
from infra.logs import Logs
from infra.metric import Watched
from infra.network import Network
from infra.operations import Operations
from infra.queues import Queues
from infra.registry import Registry
from infra.roles import Roles, RolesArgs
from infra.secrets import Secrets
from infra.service import Service, ServiceArgs
from infra.table import Table

config = read_config()

# What is kept.
table = Table(config)
bucket = Bucket(config)
secrets = Secrets(config)
flags = Flags(config)

# How what was found reaches people.
queues = Queues(config)
alerting = Alerting(config, queues)

# The one way in, and who may come.
network = Network(config)
balancer = Balancer(config, network)
identity = Identity(config, balancer.url)

# What runs, and what it may do.
registry = Registry(config)
logs = Logs(config)
endpoint = Endpoint(config, bucket)
roles = Roles(
    RolesArgs(
        config=config,
        repository_arns={service: registry.repositories[service].arn for service in SERVICES},
        log_group_arns={service: logs.groups[service].arn for service in SERVICES},
        table_arn=table.arn,
        index_arns=table.index_arns,
        queue_arns=queues.arns,
        bus_arn=alerting.bus_arn,
        topic_arn=alerting.topic_arn,
        secret_arns=secrets.arns,
        flags_arn=flags.parameter_arn,
        endpoint_arn=endpoint.arn,
    )
)
cluster = Cluster(config)

# Who looks after it. Alarms come before the services: one that rings while a new image comes takes it back.
operations = Operations(config)
watched = Watched(
    config=config,
    balancer=balancer.arn_suffix,
    target_groups={name: group.arn_suffix for name, group in balancer.target_groups.items()},
    cluster=cluster.name,
    services={name: name for name in SERVICES},
)
alarms = Alarms(AlarmsArgs(watched, operations.topic_arn))
Dashboards(DashboardsArgs(watched, alarms.arns))
Budget(config)

facts = Facts(
    issuer=identity.issuer,
    client_id=identity.client_id,
    hosted_ui_url=identity.hosted_ui_url,
    endpoint_name=endpoint.name,
)
services = {
    name: Service(
        name,
        ServiceArgs(
            config=config,
            network=network,
            cluster=cluster,
            balancer=balancer,
            image=registry.image(name, config.image_tag(name)),
            log_group=logs.groups[name].name,
            execution_role_arn=roles.execution_role_arn,
            task_role_arn=roles.task_role_arns[name],
            environment=variables(name, config, facts),
            rollback_alarms=[alarms.arns["balancer-errors"].apply(lambda arn: arn.rpartition(":")[2])],
        ),
    )
    for name in (SERVICES if config.has_services else ())  # an empty account has no images yet
}

# What people and `make deploy` ask for.
pulumi.export("url", balancer.url)
pulumi.export("balancer", balancer.dns_name)
pulumi.export("cluster", cluster.name)
pulumi.export("services", {name: each.service.name for name, each in services.items()})
pulumi.export("image_tags", {name: config.image_tag(name) for name in services})
pulumi.export("repositories", {name: each.repository_url for name, each in registry.repositories.items()})
pulumi.export("log_groups", {name: each.name for name, each in logs.groups.items()})
pulumi.export("table", table.name)
pulumi.export("queue_urls", queues.urls)
pulumi.export("topic_arns", [alerting.topic_arn, operations.topic_arn])  # of disks, of the system itself
pulumi.export("user_pool_id", identity.pool_id)
pulumi.export("hosted_ui_url", identity.hosted_ui_url)
pulumi.export("dashboards", list(Dashboards.names))
