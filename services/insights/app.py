"""The insights service: scores what ingest stored, explains what matters, answers what people ask."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from iops import clock
from iops.bus import open_scoring_queue
from iops.clock import Clock
from iops.flags import open_flags
from iops.observability import Metrics, configure_logging
from iops.table import open_table
from iops.web import Health, create_service, running
from services.insights import costs, feedback, routes
from services.insights.chain import load_model, open_chain
from services.insights.judge import ModelJudge
from services.insights.rollup import Rollups
from services.insights.score import Scorer
from services.insights.settings import InsightsSettings
from services.insights.windows import Windows
from services.insights.work import ScoringLoop


def create_app(settings: InsightsSettings | None = None, now: Clock = clock.now) -> FastAPI:
    """The service; `settings` come from the environment where none are given."""
    configure_logging("insights")
    configured = settings or InsightsSettings()
    metrics = Metrics()
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The clients outlive the loop that uses them.
        async with (
            AsyncExitStack() as clients,
            open_table(configured) as table,
            open_scoring_queue(configured) as queue,
        ):
            windows = Windows(table, now, metrics, limit=configured.windows_limit)
            model = load_model(configured.model_dir)
            flags = await clients.enter_async_context(
                open_flags(configured, metrics, file=configured.flags_file, interval_s=configured.flags_interval_s)
            )
            judge = None
            if model:
                chain = open_chain(configured, model, metrics, percent=lambda: flags.current.sagemaker_percent)
                judge = ModelJudge(await clients.enter_async_context(chain), model.card, metrics)
            scorer = Scorer(table, windows, now, metrics, judge)
            loop = ScoringLoop(queue, scorer, metrics, workers=configured.scoring_workers)
            quiet = timedelta(seconds=configured.dismissal_quiet_s)
            app.state.insights = routes.Insights(
                table=table, clock=now, dismissal_quiet=quiet, llm_daily_usd=lambda: flags.current.llm_daily_usd
            )
            health.checks["table"] = table.check
            rollups = Rollups(table, now, metrics, salt=secrets.token_bytes(16))
            async with running(health, flags=flags.run(), scoring=loop.run(), rollups=rollups.run()):
                yield

    routers = [routes.router, feedback.router, costs.router]
    return create_service("insights", routers=routers, lifespan=lifespan, metrics=metrics, health=health)
