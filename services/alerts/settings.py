"""What alerts reads from its environment."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode
from yarl import URL

from iops.settings import ServiceSettings

ROUTING_KEY_LENGTH: Final = 32  # characters, of PagerDuty
SECRET_LENGTH: Final = 16  # characters at least, of what signs a body
LEAST_LEASE_S: Final = 25.0  # a webhook may take 10 s, and begins in the first half of a lease


class WebhookKind(StrEnum):
    """Which receiver's language a webhook speaks."""

    ALERTMANAGER = "alertmanager"
    PAGERDUTY = "pagerduty"
    SLACK = "slack"
    GENERIC = "generic"


class Webhook(BaseModel):
    """One place that hears of alerts. Slack's URL is all that posting there takes, so each URL is a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="of its deliveries, metrics and log lines")
    kind: WebhookKind
    url: SecretStr
    key: SecretStr | None = Field(default=None, description="PagerDuty's routing key, or what signs a generic body")

    def problem(self, hosts: frozenset[str], *, is_private_allowed: bool) -> str | None:
        """Why it cannot be used, without a secret; None where it can."""
        try:
            url = URL(self.url.get_secret_value())
        except ValueError:
            return "its url cannot be read"
        if url.scheme != "https" and not (is_private_allowed and url.scheme == "http"):
            return "its url has to begin with https://"
        if url.raw_host is None or url.raw_host.lower() not in hosts:
            return "the host of its url is not in IOPS_WEBHOOK_HOSTS; add it there if it is yours"
        return self._key_problem()

    def _key_problem(self) -> str | None:
        length = len(self.key.get_secret_value()) if self.key else 0
        if self.kind is WebhookKind.PAGERDUTY and length != ROUTING_KEY_LENGTH:
            return f"its key has to be PagerDuty's routing key, {ROUTING_KEY_LENGTH} characters"
        if self.kind is WebhookKind.GENERIC and length < SECRET_LENGTH:
            return f"its key signs what is sent and needs {SECRET_LENGTH} characters or more"
        if self.kind in (WebhookKind.SLACK, WebhookKind.ALERTMANAGER) and length:
            return f"a webhook of kind {self.kind} takes no key"
        return None


class AlertsSettings(ServiceSettings):
    """A lease outlives the longest pass, so that two replicas never work on one row."""

    poll_s: float = Field(default=0.5, gt=0, description="between two looks at the outbox: half a read unit each")
    lease_s: float = Field(default=30, gt=0, description="how long a row stays with a replica that died")
    canary: bool = Field(default=True, description="send a mail a day through the whole path, and watch for it")
    canary_hour_utc: int = Field(default=9, ge=0, le=23, description="in this hour of the day")
    webhooks: tuple[Webhook, ...] = Field(default=(), max_length=16, description="JSON: [{name, kind, url, key}]")
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
    def _webhooks_can_be_used(self) -> Self:
        names = ["bus", *(webhook.name for webhook in self.webhooks)]
        if len(set(names)) < len(names):
            raise ValueError("webhooks: each needs a name of its own, other than bus")
        for webhook in self.webhooks:
            problem = webhook.problem(self.webhook_hosts, is_private_allowed=self.webhook_private)
            if problem:
                raise ValueError(f"webhook {webhook.name}: {problem}")
        if self.webhooks and self.lease_s < LEAST_LEASE_S:
            raise ValueError(f"webhooks need IOPS_LEASE_S of {LEAST_LEASE_S:g} or more")
        return self
