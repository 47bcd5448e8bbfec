"""A deployment without pulumi, docker, git and AWS: what each would answer, and what was asked of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, NoCredentialsError

from cli.deploy.account import Account
from cli.deploy.deed import Desk
from cli.deploy.runner import Finished
from cli.deploy.stack import Stack
from infra.config import SERVICES
from tests.unit.builders import AT

COMMIT = "0123456789ab"
REGISTRY = "1.dkr.ecr.us-east-1.amazonaws.com"
TOPIC = "arn:aws:sns:us-east-1:1:topic"
CONFIG = {
    "aws:region": "us-east-1",
    "iops-dashboard:environment": "dev",
    "iops-dashboard:alert_emails": ["storage@example.com"],
}
OUTPUTS = {
    "url": "http://balancer.example.com",
    "cluster": "cluster",
    "topic_arns": [TOPIC],
    "services": {service: f"iops-{service}" for service in SERVICES},
    "repositories": {service: f"{REGISTRY}/iops-dashboard-{service}" for service in SERVICES},
    "image_tags": dict.fromkeys(SERVICES, "older"),
}


@dataclass
class FakeRunner:
    """Answers by how a command begins; what is not named succeeds and says nothing."""

    answers: dict[str, Finished] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    on_up: Callable[[str], None] = lambda _line: None

    def __call__(
        self, command: Sequence[str], *, timeout_s: float, given: str | None = None, is_shown: bool = False
    ) -> Finished:
        assert timeout_s > 0
        line = " ".join(command)
        self.commands.append(line)
        if line.startswith("pulumi up"):
            self.on_up(line)
        beginnings = [each for each in self.answers if line.startswith(each)]
        return self.answers[max(beginnings, key=len)] if beginnings else Finished(0)

    def began(self, *beginnings: str) -> list[str]:
        """Which of these were run, in their order."""
        return [each for line in self.commands for each in beginnings if line.startswith(each)]


@dataclass
class FakeCloud:
    """An account in which everything is well until a test says otherwise."""

    has_credentials: bool = True
    agreement: str = "AVAILABLE"
    requests_a_minute: float = 50.0
    vcpus: float = 6.0
    certificate: str = "ISSUED"
    pushed: set[str] = field(default_factory=set)
    running: str = COMMIT
    rollouts: list[str] = field(default_factory=lambda: ["COMPLETED"])
    unconfirmed: bool = False

    def __call__(self, _service: str) -> Any:
        return self

    def get_caller_identity(self) -> Any:
        if not self.has_credentials:
            raise NoCredentialsError
        return {"Arn": "arn:aws:iam::1:user/operator"}

    def get_foundation_model(self, **_given: Any) -> Any:
        return {"modelDetails": {"modelName": "Claude Haiku 4.5"}}

    def get_foundation_model_availability(self, **_given: Any) -> Any:
        return {
            "agreementAvailability": {"status": self.agreement},
            "authorizationStatus": "AUTHORIZED",
            "entitlementAvailability": "AVAILABLE",
            "regionAvailability": "AVAILABLE",
        }

    def get_paginator(self, operation: str) -> Any:
        self.operation = operation
        return self

    def paginate(self, **_given: Any) -> Any:
        quotas = {
            "Cross-region model inference requests per minute for Anthropic Claude Haiku 4.5": self.requests_a_minute,
            "Fargate On-Demand vCPU resource count": self.vcpus,
            "Fargate Spot vCPU resource count": self.vcpus,
        }
        state = "PendingConfirmation" if self.unconfirmed else f"{TOPIC}:1"
        return [
            {
                "Quotas": [{"QuotaName": name, "Value": value} for name, value in quotas.items()],
                "Subscriptions": [{"Endpoint": "storage@example.com", "SubscriptionArn": state}],
            }
        ]

    def describe_certificate(self, **_given: Any) -> Any:
        return {"Certificate": {"Status": self.certificate}}

    def get_authorization_token(self) -> Any:
        token = base64.b64encode(b"AWS:password").decode()
        return {"authorizationData": [{"proxyEndpoint": f"https://{REGISTRY}", "authorizationToken": token}]}

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> Any:  # noqa: N803 -- AWS's name
        if f"{repositoryName}:{imageIds[0]['imageTag']}" not in self.pushed:
            raise ClientError({"Error": {"Code": "ImageNotFoundException", "Message": ""}}, "DescribeImages")
        return {}

    def describe_services(self, **given: Any) -> Any:
        state = self.rollouts.pop(0) if len(self.rollouts) > 1 else self.rollouts[0]
        main = {"status": "PRIMARY", "rolloutState": state, "taskDefinition": "t"}
        return {"services": [{"serviceName": name, "deployments": [main]} for name in given["services"]]}

    def describe_task_definition(self, **_given: Any) -> Any:
        return {"taskDefinition": {"containerDefinitions": [{"image": f"{REGISTRY}/x:{self.running}"}]}}


@dataclass
class Scene:
    """One attempt."""

    root: Path
    name: str = "dev"
    config: dict[str, Any] = field(default_factory=lambda: dict(CONFIG))
    outputs: dict[str, Any] = field(default_factory=lambda: dict(OUTPUTS))
    history: list[Any] = field(default_factory=list)
    run: FakeRunner = field(default_factory=FakeRunner)
    cloud: FakeCloud = field(default_factory=FakeCloud)
    said: list[str] = field(default_factory=list)
    proof: int = 0

    def desk(self) -> Desk:
        """With every program and the account answering as the scene has it."""
        (self.root / "infra").mkdir(exist_ok=True)
        (self.root / "infra" / f"Pulumi.{self.name}.yaml").write_text(json.dumps({"config": self.config}))
        usual = {
            "pulumi version": Finished(0, "v3.272.0"),
            "pulumi stack output": Finished(0, json.dumps(self.outputs)),
            "pulumi stack history": Finished(0, json.dumps(self.history)),
            "docker buildx inspect": Finished(0, "Platforms: linux/amd64, linux/arm64"),
            "git rev-parse": Finished(0, f"{COMMIT}\n"),
        }
        self.run.answers = usual | self.run.answers
        stack = Stack(self.name, self.root, self.run)
        return Desk(
            stack=stack,
            run=self.run,
            account=Account(self.cloud),
            model_id="anthropic.claude",
            say=self.said.append,
            sleep=lambda _seconds: None,
            now=lambda: AT,
            make_keys=self._make_keys,
            prove=self._prove,
        )

    def told(self) -> dict[str, Any]:
        """The copy of the stack's file that the last `up` was given, of what is ours."""
        import yaml  # type: ignore[import-untyped]

        text = (self.root / ".local" / self.name / f"Pulumi.{self.name}.yaml").read_text()
        config: dict[str, Any] = yaml.safe_load(text)["config"]
        return {name.partition(":")[2]: value for name, value in config.items() if name.startswith("iops-dashboard:")}

    def _make_keys(self, region: str, folder: Path) -> Path:
        self.run.commands.append(f"keys {region}")
        return folder / "operator.token"

    def _prove(self, url: str, _key_file: Path) -> int:
        self.run.commands.append(f"prove {url}")
        return self.proof
