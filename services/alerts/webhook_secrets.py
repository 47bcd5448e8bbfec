"""What is secret of a webhook: where it is sent, and what proves that it is ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pydantic import Field, SecretStr
from yarl import URL

from iops.contract import ALERTS_SECRETS
from iops.observability import Metrics
from iops.secret_document import SecretDocument
from iops.secrets import Secret, open_secret
from services.alerts.settings import AlertsSettings, Webhook, WebhookKind

ROUTING_KEY_LENGTH: Final = 32  # characters, of PagerDuty
SECRET_LENGTH: Final = 16  # characters at least, of what signs a body


class WebhookSecret(SecretDocument):
    """Slack's URL is all that posting there takes, so each URL is a secret."""

    url: SecretStr
    key: SecretStr | None = Field(default=None, description="PagerDuty's routing key, or what signs a generic body")


class WebhookSecrets(SecretDocument):
    """The document `iops-dashboard/alerts`: by the webhook's name."""

    webhooks: dict[str, WebhookSecret] = Field(default_factory=dict, max_length=64)

    def problem(self, settings: AlertsSettings) -> str | None:
        """Why a webhook of the settings cannot be used, without a secret; None where each can."""
        for webhook in settings.webhooks:
            secret = self.webhooks.get(webhook.name)
            if secret is None:
                return f"'webhooks.{webhook.name}.url': it is not there"
            if wrong := _problem(webhook, secret, settings):
                return f"'webhooks.{webhook.name}': {wrong}"
        return None


@asynccontextmanager
async def open_webhook_secrets(
    settings: AlertsSettings, metrics: Metrics
) -> AsyncIterator[Secret[WebhookSecrets] | None]:
    """None where there are no webhooks: nothing is read then. Raises SecretUnread."""
    if not settings.webhooks:
        yield None
        return
    names = [webhook.name for webhook in settings.webhooks]
    async with open_secret(
        settings, ALERTS_SECRETS, WebhookSecrets, metrics, problem=lambda read: read.problem(settings), names=names
    ) as secrets:
        yield secrets


def _problem(webhook: Webhook, secret: WebhookSecret, settings: AlertsSettings) -> str | None:
    return _url_problem(secret.url.get_secret_value(), settings) or _key_problem(webhook.kind, secret.key)


def _url_problem(text: str, settings: AlertsSettings) -> str | None:
    try:
        url = URL(text)
    except ValueError:
        return "its url cannot be read"
    if url.scheme != "https" and not (settings.webhook_private and url.scheme == "http"):
        return "its url has to begin with https://"
    if url.raw_host is None or url.raw_host.lower() not in settings.webhook_hosts:
        return "the host of its url is not in IOPS_WEBHOOK_HOSTS; add it there if it is yours"
    return None


def _key_problem(kind: WebhookKind, key: SecretStr | None) -> str | None:
    length = len(key.get_secret_value()) if key else 0
    if kind is WebhookKind.PAGERDUTY and length != ROUTING_KEY_LENGTH:
        return f"its key has to be PagerDuty's routing key, {ROUTING_KEY_LENGTH} characters"
    if kind is WebhookKind.GENERIC and length < SECRET_LENGTH:
        return f"its key signs what is sent and needs {SECRET_LENGTH} characters or more"
    if kind in (WebhookKind.SLACK, WebhookKind.ALERTMANAGER) and length:
        return f"a webhook of kind {kind} takes no key"
    return None
