"""What nobody else may know: three documents in Secrets Manager, and the function that rotates the pepper."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import Config
from infra.policy import allow, document, trust
from iops import contract

ROTATION: Final = "iops-dashboard-pepper-rotation"
HANDLER: Final = Path(__file__).with_name("rotation") / "handler.py"
ROTATION_DAYS: Final = 30  # three peppers are kept: a key that nobody used for 60 days has to be made anew
RECOVERY_DAYS: Final = 30  # of a secret that was deleted in prod; elsewhere it goes at once, so that its name is free
MEMORY_MB: Final = 128
TIMEOUT_S: Final = 30  # three calls a step
USES: Final = {
    contract.PEPPER_SECRETS: "What API keys are hashed with; rotated by a function, read by all services",
    contract.INSIGHTS_SECRETS: "The key of a chat completions server; empty until somebody puts one",
    contract.ALERTS_SECRETS: "Addresses and keys of webhooks; empty until somebody puts one",
}


class Secrets(pulumi.ComponentResource):
    """$0.40 a month each, $1.20 in all; the function runs four times a month and costs nothing.

    Pulumi never sees a value, so none is in its state. The pepper's first version is made by the function: to turn
    rotation on is to rotate, and where there is no pepper yet the function makes the first. The other two have no
    version until an operator puts one, and no service reads them before it is told to use webhooks or such a server.
    """

    arns: dict[str, pulumi.Output[str]]

    def __init__(self, config: Config, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:secrets:Secrets", "secrets", None, opts)
        secrets = {
            name: aws.secretsmanager.Secret(
                name.replace("/", "-"),
                name=name,
                description=use,
                recovery_window_in_days=RECOVERY_DAYS if config.is_kept else 0,
                opts=pulumi.ResourceOptions(parent=self, protect=config.is_kept),
            )
            for name, use in USES.items()
        }
        self.arns = {name: secret.arn for name, secret in secrets.items()}
        self._rotate(secrets[contract.PEPPER_SECRETS], config)
        self.register_outputs({"arns": self.arns})

    def _rotate(self, pepper: aws.secretsmanager.Secret, config: Config) -> None:
        child = pulumi.ResourceOptions(parent=self)
        function = self._function(pepper, config)
        permission = aws.lambda_.Permission(
            "rotation",
            action="lambda:InvokeFunction",
            function=function.name,
            principal="secretsmanager.amazonaws.com",
            source_arn=pepper.arn,
            opts=child,
        )
        aws.secretsmanager.SecretRotation(
            "pepper",
            secret_id=pepper.id,
            rotation_lambda_arn=function.arn,
            rotate_immediately=True,
            rotation_rules={"automatically_after_days": ROTATION_DAYS},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[permission]),
        )

    def _function(self, pepper: aws.secretsmanager.Secret, config: Config) -> aws.lambda_.Function:
        child = pulumi.ResourceOptions(parent=self)
        logs = aws.cloudwatch.LogGroup(
            "rotation", name=f"/aws/lambda/{ROTATION}", retention_in_days=config.log_retention_days, opts=child
        )
        role = aws.iam.Role(ROTATION, assume_role_policy=trust("lambda.amazonaws.com"), opts=child)
        streams = logs.arn.apply(lambda arn: f"{arn}:*")
        policy = aws.iam.RolePolicy(
            "rotation",
            role=role.id,
            policy=document(
                allow(
                    "RotateThePepper",
                    [
                        "secretsmanager:DescribeSecret",
                        "secretsmanager:GetSecretValue",
                        "secretsmanager:PutSecretValue",
                        "secretsmanager:UpdateSecretVersionStage",
                    ],
                    [pepper.arn],
                ),
                allow("WriteItsLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [streams]),
            ),
            opts=child,
        )
        return aws.lambda_.Function(
            "rotation",
            name=ROTATION,
            description="Rotates the pepper that API keys are hashed with",
            runtime="python3.12",
            architectures=["arm64"],
            handler="handler.handle",
            code=pulumi.AssetArchive({"handler.py": pulumi.FileAsset(str(HANDLER))}),
            role=role.arn,
            memory_size=MEMORY_MB,
            timeout=TIMEOUT_S,
            # Not `reserved_concurrent_executions`: a new account has ten in all, and none of them to reserve.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[logs, policy]),
        )
