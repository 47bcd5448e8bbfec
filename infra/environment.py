"""What one service is told beside what infra.service tells all: variables that services/*/settings.py read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.config import Config

Value = pulumi.Input[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What other components made."""

    issuer: Value
    client_id: Value
    hosted_ui_url: Value | None  # none without HTTPS: Cognito sends people back to nothing else
    endpoint_name: Value | None


def variables(service: str, config: Config, facts: Facts) -> dict[str, Value]:
    """Of one service; none of them is a secret, since each service reads those from Secrets Manager itself."""
    shared: dict[str, Value] = {"IOPS_EMF": "true"}  # what the alarms need, as a log line a minute
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
