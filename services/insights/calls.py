"""How a provider of words is called: few at once, some again, never beyond a deadline, and each attempt paid for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Final, Self

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from iops.observability import Metrics
from services.insights.breaker import FAILURES, Breaker, State
from services.insights.providers import Prompt, Provider, Reply, Unanswered
from services.insights.purse import Purse, Reservation

log = structlog.get_logger()

CALLS_LIMIT: Final = 8  # under way at once; more of them only make a provider that throttles throttle more
ATTEMPT_TIMEOUT_S: Final = 12.0  # a long answer takes 6; what takes twice that has failed
# Before it, the provider's own time-out: two that end at once cancel twice, and the second cancels the closing of the
# connection that the first has begun.
GRACE_S: Final = 0.25
LEAST_ATTEMPT_S: Final = 1.0  # with less left no attempt is begun: it would cost money and end without words
SETTLE_TIMEOUT_S: Final = 5.0
WAITS_S: Final = (1.0, 2.0, 4.0)  # before each retry, at most: a random share of it, so that callers spread out


class RetryBudget:
    """Retries are a tenth of the first calls, so that they never are what keeps a provider down.

    >>> budget = RetryBudget()
    >>> [budget.take() for _ in range(4)]
    [True, True, True, False]
    """

    PRICE: Final = 10  # first calls that a retry takes
    AT_START: Final = 3 * PRICE  # all retries of one lonely call
    AT_MOST: Final = 10 * PRICE

    def __init__(self) -> None:
        self._calls = self.AT_START

    def add(self) -> None:
        """A first call was made."""
        self._calls = min(self._calls + 1, self.AT_MOST)

    def take(self) -> bool:
        """Whether a retry may be made; if so, it is paid."""
        if self._calls < self.PRICE:
            return False
        self._calls -= self.PRICE
        return True


class CallMetrics:
    """The numbers of all providers: made once, since a registry takes a name once."""

    def __init__(self, metrics: Metrics) -> None:
        described = "Attempts to ask a language model, also those that were not let through"
        self.calls = metrics.counter("iops_explainer_calls", described, "provider", "outcome")
        self.call_s = metrics.histogram("iops_explainer_call_seconds", "Seconds of a call", "provider")
        self.retries = metrics.counter("iops_explainer_retries", "Attempts made again", "provider")
        denied = "Attempts not made again for want of a retry budget"
        self.retries_denied = metrics.counter("iops_explainer_retries_denied", denied, "provider")
        self.in_flight = metrics.gauge("iops_explainer_in_flight", "Calls under way", "provider")
        self.breaker_state = metrics.gauge("iops_explainer_breaker_state", "1 for its state", "provider", "state")


class ResilientProvider:
    """A context, which waits at its end until all that was spent is settled.

    Around each attempt, from the outside: a place among the calls under way, the breaker, the purse, a time-out.
    """

    def __init__(
        self,
        provider: Provider,
        purse: Purse,
        metrics: CallMetrics,
        now_s: Callable[[], float],
        *,
        breaker: Breaker | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`now_s` is the monotonic clock, of which deadlines are instants."""
        self._provider = provider
        self._purse = purse
        self._now_s = now_s
        self._uniform = uniform
        self._breaker = Breaker(now_s, name=provider.name) if breaker is None else breaker
        self._places = asyncio.Semaphore(CALLS_LIMIT)
        self._budget = RetryBudget()
        self._settling: set[asyncio.Task[None]] = set()
        self._metrics = metrics
        for state in State:
            metrics.breaker_state.labels(provider.name, state).set_function(partial(self._is_in, state))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._settling:
            await asyncio.wait(self._settling)

    @property
    def name(self) -> str:
        """The provider's."""
        return self._provider.name

    @property
    def model_id(self) -> str:
        """The provider's."""
        return self._provider.model_id

    @property
    def state(self) -> State:
        """The breaker's."""
        return self._breaker.state

    def why_not(self) -> str | None:
        """Why the provider would not be asked now, or None where it would."""
        return self._breaker.why_not()

    async def ask(self, stream_id: str, prompt: Prompt, *, deadline_s: float) -> Reply:
        """The answer, after as many attempts as are worth it; over at `deadline_s`. Raises Unanswered."""

        async def attempt() -> Reply:
            is_first = retrying.statistics["attempt_number"] == 1
            return await self._attempt(stream_id, prompt, deadline_s, is_first=is_first)

        def should_stop(made: RetryCallState) -> bool:
            return made.attempt_number > len(WAITS_S) or not self._may_retry(made.upcoming_sleep, deadline_s)

        retrying = AsyncRetrying(
            retry=retry_if_exception(self._is_worth_retrying), wait=self._wait_s, stop=should_stop, reraise=True
        )
        return await retrying(attempt)

    def _is_worth_retrying(self, error: BaseException) -> bool:
        is_provider_s = isinstance(error, Unanswered) and error.is_passing and error.reason in FAILURES
        return is_provider_s and self.state is State.CLOSED

    def _wait_s(self, made: RetryCallState) -> float:
        """Full jitter; where the provider says when to come again, on top of that, so that not all come at once."""
        error = made.outcome.exception() if made.outcome is not None else None
        asked_s = error.retry_after_s if isinstance(error, Unanswered) else None
        longest_s = WAITS_S[min(made.attempt_number, len(WAITS_S)) - 1]
        return (asked_s or 0.0) + self._uniform(0, longest_s)

    def _may_retry(self, wait_s: float, deadline_s: float) -> bool:
        if wait_s + LEAST_ATTEMPT_S > deadline_s - self._now_s():
            return False
        may = self._budget.take()
        (self._metrics.retries if may else self._metrics.retries_denied).labels(self.name).inc()
        return may

    async def _attempt(self, stream_id: str, prompt: Prompt, deadline_s: float, *, is_first: bool) -> Reply:
        outcome = "abandoned"  # by its caller
        try:
            async with self._place(deadline_s):
                with self._breaker.call():
                    reply = await self._pay(stream_id, prompt, deadline_s, is_first=is_first)
            outcome = "answered"
        except Unanswered as error:
            outcome = error.reason
            raise
        finally:
            self._metrics.calls.labels(self.name, outcome).inc()
        return reply

    @asynccontextmanager
    async def _place(self, deadline_s: float) -> AsyncIterator[None]:
        try:
            async with self._while_a_call_fits(deadline_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise Unanswered("busy", f"no place among {CALLS_LIMIT} calls in time") from error
        try:
            yield
        finally:
            self._places.release()

    async def _pay(self, stream_id: str, prompt: Prompt, deadline_s: float, *, is_first: bool) -> Reply:
        most_usd = self._provider.most_usd(prompt)
        reservation = await self._reserve(most_usd, deadline_s)
        if is_first:
            self._budget.add()
        cost_usd, tokens_in, tokens_out = most_usd, 0, 0  # also of a call that is cancelled: it may be on the bill
        try:
            reply = await self._call(prompt, min(ATTEMPT_TIMEOUT_S, deadline_s - self._now_s()))
            cost_usd, tokens_in, tokens_out = reply.cost_usd, reply.tokens_in, reply.tokens_out
        except Unanswered as error:
            cost_usd = most_usd if error.may_have_cost else 0.0
            raise
        finally:
            settlement = self._purse.settle(
                stream_id, reservation=reservation, cost_usd=cost_usd, tokens_in=tokens_in, tokens_out=tokens_out
            )
            self._settle(settlement)
        return reply

    async def _reserve(self, most_usd: float, deadline_s: float) -> Reservation:
        try:
            async with self._while_a_call_fits(deadline_s):
                return await self._purse.reserve(most_usd)
        except TimeoutError as error:
            raise Unanswered("budget_unknown", "the day's money was not counted in time") from error

    async def _call(self, prompt: Prompt, timeout_s: float) -> Reply:
        """One call, over in time even if the provider breaks its word."""
        began_s = self._now_s()
        try:
            with self._metrics.in_flight.labels(self.name).track_inprogress():
                async with asyncio.timeout(timeout_s):
                    return await self._provider.ask(prompt, timeout_s=timeout_s - GRACE_S)
        except TimeoutError as error:
            detail = f"no answer in {timeout_s:.1f} s"
            raise Unanswered("timed_out", detail, is_passing=True, may_have_cost=True) from error
        finally:
            self._metrics.call_s.labels(self.name).observe(self._now_s() - began_s)

    def _settle(self, settlement: Coroutine[None, None, None]) -> None:
        """Beside the call, which may be cancelled or out of time; what is not settled stays reserved."""
        task = asyncio.create_task(self._settle_in_time(settlement))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle_in_time(self, settlement: Coroutine[None, None, None]) -> None:
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                await settlement
        except TimeoutError:
            log.warning("settlement_given_up", provider=self.name, timeout_s=SETTLE_TIMEOUT_S)

    @asynccontextmanager
    async def _while_a_call_fits(self, deadline_s: float) -> AsyncIterator[None]:
        """TimeoutError as soon as too little is left for a call, also where nothing waits."""
        left_s = deadline_s - self._now_s() - LEAST_ATTEMPT_S
        if left_s < 0:
            raise TimeoutError
        async with asyncio.timeout(left_s):
            yield

    def _is_in(self, state: State) -> float:
        return float(self.state is state)
