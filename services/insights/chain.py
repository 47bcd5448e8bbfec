"""Which scorers there are: the trees here, and where it is set an endpoint for a share of the streams or beside."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from iops.model import Card, Model, UnfitModel
from iops.observability import Metrics
from services.insights.judge import QUIET_RISK, ModelJudge
from services.insights.sagemaker import open_sagemaker
from services.insights.scorers import Canary, Chain, LocalScorer, Percent
from services.insights.settings import InsightsSettings
from services.insights.shadow import Shadow

log = structlog.get_logger()


def load_model(directory: Path) -> Model | None:
    """None where there is none that fits: then the rules score alone, which every insight says."""
    try:
        model = Model(directory)
    except UnfitModel as error:
        log.error("model_unfit", reason=str(error))  # noqa: TRY400 - the sentence says it all
        return None
    log.info("model_loaded", version=model.card.version, feature_set_id=model.card.feature_set_id)
    return model


@dataclass(frozen=True, slots=True)
class Scoring:
    """What scores, and why the endpoint would not be asked now (None: it would)."""

    chain: Chain
    why_no_endpoint: Callable[[], str | None]


@asynccontextmanager
async def open_chain(
    settings: InsightsSettings, model: Model, metrics: Metrics, *, percent: Percent
) -> AsyncIterator[Scoring]:
    """Asks the endpoint, where one is set, for that share of the streams, or only compares with it."""
    local = LocalScorer(model, least_risk=QUIET_RISK)

    if settings.sagemaker_endpoint is None:
        yield Scoring(Canary(local, None, percent, metrics), lambda: "no endpoint is set")
        return
    version = None if settings.sagemaker_shadow else model.card.version
    endpoint = settings.sagemaker_endpoint
    async with open_sagemaker(settings, metrics, time.monotonic, endpoint=endpoint, version=version) as remote:
        if settings.sagemaker_shadow:
            async with Shadow(LocalScorer(model), remote, percent, metrics) as shadow:  # which compares every kind
                yield Scoring(shadow, lambda: "it is only compared with (IOPS_SAGEMAKER_SHADOW)")
        else:

            def why_no_endpoint() -> str | None:
                return "the flag sagemaker_percent is 0" if percent() <= 0 else remote.why_not()

            yield Scoring(Canary(local, remote, percent, metrics), why_no_endpoint)


@dataclass(frozen=True, slots=True)
class Judging:
    """The model's part in a score; `judge` and `card` are None where the rules score alone."""

    judge: ModelJudge | None
    card: Card | None
    why_no_endpoint: Callable[[], str | None]


@asynccontextmanager
async def open_judging(
    settings: InsightsSettings, model: Model | None, metrics: Metrics, *, percent: Percent
) -> AsyncIterator[Judging]:
    """The chain behind a judge, where a model fits."""
    if model is None:
        yield Judging(None, None, lambda: "no model fits")
        return
    async with open_chain(settings, model, metrics, percent=percent) as scoring:
        yield Judging(ModelJudge(scoring.chain, model.card, metrics), model.card, scoring.why_no_endpoint)
