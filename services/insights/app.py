"""The insights service: scores what ingest stored, explains what matters, answers what people ask."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from iops import clock
from iops.bus import open_scoring_queue
from iops.clock import Clock
from iops.flags import open_flags
from iops.observability import Metrics, configure_logging
from iops.redact import secrets_in
from iops.table import open_table
from iops.web import Health, create_service, running
from services.insights import analyse, costs, feedback, routes, tiers
from services.insights.absence import Absence
from services.insights.answer import Answer
from services.insights.answer_cache import AnswerCache
from services.insights.chain import load_model, open_chain
from services.insights.explainer import Explainer
from services.insights.improve import Improver
from services.insights.judge import ModelJudge
from services.insights.language_models import open_language_models
from services.insights.purse import Purse
from services.insights.rollup import Rollups
from services.insights.score import Scorer
from services.insights.session import ROUTERS as SESSION_ROUTERS
from services.insights.settings import InsightsSettings
from services.insights.tell import Teller
from services.insights.windows import Windows
from services.insights.work import ScoringLoop


def create_app(settings: InsightsSettings | None = None, now: Clock = clock.now) -> FastAPI:
    """The service; `settings` come from the environment where none are given."""
    configured = settings or InsightsSettings()
    configure_logging("insights", secrets=secrets_in(configured))
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
            scoring, judge = None, None
            if model:
                opening = open_chain(configured, model, metrics, percent=lambda: flags.current.sagemaker_percent)
                scoring = await clients.enter_async_context(opening)
                judge = ModelJudge(scoring.chain, model.card, metrics)
            purse = Purse(table, now, metrics, lambda: flags.current.llm_daily_usd)
            models = await clients.enter_async_context(open_language_models(configured, purse, metrics, now))
            cache = AnswerCache[Answer](time.monotonic, metrics)
            explainer = Explainer(models.providers, cache, metrics, flags=lambda: flags.current, now_s=time.monotonic)
            improver = await clients.enter_async_context(
                Improver(table, explainer, now, metrics, sets_risk=lambda: flags.current.llm_sets_risk)
            )
            teller = Teller(table, now, metrics, improver)
            scorer = Scorer(table, windows, teller, now, metrics, judge)
            loop = ScoringLoop(queue, scorer, metrics, workers=configured.scoring_workers)
            app.state.insights = routes.Insights(
                table=table,
                clock=now,
                dismissal_quiet=timedelta(seconds=configured.dismissal_quiet_s),
                llm_daily_usd=lambda: flags.current.llm_daily_usd,
            )
            app.state.analyst = analyse.Analyst(
                table, scorer, teller, explainer, clock=now, sets_risk=lambda: flags.current.llm_sets_risk
            )
            app.state.tiers = tiers.Board(
                flags=lambda: flags.current,
                model_version=model.card.version if model else None,
                why_no_endpoint=scoring.why_no_endpoint if scoring else lambda: "no model fits",
                providers=models.providers,
                warnings=models.warnings,
                why_no_money=purse.why_not,
                teller=teller,
            )
            health.checks["table"] = table.check
            rollups = Rollups(table, now, metrics, salt=secrets.token_bytes(16))
            async with running(
                health,
                flags=flags.run(),
                scoring=loop.run(),
                rollups=rollups.run(),
                settlements=purse.run(),
                absence=Absence(table, now, metrics).run(),
            ):
                yield

    routers = [routes.router, analyse.router, feedback.router, costs.router, tiers.router, *SESSION_ROUTERS]
    return create_service(
        "insights", routers=routers, lifespan=lifespan, metrics=metrics, health=health, settings=configured
    )
