"""What each service is told: the variables that services/*/settings.py read, as this stack has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi

from infra.config import Config

Value = pulumi.Input[str]

LISTEN_PORT: Final = 8000


@dataclass(frozen=True, slots=True)
class Facts:
    """What other components made."""

    public_url: Value
    proxies: str  # CIDR of the network: nobody but the balancer reaches a task
    issuer: Value
    client_id: Value
    hosted_ui_url: Value | None  # none without HTTPS: Cognito sends people back to nothing else
    endpoint_name: Value | None


def variables(service: str, config: Config, facts: Facts) -> dict[str, Value]:
    """Of one service; none of them is a secret, since each service reads those from Secrets Manager itself."""
    shared: dict[str, Value] = {
        "IOPS_LISTEN_HOST": "0.0.0.0",  # noqa: S104 -- only the balancer reaches it
        "IOPS_LISTEN_PORT": str(LISTEN_PORT),
        "IOPS_AWS_REGION": config.region,
        "IOPS_PUBLIC_URL": facts.public_url,
        "IOPS_TRUSTED_PROXIES": facts.proxies,
        "IOPS_EMF": "true",  # what the alarms need, as a log line a minute
    }
    people: dict[str, Value] = {"IOPS_ISSUER": facts.issuer, "IOPS_CLIENT_IDS": facts.client_id}
    own: Mapping[str, dict[str, Value]] = {
        "ingest": {},
        "insights": {**people, **_insights(config, facts)},
        "alerts": people,
    }
    return shared | own[service]


def _insights(config: Config, facts: Facts) -> dict[str, Value]:
    found: dict[str, Value | None] = {
        "IOPS_EXPLAINERS": "bedrock" if config.has_bedrock else None,
        "IOPS_HOSTED_UI_URL": facts.hosted_ui_url,
        "IOPS_SAGEMAKER_ENDPOINT": facts.endpoint_name,
    }
    return {name: value for name, value in found.items() if value is not None}
