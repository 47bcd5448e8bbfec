"""What alerts reads from its environment."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from iops.settings import ServiceSettings

LEAST_LEASE_S: Final = 25.0  # a webhook may take 10 s, and begins in the first half of a lease


class WebhookKind(StrEnum):
    """Which receiver's language a webhook speaks."""

    ALERTMANAGER = "alertmanager"
    PAGERDUTY = "pagerduty"
    SLACK = "slack"
    GENERIC = "generic"


class Webhook(BaseModel):
    """One place that hears of alerts. Its url and key stand in the secret iops-dashboard/alerts, under its name."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="of its deliveries, metrics and log lines")
    kind: WebhookKind


class AlertsSettings(ServiceSettings):
    """A lease outlives the longest pass, so that two replicas never work on one row."""

    poll_s: float = Field(default=0.5, gt=0, description="between two looks at the outbox: half a read unit each")
    lease_s: float = Field(default=30, gt=0, description="how long a row stays with a replica that died")
    canary: bool = Field(default=True, description="send a mail a day through the whole path, and watch for it")
    canary_hour_utc: int = Field(default=9, ge=0, le=23, description="in this hour of the day")
    webhooks: tuple[Webhook, ...] = Field(default=(), max_length=16, description="JSON: [{name, kind}]")
    webhook_hosts: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), description="host names that webhooks may be sent to, with commas between them"
    )
    webhook_private: bool = Field(default=False, description="webhooks also by http, and to private networks")

    @field_validator("webhook_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """`hooks.slack.com,events.pagerduty.com` is how a shell says it."""
        return [part.strip().lower() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _webhooks_can_be_told_apart(self) -> Self:
        names = ["bus", *(webhook.name for webhook in self.webhooks)]
        if len(set(names)) < len(names):
            raise ValueError("webhooks: each needs a name of its own, other than bus")
        if self.webhooks and self.lease_s < LEAST_LEASE_S:
            raise ValueError(f"webhooks need IOPS_LEASE_S of {LEAST_LEASE_S:g} or more")
        return self
