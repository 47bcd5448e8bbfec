"""`ml deploy`: brings the model to a SageMaker endpoint, or takes the endpoint away; `ml pack`: only its archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import boto3  # type: ignore[import-untyped]
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from iops import contract
from iops.model import UnfitModel
from ml import endpoint
from ml.archive import pack_model
from ml.endpoint import Cloud, DeployFailed, Plan, RealTime, Serverless
from ml.image import UnknownRegion, xgboost_image

MODEL_DIRECTORY: Final = Path(__file__).with_name("model")
CALL_TIMEOUT_S: Final = 20  # of one call; an upload of the 2 MB that a model may have is one call
MEMORY_STEP_MB: Final = 1024


def deploy(
    model_dir: Annotated[Path, typer.Option("--model", help="the model's directory")] = MODEL_DIRECTORY,
    *,
    bucket: Annotated[str, typer.Option(help="S3 bucket for model.tar.gz; it must exist")] = "",
    role_arn: Annotated[str, typer.Option(help="the role that SageMaker reads the bucket and the image with")] = "",
    name: Annotated[str, typer.Option(help="the endpoint's name")] = contract.RISK_ENDPOINT,
    region: Annotated[str, typer.Option(help="AWS region")] = "us-east-1",
    image_uri: Annotated[str, typer.Option(help="the XGBoost container; by default AWS's own of the region")] = "",
    real_time: Annotated[bool, typer.Option(help="1-3 ml.m5.large that run always ($84 a month each)")] = False,
    memory_mb: Annotated[int, typer.Option(help="of a serverless endpoint", min=1024, max=6144)] = 2048,
    max_concurrency: Annotated[int, typer.Option(help="of a serverless endpoint", min=1, max=200)] = 5,
    deadline_s: Annotated[float, typer.Option(help="give up after so many seconds", min=0)] = 1_800,
    aws_endpoint_url: Annotated[str | None, typer.Option(help="a stand-in for AWS")] = None,
    dry_run: Annotated[bool, typer.Option(help="say what would be, ask nothing of AWS")] = False,
    delete: Annotated[bool, typer.Option(help="take the endpoint, its configurations and models away")] = False,
) -> None:
    """Serve the model from a SageMaker endpoint: serverless, or --real-time with autoscaling.

    Run again, it changes only what is different; a new model takes over when it is ready to serve.
    """
    cloud = None if dry_run else open_cloud(region, aws_endpoint_url)
    try:
        if delete:
            _delete(name, cloud, deadline_s)
            return
        if not bucket or not role_arn:
            raise typer.BadParameter("--bucket and --role-arn are needed")
        capacity = RealTime() if real_time else Serverless(_whole_gb(memory_mb), max_concurrency)
        image = image_uri or xgboost_image(region)
        plan = Plan(name, pack_model(model_dir), image, role_arn, bucket, capacity)
        for line in plan.lines():
            typer.echo(line)
        if cloud is not None:
            endpoint.apply(plan, cloud, deadline_s=deadline_s)
            typer.echo(f"{name} serves model {plan.archive.model_version}")
    except (DeployFailed, UnfitModel, UnknownRegion, ClientError, BotoCoreError) as error:
        typer.echo(f"ml deploy: {error}", err=True)
        raise typer.Exit(1) from error


def pack(
    model_dir: Annotated[Path, typer.Option("--model", help="the model's directory")] = MODEL_DIRECTORY,
    *,
    out: Annotated[Path, typer.Option(help="where the archive is written")] = Path("build/model.tar.gz"),
) -> None:
    """Write model.tar.gz, as an endpoint loads it: for who has Pulumi make the endpoint."""
    archive = pack_model(model_dir)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(archive.content)
    typer.echo(f"model {archive.model_version}, {len(archive.content)} bytes -> {out}")


def open_cloud(region: str, endpoint_url: str | None) -> Cloud:
    """Clients with explicit time-outs. A retry finds at worst its own work done, and the command can be run again."""
    config = Config(connect_timeout=5, read_timeout=CALL_TIMEOUT_S, retries={"total_max_attempts": 4})
    session = boto3.Session(region_name=region)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint_url, config=config)

    return Cloud(s3=client("s3"), sagemaker=client("sagemaker"), autoscaling=client("application-autoscaling"))


def _delete(name: str, cloud: Cloud | None, deadline_s: float) -> None:
    if cloud is None:
        typer.echo(f"would take away {name}, its configurations and its models")
        return
    for gone in endpoint.delete(name, cloud, deadline_s=deadline_s):
        typer.echo(f"deleted {gone}")


def _whole_gb(memory_mb: int) -> int:
    if memory_mb % MEMORY_STEP_MB:
        raise typer.BadParameter(f"--memory-mb is a multiple of {MEMORY_STEP_MB}")
    return memory_mb
