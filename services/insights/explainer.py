"""Who puts evidence into words: the language models in their order, and nobody where none may or can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from iops.flags import Flags
from iops.insight import Evidence, ModelCall
from iops.observability import Metrics
from services.insights.answer import Answer, Objected, objections_to, read_answer
from services.insights.answer_cache import AnswerCache
from services.insights.calls import ResilientProvider
from services.insights.prompt import cache_key_of, prompt_of, with_objection
from services.insights.providers import Reason, Reply, Unanswered
from services.insights.scorers import in_share

log = structlog.get_logger()

DEADLINE_S: Final = 18.0  # of all models together; a person waits 20, of which two are for the table and the scorer


@dataclass(frozen=True, slots=True)
class Wording:
    """What came of asking."""

    answer: Answer | None  # None: the template's words stay
    provider: str | None  # whose answer it is
    call: ModelCall | None  # None where no model was paid for
    asked: tuple[str, ...]  # who did not answer, and why: "bedrock: throttled"
    objections: tuple[str, ...] = ()  # to answers that were refused, the one before a better one too


@dataclass(slots=True)
class _Bill:
    """What all calls of one question took, and what was wrong with their answers."""

    model_id: str = ""  # the last one that was asked
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    objections: list[str] = field(default_factory=list)

    def add(self, model_id: str, reply: Reply) -> None:
        self.model_id = model_id
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out
        self.cost_usd += reply.cost_usd


class Explainer:
    """Asks one model after the other until one answers what the evidence bears out."""

    def __init__(
        self,
        providers: Sequence[ResilientProvider],
        cache: AnswerCache[Answer],
        metrics: Metrics,
        *,
        flags: Callable[[], Flags],
        now_s: Callable[[], float],
    ) -> None:
        self._providers = providers
        self._cache = cache
        self._flags = flags
        self._now_s = now_s
        self._answers = metrics.counter(
            "iops_explanations", "Questions to language models by who answered, and why others did not", "by", "reason"
        )
        self._objections = metrics.counter(
            "iops_explainer_objections", "Answers that the evidence does not bear out", "provider"
        )

    def why_nobody(self, stream_id: str, *, is_busy: bool = False) -> tuple[str, ...]:
        """Why none of the models there are may be asked about a stream; empty where one may, or there is none.

        `is_busy`: the caller has no place for one more answer.
        """
        flags = self._flags()
        reason: Reason | None = None
        if not flags.ai_enabled:
            reason = "disabled"
        elif not in_share([stream_id], flags.llm_percent)[0]:
            reason = "not_in_share"
        elif is_busy:
            reason = "busy"
        return () if reason is None else tuple(f"{each.name}: {reason}" for each in self._providers)

    def may_ask(self, stream_id: str) -> bool:
        """There is a model, and it may be asked about this stream."""
        return bool(self._providers) and not self.why_nobody(stream_id)

    async def explain(self, evidence: Evidence, *, within_s: float = DEADLINE_S) -> Wording:
        """Always comes back, at the latest after `within_s`."""
        if not self.may_ask(evidence.stream_id):
            return Wording(None, None, None, self.why_nobody(evidence.stream_id))
        began_s, bill, asked = self._now_s(), _Bill(), list[str]()
        for place, provider in enumerate(self._providers):
            # Each has an equal part of what is left: one that hangs must not take the time of the next.
            left_s = began_s + min(within_s, DEADLINE_S) - self._now_s()
            deadline_s = self._now_s() + left_s / (len(self._providers) - place)
            try:
                answer, is_cached = await self._ask(provider, evidence, deadline_s, bill)
            except Unanswered as error:
                asked.append(f"{provider.name}: {error.reason}")
                self._answers.labels(provider.name, error.reason).inc()
                log.info("model_unanswered", provider=provider.name, stream_id=evidence.stream_id, reason=error.reason)
                continue
            self._answers.labels(provider.name, "answered").inc()
            is_cached = is_cached and not bill.model_id  # the model before may have been paid
            bill.model_id = provider.model_id
            call = self._call(bill, began_s, is_cached=is_cached)
            return Wording(answer, provider.name, call, tuple(asked), tuple(bill.objections))
        self._answers.labels("template", "fallback").inc()
        paid = self._call(bill, began_s) if bill.model_id else None  # for words that nobody will read
        return Wording(None, None, paid, tuple(asked), tuple(bill.objections))

    async def _ask(
        self, provider: ResilientProvider, evidence: Evidence, deadline_s: float, bill: _Bill
    ) -> tuple[Answer, bool]:
        async def make() -> Answer:
            return await self._words(provider, evidence, deadline_s, bill)

        answer, is_cached = await self._cache.get_or(f"{provider.model_id} {cache_key_of(evidence)}", make)
        if is_cached and objections_to(answer, evidence):  # the key is coarser than the figures people are told
            return await make(), False
        return answer, is_cached

    async def _words(self, provider: ResilientProvider, evidence: Evidence, deadline_s: float, bill: _Bill) -> Answer:
        """One answer; where the evidence does not bear it out, one more that is told why. Raises Unanswered."""
        prompt = prompt_of(evidence)
        reply = await provider.ask(evidence.stream_id, prompt, deadline_s=deadline_s)
        bill.add(provider.model_id, reply)
        try:
            return read_answer(reply, evidence)
        except Objected as error:
            self._note(provider, error, bill)
            prompt = with_objection(prompt, reply.given, error.objections)
        reply = await provider.ask(evidence.stream_id, prompt, deadline_s=deadline_s)
        bill.add(provider.model_id, reply)
        try:
            return read_answer(reply, evidence)
        except Objected as error:
            self._note(provider, error, bill)
            raise Unanswered("objected", "; ".join(error.objections)) from error

    def _note(self, provider: ResilientProvider, error: Objected, bill: _Bill) -> None:
        self._objections.labels(provider.name).inc()
        bill.objections += error.objections

    def _call(self, bill: _Bill, began_s: float, *, is_cached: bool = False) -> ModelCall:
        return ModelCall(
            model_id=bill.model_id,
            tokens_in=bill.tokens_in,
            tokens_out=bill.tokens_out,
            cost_usd=round(bill.cost_usd, 9),
            latency_ms=round(1000 * (self._now_s() - began_s), 1),
            is_cached=is_cached,
        )
