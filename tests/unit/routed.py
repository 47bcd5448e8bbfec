"""The routes of insights and alerts in one app, which a test gives its own table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI

from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.web import Health, create_service
from services.alerts import acts, silencing
from services.alerts import routes as alerts_routes
from services.insights import analyse, costs, feedback, tiers
from services.insights import routes as insights_routes


@asynccontextmanager
async def nothing_to_open(_: FastAPI) -> AsyncIterator[None]:
    yield


@cache
def an_app() -> FastAPI:
    """Both services' routes; made once, because that takes longer than any test here."""
    routers = [insights_routes.router, feedback.router, costs.router, tiers.router, analyse.router]
    routers += [silencing.router, acts.router, alerts_routes.router]
    return create_service(
        "test",
        routers=routers,
        lifespan=nothing_to_open,
        metrics=Metrics(),
        health=Health(),
        settings=ServiceSettings(),
    )
