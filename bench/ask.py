"""A language model that tells of golden evidence: asked as the service asks it, but for the table that counts money."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from bench.explain import MODEL_LENGTHS, Teller, Told
from iops import clock
from iops.flags import Flags
from iops.insight import Evidence
from iops.items import nano_to_usd, usd_to_nano
from iops.observability import Metrics
from services.insights.answer import Answer
from services.insights.answer_cache import AnswerCache
from services.insights.explainer import Explainer, Wording
from services.insights.language_models import open_language_models
from services.insights.providers import Unanswered
from services.insights.purse import Purse, Reservation
from services.insights.settings import InsightsSettings
from services.insights.template import Explanation, explain

WILLING: Final = Flags(ai_enabled=True)


class Wallet(Purse):
    """The money of one run, which no table counts."""

    def __init__(self, usd: float) -> None:
        self._left_nano = usd_to_nano(usd)

    async def reserve(self, most_usd: float) -> Reservation:
        """Raises Unanswered where less is left."""
        most_nano = usd_to_nano(most_usd)
        if most_nano > self._left_nano:
            raise Unanswered("over_budget", f"${nano_to_usd(self._left_nano):.4f} are left; --usd gives more")
        self._left_nano -= most_nano
        return Reservation("", clock.now().date(), most_nano)

    async def settle(self, stream_id: str, *, reservation: Reservation, cost_usd: float, **tokens: int) -> None:  # noqa: ARG002
        """Gives back the rest."""
        self._left_nano += reservation.most_nano - usd_to_nano(cost_usd)


def settings_of(provider: Literal["bedrock", "openai"], model: str | None) -> InsightsSettings:
    """From the environment, but for the provider and where it is given the model. Raises ValidationError."""
    chosen: dict[str, Any] = {"explainers": (provider,)}
    return InsightsSettings(**chosen | ({f"{provider}_model": model} if model else {}))


@asynccontextmanager
async def open_teller(settings: InsightsSettings, *, usd: float) -> AsyncIterator[Teller]:
    """Asks the first of the settings' models and no cache. Raises UnusableModel and SecretUnread."""
    async with open_language_models(settings, Wallet(usd), Metrics(), clock.now) as models:

        async def tell(evidence: Evidence) -> Told:
            counts = Metrics()
            cache = AnswerCache[Answer](time.monotonic, counts)  # a new one: two records may look alike to it
            explainer = Explainer(models.providers, cache, counts, flags=lambda: WILLING, now_s=time.monotonic)
            return _told(evidence, await explainer.explain(evidence))

        yield tell


def _told(evidence: Evidence, wording: Wording) -> Told:
    answer, call = wording.answer, wording.call
    title = explain(evidence).title  # a model's words stand under the template's title
    return Told(
        words=None if answer is None else Explanation(title, answer.explanation, answer.recommendations),
        why_not=", ".join(wording.asked) or None,
        objections=wording.objections,
        lengths=MODEL_LENGTHS,
        tokens_in=call.tokens_in if call else 0,
        tokens_out=call.tokens_out if call else 0,
        cost_usd=call.cost_usd if call else 0.0,
    )
