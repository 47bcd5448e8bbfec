"""The risk model behind a SageMaker endpoint, for who wants it there: off, serverless, or real time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.bucket import MODELS, Bucket
from infra.config import BadConfig, Config
from infra.policy import allow, document, trust
from iops import contract

ARCHIVE: Final = Path(__file__).parents[1] / "build" / "model.tar.gz"  # `python -m ml pack` makes it
IMAGE_REPOSITORY: Final = "sagemaker-xgboost"  # AWS's own, in an account of its own in each region
IMAGE_TAG: Final = "3.2-0"  # as ml/image.py has it, which says why not another
PROGRAM: Final = "inference.py"  # in the archive, as is its directory
PROGRAM_DIRECTORY: Final = "/opt/ml/model/code"
VARIANT: Final = "all"
LOG_GROUP: Final = f"/aws/sagemaker/Endpoints/{contract.RISK_ENDPOINT}"  # SageMaker's choice

MEMORY_MB: Final = 2048
MAX_CONCURRENCY: Final = 5
INSTANCE: Final = "ml.m5.large"  # $84 a month each, asked or not
LEAST_INSTANCES: Final = 1
MOST_INSTANCES: Final = 3
INVOCATIONS_PER_MINUTE: Final = 2_500.0  # a sixth of what one instance answers; then another one is started
SCALE_OUT_S: Final = 60
SCALE_IN_S: Final = 300


class Endpoint(pulumi.ComponentResource):
    """`iops-dashboard-risk`. Serverless costs nothing while nobody asks; real time $84 to $252 a month.

    Model and configuration get Pulumi's own endings, seven characters, so that `ml deploy --delete`, which takes away
    names with its twelve, leaves them alone. Of one account and region, let either Pulumi or `ml deploy` have it.
    """

    name: pulumi.Output[str] | None  # None where the stack has none
    arn: pulumi.Output[str] | None

    def __init__(
        self,
        config: Config,
        bucket: Bucket,
        *,
        archive: Path = ARCHIVE,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Raises BadConfig where the archive was not made."""
        super().__init__("iops:endpoint:Endpoint", "endpoint", None, opts)
        self.name = self.arn = None
        if config.sagemaker != "off":
            endpoint = self._endpoint(self._model(bucket, archive), config)
            self.name, self.arn = endpoint.name, endpoint.arn
        self.register_outputs({"name": self.name, "arn": self.arn})

    def _model(self, bucket: Bucket, archive: Path) -> aws.sagemaker.Model:
        child = pulumi.ResourceOptions(parent=self)
        uploaded = aws.s3.BucketObjectv2(
            "archive",
            bucket=bucket.name,
            key=f"{MODELS}{_digest(archive)}/model.tar.gz",
            source=pulumi.FileAsset(str(archive)),
            opts=child,
        )
        image = aws.sagemaker.get_prebuilt_ecr_image_output(
            repository_name=IMAGE_REPOSITORY, image_tag=IMAGE_TAG, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        role, policy = self._role(bucket, image)
        return aws.sagemaker.Model(
            contract.RISK_ENDPOINT,
            execution_role_arn=role.arn,
            primary_container={
                "image": image.registry_path,
                "model_data_url": pulumi.Output.format("s3://{0}/{1}", bucket.name, uploaded.key),
                "environment": {"SAGEMAKER_PROGRAM": PROGRAM, "SAGEMAKER_SUBMIT_DIRECTORY": PROGRAM_DIRECTORY},
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )

    def _role(self, bucket: Bucket, image: Any) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        """What SageMaker itself may: load the model and the image, and write the log."""
        child = pulumi.ResourceOptions(parent=self)
        caller = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(parent=self))
        region = aws.get_region_output(opts=pulumi.InvokeOutputOptions(parent=self)).region
        role = aws.iam.Role(
            contract.RISK_ENDPOINT,
            assume_role_policy=trust("sagemaker.amazonaws.com", account_id=caller.account_id),
            opts=child,
        )
        models = bucket.arn.apply(lambda arn: f"{arn}/{MODELS}*")
        repository = pulumi.Output.format(
            "arn:aws:ecr:{0}:{1}:repository/{2}", region, image.registry_id, IMAGE_REPOSITORY
        )
        log = pulumi.Output.format("arn:aws:logs:{0}:{1}:log-group:{2}", region, caller.account_id, LOG_GROUP)
        policy = aws.iam.RolePolicy(
            "endpoint",
            role=role.id,
            policy=document(
                allow("LoadTheModel", ["s3:GetObject"], [models]),
                allow(
                    "LoadTheImage",
                    ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                    [repository],
                ),
                allow("SignInAtRegistries", ["ecr:GetAuthorizationToken"], ["*"]),  # AWS has no resource for it
                allow(
                    "WriteItsLog",
                    ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                    [log, log.apply(lambda arn: f"{arn}:*")],
                ),
            ),
            opts=child,
        )
        return role, policy

    def _endpoint(self, model: aws.sagemaker.Model, config: Config) -> aws.sagemaker.Endpoint:
        child = pulumi.ResourceOptions(parent=self)
        is_serverless = config.sagemaker == "serverless"
        variant: dict[str, Any] = {"variant_name": VARIANT, "model_name": model.name, "initial_variant_weight": 1.0}
        if is_serverless:
            variant["serverless_config"] = {"memory_size_in_mb": MEMORY_MB, "max_concurrency": MAX_CONCURRENCY}
        else:
            variant |= {"instance_type": INSTANCE, "initial_instance_count": LEAST_INSTANCES}
        variants: Any = [variant]
        configuration = aws.sagemaker.EndpointConfiguration(
            contract.RISK_ENDPOINT, production_variants=variants, opts=child
        )
        endpoint = aws.sagemaker.Endpoint(
            contract.RISK_ENDPOINT,
            name=contract.RISK_ENDPOINT,
            endpoint_config_name=configuration.name,
            opts=child,
        )
        if not is_serverless:
            self._scale(endpoint)
        return endpoint

    def _scale(self, endpoint: aws.sagemaker.Endpoint) -> None:
        child = pulumi.ResourceOptions(parent=self)
        target = aws.appautoscaling.Target(
            "instances",
            service_namespace="sagemaker",
            resource_id=endpoint.name.apply(lambda name: f"endpoint/{name}/variant/{VARIANT}"),
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            min_capacity=LEAST_INSTANCES,
            max_capacity=MOST_INSTANCES,
            opts=child,
        )
        aws.appautoscaling.Policy(
            "invocations",
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            target_tracking_scaling_policy_configuration={
                "predefined_metric_specification": {"predefined_metric_type": "SageMakerVariantInvocationsPerInstance"},
                "target_value": INVOCATIONS_PER_MINUTE,
                "scale_in_cooldown": SCALE_IN_S,
                "scale_out_cooldown": SCALE_OUT_S,
            },
            opts=child,
        )


def _digest(archive: Path) -> str:
    """The name of the content: another model lies elsewhere, and so SageMaker gets another one."""
    try:
        return hashlib.sha256(archive.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise BadConfig(f"sagemaker: {archive} cannot be read; `python -m ml pack` makes it") from error
