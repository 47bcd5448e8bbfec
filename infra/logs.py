"""Where the services' lines go: a log group for each, $0.50/GB in and $0.03/GB-month."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.config import SERVICES, Config


class Logs(pulumi.ComponentResource):
    """Made before the tasks, so that none has to be allowed to make one, and none keeps lines for ever."""

    def __init__(self, config: Config, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:logs:Logs", "logs", None, opts)
        self.groups = {
            name: aws.cloudwatch.LogGroup(
                name,
                name=f"/iops-dashboard/{config.environment}/{name}",
                retention_in_days=config.log_retention_days,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for name in SERVICES
        }
        self.register_outputs({})
