"""Whoever puts evidence into words for money: what it is asked, what it answers, and why it did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

# Why a language model's words are not there. Nobody was asked: switched off, not this stream's turn, the day's money is
# spent, its counter cannot be read, too many wait, or the provider failed just now and is left in peace.
# It was asked: it throttled, refused the request, failed, took too long, could not be reached, said what is no answer,
# or what the evidence does not bear out.
Reason = Literal[
    "disabled",
    "not_in_share",
    "over_budget",
    "budget_unknown",
    "busy",
    "resting",
    "throttled",
    "refused",
    "failed",
    "timed_out",
    "unreachable",
    "garbled",
    "objected",
]


class Unanswered(Exception):
    """A language model whose words are not there; somebody else has to find some."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        is_passing: bool = False,
        retry_after_s: float | None = None,
        may_have_cost: bool = False,
    ) -> None:
        """`is_passing`: the same call may be answered a moment later. `may_have_cost`: it was not answered to its end,
        and nobody knows whether it is on the bill."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.is_passing = is_passing
        self.retry_after_s = retry_after_s
        self.may_have_cost = may_have_cost


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: to call one tool, once, with what it thinks."""

    system: str
    user: str
    tool_name: str
    tool_description: str
    schema: Mapping[str, Any]  # JSON Schema of the tool's input


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered, unchecked: the tool's input, or what it did instead of calling it once."""

    given: Any  # None where `fault` says why there is none
    fault: str | None
    tokens_in: int
    tokens_out: int
    cost_usd: float


class Provider(Protocol):
    """One model behind one API."""

    @property
    def name(self) -> str:
        """As an insight, a metric and a log line call it: bedrock, openai."""
        ...

    @property
    def model_id(self) -> str:
        """As the provider calls it."""
        ...

    def most_usd(self, prompt: Prompt) -> float:
        """What one call may cost at most."""
        ...

    async def ask(self, prompt: Prompt, *, timeout_s: float) -> Reply:
        """One attempt, nothing repeated; over after `timeout_s` whatever the other side does. Raises Unanswered."""
        ...
