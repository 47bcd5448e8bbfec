"""The insights service: scores what ingest stored, explains what matters, answers what people ask."""

import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from iops import clock
from iops.bus import ScoringQueue, open_scoring_queue
from iops.clock import Clock
from iops.collector import rare_collections
from iops.emf import telling
from iops.flags import FlagReader, open_flags
from iops.gate import Gate, OpenGate, open_gate
from iops.observability import Metrics, configure_logging
from iops.people import open_people
from iops.pulse import beating
from iops.redact import secrets_in
from iops.table import Table, open_table
from iops.web import Health, create_service, running
from services.insights import analyse, audit, chart, costs, feedback, fleet_routes, key_routes, routes, system, tiers
from services.insights.absence import Absence
from services.insights.card import view_model
from services.insights.chain import Judging, load_model, open_judging
from services.insights.explaining import Explaining, open_explaining
from services.insights.flag_watch import FlagWatch
from services.insights.fleet import Fleet
from services.insights.pages import ROUTERS as PAGES
from services.insights.pages.failures import answer_pages
from services.insights.prometheus import routes as prometheus
from services.insights.prometheus.ask import ReadApi
from services.insights.rollup import Rollups
from services.insights.score import Scorer
from services.insights.session import ROUTERS as SESSION_ROUTERS
from services.insights.session.desk import Desk, open_desk
from services.insights.settings import InsightsSettings
from services.insights.sparks import Sparks
from services.insights.spending import Spending
from services.insights.strip import Strip
from services.insights.survey import Survey
from services.insights.tell import Teller
from services.insights.windows import Windows
from services.insights.work import ScoringLoop

PACKED_FROM_BYTES: Final = 1_400  # below that an answer is one packet anyway


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is open while the service runs."""

    table: Table
    gate: Gate | OpenGate
    desk: Desk | None
    queue: ScoringQueue
    flags: FlagReader
    judging: Judging
    explaining: Explaining
    teller: Teller
    scorer: Scorer
    fleet: Fleet
    sparks: Sparks


def create_app(settings: InsightsSettings | None = None, now: Clock = clock.now) -> FastAPI:
    """The service; `settings` come from the environment where none are given."""
    configured = settings or InsightsSettings()
    configure_logging("insights", secrets=secrets_in(configured))
    metrics = Metrics()
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _open_parts(configured, now, metrics) as parts:
            _show(app, parts, configured, now)
            health.checks["table"] = parts.table.check
            pulse = beating(configured, "insights", table=parts.table, health=health, metrics=metrics, clock=now)
            async with running(health, **_loops(parts, configured, now, metrics), **pulse):
                with rare_collections():
                    yield

    routers = [routes.router, analyse.router, feedback.router, costs.router, tiers.router]
    routers += [audit.router, key_routes.router, fleet_routes.router, chart.router, prometheus.router, system.router]
    app = create_service(
        "insights",
        routers=[*routers, *SESSION_ROUTERS, *PAGES],
        lifespan=lifespan,
        metrics=metrics,
        health=health,
        settings=configured,
    )
    answer_pages(app)
    app.add_middleware(GZipMiddleware, minimum_size=PACKED_FROM_BYTES, compresslevel=5)
    return app


@asynccontextmanager
async def _open_parts(settings: InsightsSettings, now: Clock, metrics: Metrics) -> AsyncIterator[_Parts]:
    # The clients outlive the loops that use them.
    async with open_table(settings) as table, open_scoring_queue(settings) as queue, AsyncExitStack() as clients:
        people = await clients.enter_async_context(open_people(settings, now, metrics))
        gate = await clients.enter_async_context(open_gate(settings, table, now, metrics, people=people))
        desk = await clients.enter_async_context(open_desk(settings, table, gate, people=people, now=now))
        windows = Windows(table, now, metrics, limit=settings.windows_limit)
        model = load_model(settings.model_dir)
        flags = await clients.enter_async_context(
            open_flags(settings, metrics, file=settings.flags_file, interval_s=settings.flags_interval_s)
        )
        judging = await clients.enter_async_context(
            open_judging(settings, model, metrics, percent=lambda: flags.current.sagemaker_percent)
        )
        explaining = await clients.enter_async_context(
            open_explaining(settings, table, flags, now=now, metrics=metrics)
        )
        teller = Teller(table, now, metrics, explaining.improver)
        scorer = Scorer(table, windows, teller, now, metrics, judging.judge)
        fleet, sparks = Fleet(table, now), Sparks(table, now, peek=windows.peek)
        yield _Parts(table, gate, desk, queue, flags, judging, explaining, teller, scorer, fleet, sparks)


def _show(app: FastAPI, parts: _Parts, settings: InsightsSettings, now: Clock) -> None:
    """Gives the routes what they answer from."""
    flags, explaining = parts.flags, parts.explaining
    app.state.gate = parts.gate
    app.state.session = parts.desk
    app.state.prometheus = ReadApi(parts.table, parts.fleet, now)
    app.state.charts = chart.Charts(parts.table, parts.fleet, now)
    app.state.insights = routes.Insights(
        table=parts.table,
        clock=now,
        dismissal_quiet=timedelta(seconds=settings.dismissal_quiet_s),
        llm_daily_usd=lambda: flags.current.llm_daily_usd,
    )
    app.state.analyst = analyse.Analyst(
        parts.table,
        parts.scorer,
        parts.teller,
        explaining.explainer,
        clock=now,
        sets_risk=lambda: flags.current.llm_sets_risk,
    )
    board = app.state.tiers = tiers.Board(
        flags=lambda: flags.current,
        model_version=parts.judging.card.version if parts.judging.card else None,
        why_no_endpoint=parts.judging.why_no_endpoint,
        providers=explaining.models.providers,
        warnings=explaining.models.warnings,
        why_no_money=explaining.purse.why_not,
        teller=parts.teller,
    )
    survey = Survey(parts.table, board, now, budget_usd=lambda: flags.current.llm_daily_usd)
    app.state.watch = fleet_routes.Watch(parts.fleet, parts.sparks, now, Strip(survey, parts.fleet).read)
    app.state.system = system.Bureau(survey, view_model(parts.judging.card) if parts.judging.card else None)


def _loops(
    parts: _Parts, settings: InsightsSettings, now: Clock, metrics: Metrics
) -> dict[str, Coroutine[Any, Any, None]]:
    scoring = ScoringLoop(parts.queue, parts.scorer, metrics, workers=settings.scoring_workers)
    rollups = Rollups(parts.table, now, metrics, salt=secrets.token_bytes(16))
    model_secrets = parts.explaining.models.secrets
    return {
        "flags": parts.flags.run(),
        "flag_watch": FlagWatch(parts.table, parts.flags, now).run(),
        "scoring": scoring.run(),
        "rollups": rollups.run(),
        "settlements": parts.explaining.purse.run(),
        "spending": Spending(parts.table, now, metrics).run(),
        "fleet": parts.fleet.run(),
        "absence": Absence(parts.table, now, metrics).run(),
        **telling(settings, "insights", metrics, now),
        **({"model_secrets": model_secrets.run()} if model_secrets else {}),
    }
