"""Who would score and who would explain right now, and why the others would not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from iops.flags import Flags
from iops.gate import Viewer
from services.insights.calls import ResilientProvider
from services.insights.scorers import LOCAL, SAGEMAKER
from services.insights.tell import Teller

router = APIRouter(tags=["insights"])

NOT_SET: Final = "IOPS_EXPLAINERS does not name it"


class Tier(BaseModel):
    """One that could answer."""

    name: str = Field(description="sagemaker, local, rules; bedrock, openai, template")
    answers: bool = Field(description="it would be asked now, for its share of the streams")
    why_not: str | None = Field(description="null where it would")
    model: str | None = Field(default=None, description="the model behind it")
    share_percent: float = Field(default=100, description="of the streams")
    warning: str | None = Field(default=None, description="what will keep it from answering one day")


class Tiers(BaseModel):
    """Each list in the order in which they are asked; the last one always answers."""

    scoring: list[Tier]
    explaining: list[Tier]
    findings_ill: int = Field(description="findings at risk 60 or more, since this replica's start")
    findings_for_a_model: int = Field(
        description="of those, the ones that are news: a language model is asked about them where one may be"
    )


@dataclass(frozen=True, slots=True)
class Board:
    """What the door works with; the lifespan makes it."""

    flags: Callable[[], Flags]
    model_version: str | None  # of the trees here; None where none fit
    why_no_endpoint: Callable[[], str | None]
    providers: Sequence[ResilientProvider]
    warnings: dict[str, str]  # by provider
    why_no_money: Callable[[], Awaitable[str | None]]
    teller: Teller  # who counts the findings

    async def read(self) -> Tiers:
        """As it is now; asks the table once what was spent, where somebody may be asked."""
        return Tiers(
            scoring=self._scoring(),
            explaining=await self._explaining(),
            findings_ill=self.teller.findings_ill,
            findings_for_a_model=self.teller.findings_for_a_model,
        )

    def _scoring(self) -> list[Tier]:
        no_endpoint = self.why_no_endpoint()
        no_model = "no model fits; the service's log says why" if self.model_version is None else None
        percent = self.flags().sagemaker_percent
        return [
            Tier(name=SAGEMAKER, answers=no_endpoint is None, why_not=no_endpoint, share_percent=percent),
            Tier(name=LOCAL, answers=no_model is None, why_not=no_model, model=self.model_version),
            Tier(name="rules", answers=True, why_not=None),
        ]

    async def _explaining(self) -> list[Tier]:
        flags, by_name = self.flags(), {provider.name: provider for provider in self.providers}
        switched_off = _switched_off(flags)
        no_money = None if switched_off or not by_name else await self.why_no_money()
        tiers = []
        for name in (*by_name, *(name for name in ("bedrock", "openai") if name not in by_name)):
            provider = by_name.get(name)
            why = NOT_SET if provider is None else switched_off or no_money or provider.why_not()
            tiers.append(
                Tier(
                    name=name,
                    answers=why is None,
                    why_not=why,
                    model=provider.model_id if provider else None,
                    share_percent=flags.llm_percent,
                    warning=self.warnings.get(name),
                )
            )
        return [*tiers, Tier(name="template", answers=True, why_not=None)]


def _switched_off(flags: Flags) -> str | None:
    if not flags.ai_enabled:
        return "the flag ai_enabled is false"
    return "the flag llm_percent is 0" if flags.llm_percent <= 0 else None


async def _board(request: Request) -> Board:
    board: Board = request.app.state.tiers
    return board


@router.get("/tiers")
async def get_tiers(board: Annotated[Board, Depends(_board)], _: Viewer) -> Tiers:
    """Who would score a stream and who would explain an insight right now in this replica, and why others would not."""
    return await board.read()
