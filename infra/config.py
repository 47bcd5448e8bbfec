"""What a stack is told: Pulumi.<stack>.yaml, read once and checked before anything is declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pulumi

SERVICES: Final = ("ingest", "insights", "alerts")

Environment = Literal["dev", "prod"]
Egress = Literal["ipv6", "public-ipv4", "nat"]
CapacityMode = Literal["on-demand", "provisioned"]
SageMakerMode = Literal["off", "serverless", "real-time"]


class BadConfig(Exception):
    """A value of Pulumi.<stack>.yaml, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Config:
    """One stack."""

    environment: Environment = "dev"
    region: str = "us-east-1"
    egress: Egress = "ipv6"  # how tasks reach AWS and the model: see infra/network.py for what each costs
    capacity_mode: CapacityMode = "on-demand"
    certificate_arn: str | None = None  # of ACM; without one the balancer speaks HTTP, which prod refuses
    public_url: str = ""  # where people come in; empty: the balancer's own name
    alert_emails: tuple[str, ...] = ()
    budget_usd: float = 50.0  # a month
    image_tags: Mapping[str, str] | None = None  # by service; `make deploy` sets them to the commit
    has_services: bool = True  # false for the first `up` of an empty account, which has no images yet
    spot_services: tuple[str, ...] = ("insights", "alerts")  # 70 % cheaper, ended with two minutes' notice
    has_waf: bool = False  # $5 a month, $1 a rule, $0.60 a million requests
    has_access_logs: bool = False
    may_be_deleted: bool = False  # takes the protection off prod, for an `up` before `pulumi destroy`
    has_bedrock: bool = True
    sagemaker: SageMakerMode = "off"
    streams: int = 200  # what the fleet is sized and priced for
    log_retention_days: int = 14

    @property
    def is_prod(self) -> bool:
        """Whether people rely on it: it speaks HTTPS only, and somebody hears of its alerts."""
        return self.environment == "prod"

    @property
    def is_kept(self) -> bool:
        """Whether what is lost here hurts: deletion is refused."""
        return self.is_prod and not self.may_be_deleted

    def image_tag(self, service: str) -> str:
        """Which image of a service runs."""
        return (self.image_tags or {}).get(service, "latest")


def read_config(source: pulumi.Config | None = None) -> Config:
    """From `iops-dashboard:<name>`, and `aws:region`, which the provider reads too. Raises BadConfig."""
    given = source or pulumi.Config("iops-dashboard")
    region = pulumi.Config("aws").get("region")
    values: dict[str, Any] = {"region": region} if region else {}
    for name, read in READERS.items():
        value = read(given, name)
        if value is not None:
            values[name] = value
    config = checked(Config(**values))
    if config.has_services and set(config.image_tags or ()) != set(SERVICES):
        raise BadConfig("image_tags: `make deploy` writes them; an `up` without them would run none that is there")
    return config


def checked(config: Config) -> Config:
    """The same; raises BadConfig, with all that is wrong, where it cannot be."""
    if wrong := [*_wrong(config)]:
        raise BadConfig("; ".join(wrong))
    return config


def _wrong(config: Config) -> Iterator[str]:
    choices = (("environment", Environment), ("egress", Egress), ("capacity_mode", CapacityMode))
    for name, allowed in (*choices, ("sagemaker", SageMakerMode)):
        if getattr(config, name) not in get_args(allowed):
            yield f"{name}: {getattr(config, name)!r} is none of {', '.join(get_args(allowed))}"
    if unknown := {*config.spot_services, *(config.image_tags or {})} - set(SERVICES):
        yield f"{', '.join(sorted(unknown))}: the services are {', '.join(SERVICES)}"
    if config.is_prod and not config.certificate_arn:
        yield "certificate_arn: prod speaks HTTPS only; set it to a certificate of ACM in the stack's region"
    if (config.is_prod or config.certificate_arn) and not config.public_url.startswith("https://"):
        yield "public_url: write https:// and a name that the certificate has; the balancer's own is not in it"
    if config.is_prod and not config.alert_emails:
        yield "alert_emails: prod needs somebody who hears of alerts"


def _tuple(given: pulumi.Config, name: str) -> tuple[str, ...] | None:
    value = given.get_object(name)
    return None if value is None else tuple(map(str, value))


READERS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(
        ("environment", "egress", "capacity_mode", "certificate_arn", "public_url", "sagemaker"),
        lambda given, name: given.get(name),
    ),
    **dict.fromkeys(
        ("has_waf", "has_access_logs", "has_bedrock", "has_services", "may_be_deleted"),
        lambda given, name: given.get_bool(name),
    ),
    **dict.fromkeys(("streams", "log_retention_days"), lambda given, name: given.get_int(name)),
    "budget_usd": lambda given, name: given.get_float(name),
    "image_tags": lambda given, name: given.get_object(name),
    **dict.fromkeys(("alert_emails", "spot_services"), _tuple),
}
