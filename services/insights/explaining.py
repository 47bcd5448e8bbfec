"""What puts findings into words: the language models, what they may spend, and what they said before."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from iops.clock import Clock
from iops.flags import FlagReader
from iops.observability import Metrics
from iops.table import Table
from services.insights.answer import Answer
from services.insights.answer_cache import AnswerCache
from services.insights.explainer import Explainer
from services.insights.improve import Improver
from services.insights.language_models import LanguageModels, open_language_models
from services.insights.purse import Purse
from services.insights.settings import InsightsSettings


@dataclass(frozen=True, slots=True)
class Explaining:
    """The parts, each with those it uses."""

    purse: Purse
    models: LanguageModels
    explainer: Explainer
    improver: Improver


@asynccontextmanager
async def open_explaining(
    settings: InsightsSettings, table: Table, flags: FlagReader, *, now: Clock, metrics: Metrics
) -> AsyncIterator[Explaining]:
    """Raises UnusableModel."""
    purse = Purse(table, now, metrics, lambda: flags.current.llm_daily_usd)
    async with open_language_models(settings, purse, metrics, now) as models:
        cache = AnswerCache[Answer](time.monotonic, metrics)
        explainer = Explainer(models.providers, cache, metrics, flags=lambda: flags.current, now_s=time.monotonic)
        async with Improver(table, explainer, now, metrics, sets_risk=lambda: flags.current.llm_sets_risk) as improver:
            yield Explaining(purse, models, explainer, improver)
