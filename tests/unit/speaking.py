"""A language model that says what a test gives it, of evidence that bears it out."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from services.insights.calls import ResilientProvider
from services.insights.providers import Prompt, Reply, Unanswered
from tests.unit.calling import FakeProvider, FakePurse, resilient

WORDS: Final[Mapping[str, Any]] = {
    "prediction_type": "fail_slow",
    "risk_score": 80,
    "explanation": "The disk answers slower than its peers do, and its load has not grown.",
    "recommendations": ["Drain it and watch its peers.", "Read its SMART health."],
    "confidence": 0.8,
}
INVENTED: Final = {**WORDS, "explanation": "Its await rose to 4711 ms, which no evidence says."}
THROTTLED: Final = Unanswered("throttled", "too many")  # and not to be asked again: no waits


class Speaker(FakeProvider):
    """Says `answers` in turn, the last of them again and again; each costs 0.002 dollars."""

    def __init__(
        self,
        *answers: Mapping[str, Any],
        name: str = "bedrock",
        always: Unanswered | None = None,
        takes_s: float = 0.5,
    ) -> None:
        super().__init__(always=always, takes_s=takes_s)
        self.name = name
        self.model_id = f"{name}-model"
        self.answers = list(answers or [WORDS])
        self.prompts: list[Prompt] = []

    async def ask(self, prompt: Prompt, *, timeout_s: float) -> Reply:
        self.prompts.append(prompt)
        reply = await super().ask(prompt, timeout_s=timeout_s)
        return replace(reply, given=self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


def speaking(*speakers: Speaker, purse: FakePurse | None = None) -> list[ResilientProvider]:
    """As the explainer holds them."""
    return [resilient(speaker, purse) for speaker in speakers]


def tasks_left() -> int:
    """Beside the test's own."""
    return len(asyncio.all_tasks()) - 1
