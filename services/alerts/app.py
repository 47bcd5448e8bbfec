"""The alerts service: turns insights into episodes and tells people once."""

import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from iops import clock
from iops.clock import Clock
from iops.emf import telling
from iops.gate import open_gate
from iops.observability import Metrics, configure_logging
from iops.people import open_people
from iops.pulse import beating
from iops.redact import secrets_in
from iops.table import Table, open_table
from iops.web import Health, create_service, running
from services.alerts import acts, letter_routes, routes, silencing
from services.alerts.canary import Canary
from services.alerts.canary_watch import open_canary_watch
from services.alerts.dead_letters import LetterCounts
from services.alerts.deliver import Courier, CourierMetrics, Target
from services.alerts.intake import Intake
from services.alerts.redrive import open_redrive
from services.alerts.settings import AlertsSettings
from services.alerts.silences import Silences
from services.alerts.targets import open_targets
from services.alerts.timers import Timers
from services.alerts.webhook_secrets import open_webhook_secrets


def create_app(settings: AlertsSettings | None = None, now: Clock = clock.now) -> FastAPI:
    """The service; `settings` come from the environment where none are given."""
    configured = settings or AlertsSettings()
    configure_logging("alerts", secrets=secrets_in(configured))
    metrics = Metrics()
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The clients outlive the loops that use them.
        async with (
            open_table(configured) as table,
            open_people(configured, now, metrics) as people,
            open_gate(configured, table, now, metrics, people=people) as app.state.gate,
            open_webhook_secrets(configured, metrics) as secrets,
            open_targets(configured, secrets, now, metrics) as targets,
            open_redrive(configured) as app.state.redrive,
            open_canary_watch(configured, table, now, metrics) as canary_watch,
        ):
            app.state.alerts = routes.Alerts(table=table, clock=now, targets=[target.name for target in targets])
            health.checks["table"] = table.check
            canary = Canary(table, now, hour_utc=configured.canary_hour_utc)
            async with running(
                health,
                letter_counts=LetterCounts(app.state.redrive.letters, metrics).run(),
                **_episodes(table, targets, settings=configured, now=now, metrics=metrics),
                **_couriers(configured, table, targets, now=now, metrics=metrics),
                **telling(configured, "alerts", metrics, now),
                **beating(configured, "alerts", table=table, health=health, metrics=metrics, clock=now),
                **({"webhook_secrets": secrets.run()} if secrets else {}),
                **({"canary": canary.run(), "canary_watch": canary_watch.run()} if configured.canary else {}),
            ):
                yield

    # A fixed path stands before one with an alert's id in it.
    routers = [letter_routes.router, silencing.router, acts.router, routes.router]
    return create_service(
        "alerts", routers=routers, lifespan=lifespan, metrics=metrics, health=health, settings=configured
    )


def _episodes(
    table: Table, targets: Sequence[Target], *, settings: AlertsSettings, now: Clock, metrics: Metrics
) -> dict[str, Coroutine[Any, Any, None]]:
    """What insights and time change about alerts."""
    names, silences = [target.name for target in targets], Silences(table, now)
    return {
        "intake": Intake(table, silences, now, metrics, targets=names, poll_s=settings.poll_s).run(),
        "timers": Timers(table, silences, now, metrics, targets=names).run(),
    }


def _couriers(
    settings: AlertsSettings, table: Table, targets: Sequence[Target], *, now: Clock, metrics: Metrics
) -> dict[str, Coroutine[Any, Any, None]]:
    """One for each target, so that none waits for another."""
    owner, counts = uuid.uuid4().hex, CourierMetrics(metrics)
    limits = {"poll_s": settings.poll_s, "lease_s": settings.lease_s}
    return {
        f"courier_{target.name}": Courier(
            table, target, now, counts, owner=owner, public_url=settings.public_url, **limits
        ).run()
        for target in targets
    }
