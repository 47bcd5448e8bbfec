"""The alerts service: turns insights into episodes and tells people once."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from iops import clock
from iops.bus import open_event_bus
from iops.clock import Clock
from iops.observability import Metrics, configure_logging
from iops.table import open_table
from iops.web import Health, create_service, running
from services.alerts import routes
from services.alerts.deliver import Outbox
from services.alerts.settings import AlertsSettings


def create_app(settings: AlertsSettings | None = None, now: Clock = clock.now) -> FastAPI:
    """The service; `settings` come from the environment where none are given."""
    configure_logging("alerts")
    configured = settings or AlertsSettings()
    metrics = Metrics()
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The clients outlive the loop that uses them.
        async with open_table(configured) as table, open_event_bus(configured) as bus:
            outbox = Outbox(table, bus, configured, clock=now, owner=uuid.uuid4().hex, metrics=metrics)
            app.state.alerts = routes.Alerts(table=table)
            health.checks["table"] = table.check
            async with running(health, outbox=outbox.run()):
                yield

    return create_service("alerts", routers=[routes.router], lifespan=lifespan, metrics=metrics, health=health)
