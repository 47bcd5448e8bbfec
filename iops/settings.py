"""What every program reads from its environment: variables that begin with `IOPS_`."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


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
    issuer: str | None = Field(default=None, description="who signs people's tokens; unset, people cannot sign in")
    jwks_url: str | None = Field(default=None, description="of its keys; unset, <issuer>/.well-known/jwks.json")
    client_ids: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="whom the issuer's tokens may be for, with commas between them"
    )

    @field_validator("client_ids", mode="before")
    @classmethod
    def _split_client_ids(cls, value: Any) -> Any:
        """`4f1s,7kd2` is how a shell says it."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _keys_come_by_a_safe_way(cls, value: str | None) -> str | None:
        if value is not None and not is_safe(value):
            raise ValueError("it has to begin with https://; http:// is for this machine's own addresses")
        return value

    @model_validator(mode="after")
    def _issuer_needs_clients(self) -> Self:
        if self.issuer is not None and not self.client_ids:
            raise ValueError("IOPS_ISSUER needs IOPS_CLIENT_IDS: any client of the issuer would be let in")
        return self


def is_safe(text: str) -> bool:
    """Whether nobody can change on the way what is read from there.

    >>> is_safe("https://id.example.com"), is_safe("http://127.0.0.1:4566/pool"), is_safe("http://id.example.com")
    (True, True, False)
    """
    try:
        scheme, host = urlsplit(text).scheme, urlsplit(text).hostname
    except ValueError:
        return False
    return host is not None and (scheme == "https" or (scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
