"""The ingest service: telemetry in, 202 when the table has it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from iops import clock
from iops.bus import ScoringQueue, open_scoring_queue
from iops.clock import Clock
from iops.collector import rare_collections
from iops.emf import telling
from iops.gate import open_gate
from iops.observability import Metrics, configure_logging
from iops.pulse import beating
from iops.redact import secrets_in
from iops.table import Table, open_table
from iops.web import Endpoint, Health, create_service, running
from services.ingest import doors, routes
from services.ingest.limits import Limits
from services.ingest.notify import ScoringNotifier
from services.ingest.register import Registry
from services.ingest.settings import IngestSettings
from services.ingest.store import GroupCommit

QUICK: Final[Mapping[str, Endpoint]] = {
    "/metrics": routes.post_metrics,
    "/v1/metrics": doors.post_otlp,
    "/api/v1/write": doors.post_remote_write,
}


def create_app(settings: IngestSettings | None = None, now: Clock = clock.now) -> FastAPI:
    """The service; `settings` come from the environment where none are given."""
    configured = settings or IngestSettings()
    configure_logging("ingest", secrets=secrets_in(configured))
    metrics = Metrics()
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Outside in: the clients outlive the loops that use them, and by the time the loops end the server has
        # answered every request, so nothing waits in the queue ahead of the table.
        async with (
            open_table(configured) as table,
            open_scoring_queue(configured) as queue,
            open_gate(configured, table, now, metrics) as app.state.gate,
        ):
            app.state.ingest = ingest = _ingest(table, queue, settings=configured, now=now, metrics=metrics)
            app.state.doors = doors.Doors(ingest, table, metrics)
            health.checks["table"] = table.check
            loops = telling(configured, "ingest", metrics, now)
            loops |= beating(configured, "ingest", table=table, health=health, metrics=metrics, clock=now)
            async with running(health, commit=ingest.commit.run(), notifier=ingest.notifier.run(), **loops):
                with rare_collections():
                    yield

    service = create_service(
        "ingest",
        routers=[routes.router, doors.router],
        lifespan=lifespan,
        metrics=metrics,
        health=health,
        settings=configured,
        sampled=dict.fromkeys(QUICK, configured.log_ratio),
        quick=QUICK,
    )
    service.schemas = routes.METRICS_SCHEMA["$defs"]
    return service


def _ingest(
    table: Table, queue: ScoringQueue, *, settings: IngestSettings, now: Clock, metrics: Metrics
) -> routes.Ingest:
    return routes.Ingest(
        settings=settings,
        clock=now,
        commit=GroupCommit(table, settings, metrics),
        registry=Registry(table, now, limit=settings.known_streams_limit, wait_s=settings.store_wait_s),
        notifier=ScoringNotifier(queue, metrics),
        limits=Limits(settings),
    )
