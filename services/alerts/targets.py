"""Where events go: the bus, and whatever else the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from iops.bus import open_event_bus
from services.alerts.deliver import Target
from services.alerts.event_bus import BusTarget
from services.alerts.settings import AlertsSettings


@asynccontextmanager
async def open_targets(settings: AlertsSettings) -> AsyncIterator[Sequence[Target]]:
    """The bus first: it alone hears of insights that are no alert."""
    async with open_event_bus(settings) as bus:
        yield [BusTarget(bus)]
