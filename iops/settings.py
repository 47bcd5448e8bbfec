"""What every program reads from its environment: variables that begin with `IOPS_`."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from iops.loopback import is_loopback_host, is_loopback_url


class Settings(BaseSettings):
    """Safe for a laptop by default; built once in a program's first function and passed down."""

    # What is wrong with one variable is told beside all of them, keys too, unless the input stays out of errors.
    model_config = SettingsConfigDict(env_prefix="IOPS_", frozen=True, extra="ignore", hide_input_in_errors=True)


def _network(text: str) -> str:
    """An address or a CIDR, so that a misspelt one is not taken for a host's name that never comes."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError("must be addresses or CIDRs like 10.0.0.7 or 10.0.0.0/24, with commas between them") from error
    if network.prefixlen == 0:
        raise ValueError("must not be everybody; name the addresses of your own proxies")
    return text


def _origin(text: str) -> str:
    """A web page's origin as a browser sends it: no path, no pattern."""
    try:
        parts = urlsplit(text)
        is_exact = text == f"{parts.scheme}://{parts.netloc}".lower() and parts.hostname and "@" not in parts.netloc
        _ = parts.port  # raises where it is no number
    except ValueError:
        is_exact = False
    if not is_exact or "*" in text:
        raise ValueError("must be exact origins like https://grafana.example.com, with commas between them; no *")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback_url(text)):
        raise ValueError("must begin with https://, unless it is this machine itself")
    return text


class ServiceSettings(Settings):
    """What the three services share."""

    listen_host: str = Field(default="127.0.0.1", min_length=1, description="the address to listen on")
    listen_port: int = Field(default=8000, ge=1, le=65_535, description="the port to listen on")
    keep_alive_s: int = Field(
        default=5, ge=1, le=4_000, description="idle between two requests of a connection; more than a balancer's own"
    )
    trusted_proxies: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode] = Field(
        default=(), description="addresses or CIDRs whose X-Forwarded-For and -Proto are believed; none by default"
    )
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode] = Field(
        default=(), description="origins of other sites whose pages may ask with a key; none by default"
    )
    auth: Literal["on", "off"] = Field(default="on", description="off lets everybody do everything, on loopback only")
    aws_region: str = Field(default="us-east-1", description="where table, queues and bus are")
    aws_endpoint_url: str | None = Field(default=None, description="a stand-in for AWS; unset, AWS itself")
    public_url: str = Field(default="http://127.0.0.1:8080", description="where people reach the load balancer")
    docs: bool = Field(default=False, description="serve /docs, /redoc and /openapi.json; `make up` does")
    aws_timeout_s: float = Field(default=3.0, gt=0, description="of one call to AWS, connect and read")
    secrets_file: Path | None = Field(default=None, description="unset, secrets are read from Secrets Manager")
    secrets_interval_s: float = Field(default=60, gt=0, description="between two reads of each secret")
    issuer: str | None = Field(default=None, description="who signs people's tokens; unset, people cannot sign in")
    jwks_url: str | None = Field(default=None, description="of its keys; unset, <issuer>/.well-known/jwks.json")
    emf: bool = Field(default=False, description="log the numbers that CloudWatch alarms need, once a minute")
    version: str = Field(default="dev", max_length=64, description="what GET /system calls it; an image knows its own")
    client_ids: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="whom the issuer's tokens may be for, with commas between them"
    )

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

    @field_validator("trusted_proxies", "cors_origins", "client_ids", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        """`10.0.0.7,10.0.1.0/24` is how a shell says it."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_open_on_loopback_only(self) -> Self:
        if self.auth == "off" and not is_loopback_host(self.listen_host):
            raise ValueError(
                "IOPS_AUTH=off needs IOPS_LISTEN_HOST to be 127.0.0.1; leave IOPS_AUTH out to listen wider"
            )
        if self.auth == "off" and not is_loopback_url(self.public_url):
            raise ValueError(
                "IOPS_AUTH=off needs IOPS_PUBLIC_URL to be on 127.0.0.1; leave IOPS_AUTH out for other hosts"
            )
        if self.docs and not is_loopback_url(self.public_url):
            raise ValueError("IOPS_DOCS=true needs IOPS_PUBLIC_URL to be on 127.0.0.1; leave IOPS_DOCS out elsewhere")
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
    return host is not None and (scheme == "https" or (scheme == "http" and is_loopback_host(host)))
