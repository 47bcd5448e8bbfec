"""A provider of words and a purse in memory, for what is asked of them in virtual time."""

import asyncio
from collections import deque
from collections.abc import Callable

from iops.items import nano_to_usd, usd_to_nano
from iops.observability import Metrics
from services.insights.breaker import Breaker
from services.insights.calls import CallMetrics, ResilientProvider
from services.insights.providers import Prompt, Reply, Unanswered
from services.insights.purse import Purse, Reservation
from tests.unit.builders import AT
from tests.unit.virtual_time import now_s

MOST_USD = 0.01
PROMPT = Prompt(system="s", user="u", tool_name="t", tool_description="d", schema={})
REPLY = Reply(given={}, fault=None, tokens_in=1_200, tokens_out=250, cost_usd=0.002)


def throttled(retry_after_s: float | None = None) -> Unanswered:
    return Unanswered("throttled", "too many", is_passing=True, retry_after_s=retry_after_s)


def broken_off() -> Unanswered:
    return Unanswered("unreachable", "half an answer", is_passing=True, may_have_cost=True)


class FakeProvider:
    """Fails with each of `failures` in turn, or always with `always`; None in their place is an answer."""

    name = "bedrock"
    model_id = "a-model"

    def __init__(self, *failures: Unanswered | None, always: Unanswered | None = None, takes_s: float = 0.5) -> None:
        self.failures = deque(failures)
        self.always = always
        self.takes_s = takes_s
        self.asked_at_s: list[float] = []
        self.timeouts_s: list[float] = []
        self.under_way = 0
        self.most_under_way = 0

    def most_usd(self, prompt: Prompt) -> float:
        return MOST_USD

    async def ask(self, prompt: Prompt, *, timeout_s: float) -> Reply:
        self.asked_at_s.append(now_s())
        self.timeouts_s.append(timeout_s)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.under_way -= 1
        failure = self.failures.popleft() if self.failures else self.always
        if failure is not None:
            raise Unanswered(
                failure.reason,
                failure.detail,
                is_passing=failure.is_passing,
                retry_after_s=failure.retry_after_s,
                may_have_cost=failure.may_have_cost,
            )
        return REPLY


class FakePurse(Purse):
    """Counts; refuses on demand, and takes as long as a test says."""

    def __init__(self, refusal: Unanswered | None = None, *, takes_s: float = 0.0) -> None:
        self.refusal = refusal
        self.takes_s = takes_s
        self.reserved: list[float] = []
        self.settled: list[tuple[float, float, int, int]] = []  # reserved, cost, tokens in, out

    async def reserve(self, most_usd: float) -> Reservation:
        await asyncio.sleep(self.takes_s)
        if self.refusal is not None:
            raise self.refusal
        self.reserved.append(most_usd)
        return Reservation(str(len(self.reserved)), AT.date(), usd_to_nano(most_usd))

    async def settle(
        self, stream_id: str, *, reservation: Reservation, cost_usd: float, tokens_in: int, tokens_out: int
    ) -> None:
        await asyncio.sleep(self.takes_s)
        self.settled.append((nano_to_usd(reservation.most_nano), cost_usd, tokens_in, tokens_out))


def full(_: float, longest_s: float) -> float:
    """The longest jitter."""
    return longest_s


def resilient(
    provider: FakeProvider,
    purse: FakePurse | None = None,
    *,
    metrics: Metrics | None = None,
    uniform: Callable[[float, float], float] = full,
    failures: int = 5,
) -> ResilientProvider:
    return ResilientProvider(
        provider,
        FakePurse() if purse is None else purse,
        CallMetrics(Metrics() if metrics is None else metrics),
        now_s,
        breaker=Breaker(now_s, name="bedrock", failures=failures),
        uniform=uniform,
    )


async def ask(asked: ResilientProvider, *, within_s: float = 20.0) -> Reply:
    return await asked.ask("web-1:sda", PROMPT, deadline_s=now_s() + within_s)


async def reason_of(asked: ResilientProvider, *, within_s: float = 20.0) -> str:
    """Why it was not answered; `answered` where it was."""
    try:
        await ask(asked, within_s=within_s)
    except Unanswered as error:
        return error.reason
    return "answered"
