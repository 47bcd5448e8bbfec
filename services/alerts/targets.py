"""Where events go: the bus, and whatever else the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from iops.bus import open_event_bus
from iops.clock import Clock
from iops.observability import Metrics
from iops.secrets import Secret
from services.alerts.deliver import Target
from services.alerts.event_bus import BusTarget
from services.alerts.settings import AlertsSettings
from services.alerts.webhook import open_webhooks
from services.alerts.webhook_secrets import WebhookSecrets


@asynccontextmanager
async def open_targets(
    settings: AlertsSettings, secrets: Secret[WebhookSecrets] | None, clock: Clock, metrics: Metrics
) -> AsyncIterator[Sequence[Target]]:
    """The bus first: it alone hears of insights that are no alert."""
    async with open_event_bus(settings) as bus, open_webhooks(settings, secrets, clock, metrics) as webhooks:
        yield [BusTarget(bus), *webhooks]
