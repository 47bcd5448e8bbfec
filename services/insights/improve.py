"""Puts a language model's words into insights that are stored and published already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from iops import items
from iops.clock import Clock
from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE
from iops.errors import Conflict, TableUnavailable
from iops.insight import Evidence, Insight, Opinion
from iops.items import Item
from iops.observability import Metrics
from iops.table import Table
from services.insights.explainer import Explainer, Wording

log = structlog.get_logger()

WAITING_LIMIT: Final = 500  # insights that wait for words; those of a fleet in trouble, and half a megabyte
STORE_DEADLINE_S: Final = 30.0  # words that were paid for are worth some patience with the table
DISPUTED_DIFFERENCE: Final = 25.0  # points of risk


class Improver:
    """A context. Nobody waits for it: what is under way when it ends keeps the template's words."""

    def __init__(
        self, table: Table, explainer: Explainer, clock: Clock, metrics: Metrics, *, sets_risk: Callable[[], bool]
    ) -> None:
        self._table = table
        self._explainer = explainer
        self._clock = clock
        self._sets_risk = sets_risk
        self._waiting: set[asyncio.Task[None]] = set()
        self._reworded = metrics.counter("iops_insights_reworded", "Insights by what came of asking a model", "outcome")
        metrics.gauge("iops_insights_awaiting_words", "Insights a model is asked about").set_function(
            lambda: len(self._waiting)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    def announce(self, insight: Insight) -> Insight:
        """The insight as it is to be stored: where no model will be asked, with the reason."""
        reasons = self._explainer.why_nobody(insight.stream_id, is_busy=len(self._waiting) >= WAITING_LIMIT)
        return insight.model_copy(update={"explainers_asked": reasons}) if reasons else insight

    def begin(self, insight: Insight, evidence: Evidence) -> None:
        """Asks for words of an insight that is stored; returns at once."""
        if not self._explainer.may_ask(insight.stream_id):
            return
        if len(self._waiting) >= WAITING_LIMIT:
            self._reworded.labels("too_many_wait").inc()
            log.warning("insight_not_reworded", insight_id=insight.insight_id, waiting=len(self._waiting))
            return
        task = asyncio.create_task(self._improve(insight, evidence))
        self._waiting.add(task)
        task.add_done_callback(self._end)

    async def _improve(self, insight: Insight, evidence: Evidence) -> None:
        wording = await self._explainer.explain(evidence)
        better = reworded(insight, wording, sets_risk=self._sets_risk())
        outcome = await self._store(insight, better)
        self._reworded.labels(outcome).inc()
        (log.warning if outcome == "not_stored" else log.info)(
            "insight_reworded",
            insight_id=insight.insight_id,
            outcome=outcome,
            explained_by=better.explained_by,
            asked=better.explainers_asked,
            cost_usd=better.call.cost_usd if better.call else 0,
        )

    async def _store(self, insight: Insight, better: Insight) -> str:
        """What came of it; the table is asked again while it is away."""
        words: Item = {"Update": items.words_update(better)}
        try:
            async with asyncio.timeout(STORE_DEADLINE_S):
                if not (_is_told_again(insight, better) and await self._tell_again(words, better)):
                    await self._transact([words])
        except Conflict:
            return "conflict"  # expired, or an attempt of before was stored after all
        except TimeoutError:
            return "not_stored"
        return "template" if better.explained_by == "template" else "model"

    async def _tell_again(self, words: Item, better: Insight) -> bool:
        """False where something newer was told of the stream since, which this must not take back."""
        told = {"Put": {"Item": items.outbox_item(better, reworded_at=self._clock())}}
        try:
            await self._transact([words, told, {"ConditionCheck": items.newest_insight_check(better)}])
        except Conflict:
            return False
        return True

    async def _transact(self, writes: list[Item]) -> None:
        await AsyncRetrying(
            retry=retry_if_exception_type(TableUnavailable), wait=wait_random_exponential(multiplier=0.2, max=5)
        )(self._table.transact, writes)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._waiting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._reworded.labels("broke").inc()
            log.error("rewording_broke", exc_info=error)


def reworded(insight: Insight, wording: Wording, *, sets_risk: bool) -> Insight:
    """The insight in the model's words, or with why it has none.

    The model's risk is kept beside ours. With `sets_risk` it counts, but for a hard rule, which nobody outvotes.
    """
    kept = {"explainers_asked": wording.asked, "call": wording.call}
    answer = wording.answer
    if answer is None or wording.provider is None:
        return insight.model_copy(update=kept)
    opinion = Opinion(
        prediction_type=answer.prediction_type, risk_score=answer.risk_score, confidence=answer.confidence
    )
    is_theirs = sets_risk and not insight.is_hard_rule
    return insight.model_copy(
        update=kept
        | {
            "explained_by": wording.provider,
            "explanation": answer.explanation,
            "recommendations": answer.recommendations,
            "opinion": opinion,
            "is_disputed": abs(opinion.risk_score - insight.risk_score) > DISPUTED_DIFFERENCE,
            "risk_score": opinion.risk_score if is_theirs else insight.risk_score,
        }
    )


def _is_told_again(before: Insight, after: Insight) -> bool:
    """People were not told and have to be, or were told of what is nothing after all."""
    is_a_page_now = before.risk_score < PAGE_RISK_SCORE <= after.risk_score
    is_nothing_now = after.risk_score < INSIGHT_RISK_SCORE <= before.risk_score
    return is_a_page_now or is_nothing_now
