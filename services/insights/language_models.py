"""The language models that the settings name, with their clients, in the order in which they are asked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from iops.clock import Clock
from iops.observability import Metrics
from iops.secrets import Secret
from services.insights.bedrock import open_bedrock
from services.insights.calls import CallMetrics, ResilientProvider
from services.insights.model_secrets import ModelSecrets, open_model_secrets
from services.insights.openai_compatible import open_openai_compatible
from services.insights.profiles import Choice, chosen
from services.insights.providers import Provider
from services.insights.purse import Purse
from services.insights.settings import InsightsSettings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LanguageModels:
    """Those there are; none where the settings name none."""

    providers: Sequence[ResilientProvider]
    warnings: dict[str, str]  # by provider: what will keep it from answering one day
    secrets: Secret[ModelSecrets] | None = None  # whose `run` is for the service; None where none is needed


@asynccontextmanager
async def open_language_models(
    settings: InsightsSettings, purse: Purse, metrics: Metrics, clock: Clock
) -> AsyncIterator[LanguageModels]:
    """Raises UnusableModel for a profile that has ended, is not known or has no route from the region, and SecretUnread
    where openai's document cannot be read."""
    providers, warnings, counts = [], dict[str, str](), CallMetrics(metrics)
    async with AsyncExitStack() as clients:
        secrets = await clients.enter_async_context(open_model_secrets(settings, metrics))
        for name in dict.fromkeys(settings.explainers):
            if name == "bedrock":
                choice = chosen(settings.bedrock_model, settings.aws_region, today=clock().date())
                warnings |= _warn(choice)
                opening: AbstractAsyncContextManager[Provider] = open_bedrock(
                    settings, choice, settings.bedrock_endpoint_url, now=clock
                )
            else:
                opening = _open_openai(settings, secrets, clock)
            provider = ResilientProvider(await clients.enter_async_context(opening), purse, counts, time.monotonic)
            providers.append(await clients.enter_async_context(provider))
        yield LanguageModels(providers, warnings, secrets)


def _open_openai(
    settings: InsightsSettings, secrets: Secret[ModelSecrets] | None, clock: Clock
) -> AbstractAsyncContextManager[Provider]:
    assert settings.openai_base_url is not None, "the settings refuse openai without it"
    assert settings.openai_model is not None, "the settings refuse openai without it"
    return open_openai_compatible(
        settings.openai_base_url,
        settings.openai_model,
        api_key=lambda: secrets.current.openai_api_key if secrets else None,
        usd_per_m_tokens_in=settings.openai_usd_per_m_tokens_in,
        usd_per_m_tokens_out=settings.openai_usd_per_m_tokens_out,
        now=clock,
    )


def _warn(choice: Choice) -> dict[str, str]:
    if choice.warning is None:
        return {}
    log.warning("model_ends_soon", model_id=choice.model_id, detail=choice.warning)
    return {"bedrock": choice.warning}
