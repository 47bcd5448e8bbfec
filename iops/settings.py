"""What every program reads from its environment: variables that begin with `IOPS_`."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Safe for a laptop by default; built once in a program's first function and passed down."""

    # What is wrong with one variable is told beside all of them, keys too, unless the input stays out of errors.
    model_config = SettingsConfigDict(env_prefix="IOPS_", frozen=True, extra="ignore", hide_input_in_errors=True)


class ServiceSettings(Settings):
    """What the three services share."""

    aws_region: str = "us-east-1"
    aws_endpoint_url: str | None = Field(default=None, description="a stand-in for AWS; unset, AWS itself")
    public_url: str = Field(default="http://127.0.0.1:8080", description="where people reach the load balancer")
    docs: bool = Field(default=False, description="serve /docs, /redoc and /openapi.json; `make up` does")
    auth: Literal["on", "off"] = Field(default="on", description="off lets everybody in; only on loopback")
    aws_timeout_s: float = Field(default=3.0, gt=0, description="of one call to AWS, connect and read")
    secrets_file: Path | None = Field(default=None, description="unset, secrets are read from Secrets Manager")
    secrets_interval_s: float = Field(default=60, gt=0, description="between two reads of each secret")
