"""Where images are: a repository for each service."""

from __future__ import annotations

from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import SERVICES, Config

IMAGES_KEPT: Final = 10  # of 60-150 MB packed, so about $0.10 a month each service ($0.10/GB)


class Registry(pulumi.ComponentResource):
    """Tags cannot be moved, so a task definition says which bytes run."""

    def __init__(self, config: Config, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:registry:Registry", "registry", None, opts)
        self._region = config.region
        self.repositories = {name: self._repository(name, config) for name in SERVICES}
        self.register_outputs({})

    def image(self, service: str, tag: str) -> pulumi.Output[str]:
        """By the dual-stack address, which tasks without an IPv4 need and all others can use.

        `make deploy` may push by either: both name one repository.
        """
        repository = self.repositories[service]
        return pulumi.Output.concat(
            repository.registry_id, f".dkr-ecr.{self._region}.on.aws/", repository.name, f":{tag}"
        )

    def _repository(self, name: str, config: Config) -> aws.ecr.Repository:
        child = pulumi.ResourceOptions(parent=self)
        repository = aws.ecr.Repository(
            name,
            name=f"iops-dashboard-{config.environment}/{name}",
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            force_delete=not config.is_kept,
            opts=child,
        )
        rule = {
            "rulePriority": 1,
            "description": f"Keep {IMAGES_KEPT}",
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": IMAGES_KEPT},
            "action": {"type": "expire"},
        }
        policy = pulumi.Output.json_dumps({"rules": [rule]})
        aws.ecr.LifecyclePolicy(name, repository=repository.name, policy=policy, opts=child)
        return repository
