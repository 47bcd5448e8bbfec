"""A SageMaker endpoint: what it is made of, and how it is made, changed, and taken away."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from ml.archive import SCRIPT, SCRIPT_DIRECTORY, Archive

VARIANT: Final = "all"
TAGS: Final = ({"Key": "application", "Value": "iops-dashboard"},)
POLL_S: Final = 10.0
PASSING: Final = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
# A request of one group of 24 disks takes a core of such a machine 4 ms; at a sixth of that another one is started.
INVOCATIONS_PER_MINUTE: Final = 2_500.0


class DeployFailed(Exception):
    """An endpoint that is not as it was asked for, and why."""


@dataclass(frozen=True, slots=True)
class Serverless:
    """Costs nothing while nobody asks; the first to ask after a while waits for seconds."""

    memory_mb: int = 2048
    max_concurrency: int = 5


@dataclass(frozen=True, slots=True)
class RealTime:
    """$0.115 an hour (ml.m5.large, us-east-1, $84 a month) for each machine, asked or not."""

    instance_type: str = "ml.m5.large"
    min_instances: int = 1
    max_instances: int = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall be. Names follow from contents, so what is there under a name never has to be changed."""

    endpoint: str
    archive: Archive
    image_uri: str
    role_arn: str
    bucket: str
    capacity: Serverless | RealTime

    @property
    def key(self) -> str:
        """Where in the bucket the model lies."""
        return f"models/{self.archive.model_version}-{self.archive.digest}/model.tar.gz"

    @property
    def model(self) -> str:
        """The model's name."""
        return f"{self.endpoint}-{_digest(self.archive.digest, self.image_uri, self.role_arn, self.bucket)}"

    @property
    def config(self) -> str:
        """The endpoint configuration's name."""
        return f"{self.endpoint}-{_digest(self.model, type(self.capacity).__name__, str(asdict(self.capacity)))}"

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"model {self.archive.model_version}, {len(self.archive.content)} bytes -> s3://{self.bucket}/{self.key}",
            f"image {self.image_uri}",
            f"model {self.model}, configuration {self.config}, endpoint {self.endpoint}",
            f"capacity {self.capacity}",
        ]


@dataclass(frozen=True, slots=True)
class Cloud:
    """The clients, and how time passes."""

    s3: Any
    sagemaker: Any
    autoscaling: Any
    sleep: Callable[[float], None] = time.sleep
    now_s: Callable[[], float] = time.monotonic


def apply(plan: Plan, cloud: Cloud, *, deadline_s: float) -> None:
    """Makes it so, and returns when the endpoint serves; what is there already is left alone.

    Raises DeployFailed. Until the new model serves, the old one does.
    """
    until_s = cloud.now_s() + deadline_s
    _upload(plan, cloud.s3)
    if _find(cloud.sagemaker.describe_model, ModelName=plan.model) is None:
        cloud.sagemaker.create_model(**_model(plan))
    if _find(cloud.sagemaker.describe_endpoint_config, EndpointConfigName=plan.config) is None:
        cloud.sagemaker.create_endpoint_config(**_config(plan))
    present = _settled(plan.endpoint, cloud, until_s)
    if present is None:
        cloud.sagemaker.create_endpoint(EndpointName=plan.endpoint, EndpointConfigName=plan.config, Tags=list(TAGS))
    elif present["EndpointStatus"] != "InService":
        raise DeployFailed(f"{_state(present)}; take it away with --delete first")
    elif present["EndpointConfigName"] != plan.config:
        _stop_scaling(plan.endpoint, cloud.autoscaling)  # a variant that scales cannot be changed into another kind
        cloud.sagemaker.update_endpoint(EndpointName=plan.endpoint, EndpointConfigName=plan.config)
    settled = _settled(plan.endpoint, cloud, until_s)
    if settled is None or settled["EndpointStatus"] != "InService":
        raise DeployFailed(_state(settled) if settled else f"{plan.endpoint} is gone")
    if settled["EndpointConfigName"] != plan.config:
        raise DeployFailed(f"{plan.endpoint} went back to {settled['EndpointConfigName']}: {_state(settled)}")
    if isinstance(plan.capacity, RealTime):
        _scale(plan.endpoint, plan.capacity, cloud.autoscaling)


def delete(endpoint: str, cloud: Cloud, *, deadline_s: float) -> list[str]:
    """Takes the endpoint away with all its configurations and models; what lies in S3 stays. Returns what is gone."""
    until_s = cloud.now_s() + deadline_s
    _stop_scaling(endpoint, cloud.autoscaling)
    gone = []
    if _settled(endpoint, cloud, until_s) is not None:
        cloud.sagemaker.delete_endpoint(EndpointName=endpoint)
        if _settled(endpoint, cloud, until_s) is not None:
            raise DeployFailed(f"{endpoint} is still there")
        gone.append(endpoint)
    ours = re.compile(re.escape(endpoint) + "-[0-9a-f]{12}")
    for noun, key in (("endpoint_config", "EndpointConfig"), ("model", "Model")):
        pages = cloud.sagemaker.get_paginator(f"list_{noun}s").paginate(NameContains=endpoint)
        names = [row[f"{key}Name"] for page in pages for row in page[f"{key}s"]]
        for name in filter(ours.fullmatch, names):
            getattr(cloud.sagemaker, f"delete_{noun}")(**{f"{key}Name": name})
            gone.append(name)
    return gone


def _upload(plan: Plan, s3: Any) -> None:
    try:
        s3.head_object(Bucket=plan.bucket, Key=plan.key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"404", "NoSuchKey"}:
            raise
        s3.put_object(Bucket=plan.bucket, Key=plan.key, Body=plan.archive.content)


def _model(plan: Plan) -> dict[str, Any]:
    return {
        "ModelName": plan.model,
        "ExecutionRoleArn": plan.role_arn,
        "PrimaryContainer": {
            "Image": plan.image_uri,
            "ModelDataUrl": f"s3://{plan.bucket}/{plan.key}",
            "Environment": {
                "SAGEMAKER_PROGRAM": SCRIPT.name,
                "SAGEMAKER_SUBMIT_DIRECTORY": f"/opt/ml/model/{SCRIPT_DIRECTORY}",
            },
        },
        "Tags": list(TAGS),
    }


def _config(plan: Plan) -> dict[str, Any]:
    variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": plan.model, "InitialVariantWeight": 1.0}
    capacity = plan.capacity
    if isinstance(capacity, Serverless):
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": capacity.memory_mb,
            "MaxConcurrency": capacity.max_concurrency,
        }
    else:
        variant["InstanceType"] = capacity.instance_type
        variant["InitialInstanceCount"] = capacity.min_instances
    return {"EndpointConfigName": plan.config, "ProductionVariants": [variant], "Tags": list(TAGS)}


def _scale(endpoint: str, capacity: RealTime, autoscaling: Any) -> None:
    autoscaling.register_scalable_target(
        **_scaled(endpoint), MinCapacity=capacity.min_instances, MaxCapacity=capacity.max_instances
    )
    autoscaling.put_scaling_policy(
        **_scaled(endpoint),
        PolicyName=f"{endpoint}-invocations",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": INVOCATIONS_PER_MINUTE,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            "ScaleInCooldown": 300,  # seconds
            "ScaleOutCooldown": 60,
        },
    )


def _stop_scaling(endpoint: str, autoscaling: Any) -> None:
    """Its policies go with it."""
    scaled = _scaled(endpoint)
    found = autoscaling.describe_scalable_targets(
        ServiceNamespace=scaled["ServiceNamespace"], ResourceIds=[scaled["ResourceId"]]
    )
    if found["ScalableTargets"]:
        autoscaling.deregister_scalable_target(**scaled)


def _scaled(endpoint: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def _settled(endpoint: str, cloud: Cloud, until_s: float) -> dict[str, Any] | None:
    """The endpoint once nothing is under way; None where there is none."""
    while True:
        found = _find(cloud.sagemaker.describe_endpoint, EndpointName=endpoint)
        if found is None or found["EndpointStatus"] not in PASSING:
            return found
        if cloud.now_s() >= until_s:
            raise DeployFailed(f"{_state(found)} still, at the deadline; ask again later")
        cloud.sleep(POLL_S)


def _find(describe: Callable[..., dict[str, Any]], **name: str) -> dict[str, Any] | None:
    """SageMaker has no code of its own for what is not there."""
    try:
        return describe(**name)
    except ClientError as error:
        if error.response["Error"]["Message"].startswith("Could not find"):
            return None
        raise


def _state(described: dict[str, Any]) -> str:
    reason = described.get("FailureReason") or "no reason given"
    return f"{described['EndpointName']} is {described['EndpointStatus']} ({reason})"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
