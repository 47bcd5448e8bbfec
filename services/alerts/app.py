"""The alerts service: turns insights into episodes and tells people once."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from iops import clock
from iops.clock import Clock
from iops.emf import telling
from iops.gate import open_gate
from iops.observability import Metrics, configure_logging
from iops.people import open_people
from iops.redact import secrets_in
from iops.table import open_table
from iops.web import Health, create_service, running
from services.alerts import acts, letter_routes, routes, silencing
from services.alerts.canary import Canary
from services.alerts.canary_watch import open_canary_watch
from services.alerts.dead_letters import LetterCounts
from services.alerts.deliver import Courier, CourierMetrics
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
        # The clients outlive the loop that uses them.
        async with (
            open_table(configured) as table,
            open_people(configured, now, metrics) as people,
            open_gate(configured, table, now, metrics, people=people) as app.state.gate,
            open_webhook_secrets(configured, metrics) as secrets,
            open_targets(configured, secrets, now, metrics) as targets,
            open_redrive(configured) as redrive,
            open_canary_watch(configured, table, now, metrics) as canary_watch,
        ):
            names = [target.name for target in targets]
            silences = Silences(table, now)
            intake = Intake(table, silences, now, metrics, targets=names, poll_s=configured.poll_s)
            timers = Timers(table, silences, now, metrics, targets=names)
            owner, counts = uuid.uuid4().hex, CourierMetrics(metrics)
            couriers = {
                f"courier_{target.name}": Courier(
                    table,
                    target,
                    now,
                    counts,
                    owner=owner,
                    poll_s=configured.poll_s,
                    lease_s=configured.lease_s,
                    public_url=configured.public_url,
                ).run()
                for target in targets
            }
            canaries = {
                "canary": Canary(table, now, hour_utc=configured.canary_hour_utc).run,
                "canary_watch": canary_watch.run,
            }
            app.state.redrive = redrive
            app.state.alerts = routes.Alerts(table=table, clock=now, targets=names)
            health.checks["table"] = table.check
            async with running(
                health,
                intake=intake.run(),
                timers=timers.run(),
                letter_counts=LetterCounts(redrive.letters, metrics).run(),
                **couriers,
                **telling(configured, "alerts", metrics, now),
                **({"webhook_secrets": secrets.run()} if secrets else {}),
                **({name: run() for name, run in canaries.items()} if configured.canary else {}),
            ):
                yield

    # A fixed path stands before one with an alert's id in it.
    routers = [letter_routes.router, silencing.router, acts.router, routes.router]
    return create_service(
        "alerts", routers=routers, lifespan=lifespan, metrics=metrics, health=health, settings=configured
    )
