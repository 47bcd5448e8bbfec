"""What tasks run on: Fargate, at list price or Spot."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.config import Config


class Cluster(pulumi.ComponentResource):
    """Free. Container insights are off: about $0.30 for each of dozens of metrics, and ECS's own CPU and memory do."""

    def __init__(self, config: Config, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:cluster:Cluster", "cluster", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        cluster = aws.ecs.Cluster(
            "cluster",
            name=f"iops-dashboard-{config.environment}",
            settings=[aws.ecs.ClusterSettingArgs(name="containerInsights", value="disabled")],
            opts=child,
        )
        providers = aws.ecs.ClusterCapacityProviders(
            "cluster", cluster_name=cluster.name, capacity_providers=["FARGATE", "FARGATE_SPOT"], opts=child
        )
        self.arn = cluster.arn
        # A service that names a provider before it is attached is refused, so the name is there only after.
        self.name: pulumi.Output[str] = providers.cluster_name
        self.register_outputs({})
