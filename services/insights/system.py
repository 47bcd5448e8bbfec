"""How the whole system is: what is wrong first, then its services, what waits, who answers, the model, the money."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from iops.auth import Caller
from iops.gate import Viewer
from iops.items import Pulse
from services.insights.card import ModelView
from services.insights.costs import Month, Today, month_of, today_of
from services.insights.queues import QueueView, counted, largest, level, rate_per_s, view_queues
from services.insights.survey import Reading, Survey
from services.insights.tiers import Tiers
from services.insights.verdict import SERVICES, ServiceView, State, Trouble, view_service

router = APIRouter(tags=["system"])

# The limits of the alarms (infra/incidents.py).
SCORER_FALLBACKS_RATIO: Final = 0.1
EXPLAINER_FALLBACKS_RATIO: Final = 0.5
FEW_QUESTIONS: Final = 4  # in five minutes; one of two is no ratio
BUDGET_RATIO: Final = 0.8
SILENT_HOSTS: Final = 1  # of one alone its alert tells
NO_DRIFT, DRIFTED = 0.1, 0.25


class DriftView(BaseModel):
    """How far one feature of what is scored lies from what the model was trained on."""

    feature: str
    index: float = Field(description="population stability index, the largest of all replicas")
    says: Literal["no drift", "some drift", "the model sees what it was not made for"]


class MoneyView(BaseModel):
    """What language models cost; GET /cost has the rest."""

    today: Today
    month: Month


class System(BaseModel):
    """As of `at`, for everybody who looks within ten seconds."""

    at: datetime
    says: str = Field(examples=["All well"], description="the first trouble, and how many more there are")
    troubles: list[Trouble] = Field(description="the worst first; none where all is well")
    services: list[ServiceView] = Field(description="none where the table does not answer")
    queues: list[QueueView] = Field(description="in the order in which a sample becomes a mail")
    tiers: Tiers = Field(description="of the replica that answers")
    open_breakers: dict[str, int] = Field(description="by provider, the replicas that leave it in peace for now")
    model: ModelView | None = Field(description="null where none fits: then only rules score")
    drift: list[DriftView] = Field(description="the features that drift most, the largest first")
    samples_per_s: float | None = Field(description="stored; null also for who sees some streams only, as all below")
    streams_scored_per_s: float | None
    silent_hosts: int | None
    money: MoneyView | None


@dataclass(frozen=True, slots=True)
class Bureau:
    """What the door works with; the lifespan makes it."""

    survey: Survey
    model: ModelView | None

    async def read(self, caller: Caller) -> System:
        """What the caller may know of it. Health is everybody's; what is summed over all streams is not."""
        reading = await self.survey.read()
        heard = reading.heard()
        names = SERVICES if reading.why_unread is None else ()
        services = [view_service(name, reading.pulses[name], reading.at) for name in names]
        queues = view_queues(heard)
        silent = level(max, heard["insights"], "silent_hosts")
        money = _money(reading)
        troubles = [
            *_table(reading),
            *_lost(services),
            *(queue.trouble for queue in queues if queue.trouble),
            *_answering(heard["insights"], reading.tiers),
            *(_of_all(silent, money) if caller.sees_all else ()),
        ]
        is_known = caller.sees_all and reading.why_unread is None
        return System(
            at=reading.at,
            says=_sum_up(troubles),
            troubles=troubles,
            services=services,
            queues=queues,
            tiers=reading.tiers,
            open_breakers={name: round(count) for name, count in _open_breakers(heard["insights"]).items()},
            model=self.model,
            drift=[_drift(*each) for each in largest(heard["insights"], "drift").items()],
            samples_per_s=rate_per_s(heard["ingest"], "samples") if is_known else None,
            streams_scored_per_s=rate_per_s(heard["insights"], "scored") if is_known else None,
            silent_hosts=round(silent) if is_known and silent is not None else None,
            money=money if is_known else None,
        )


async def _bureau(request: Request) -> Bureau:
    bureau: Bureau = request.app.state.system
    return bureau


TheBureau = Annotated[Bureau, Depends(_bureau)]


@router.get("/system")
async def get_system(bureau: TheBureau, caller: Viewer) -> System:
    """How the whole system is, at most ten seconds old; 200 also where much of it is not well."""
    return await bureau.read(caller)


def _sum_up(troubles: Sequence[Trouble]) -> str:
    if not troubles:
        return "All well"
    return troubles[0].says + (f"; and {len(troubles) - 1} more" if len(troubles) > 1 else "")


def _table(reading: Reading) -> Iterator[Trouble]:
    if reading.why_unread is not None:
        says = f"The table does not answer ({reading.why_unread}): nothing is stored"
        yield Trouble(says=says, section="table-throttles")


def _lost(services: Sequence[ServiceView]) -> Iterator[Trouble]:
    """What is gone before what limps."""
    for state in (State.NOT_HEARD_OF, State.DEGRADED):
        yield from (each.trouble for each in services if each.state is state and each.trouble is not None)


def _answering(insights: Sequence[Pulse], tiers: Tiers) -> Iterator[Trouble]:
    """Of who scores and who explains."""
    local = next(tier for tier in tiers.scoring if tier.name == "local")
    if local.why_not is not None:
        yield Trouble(says=f"Only rules score: {local.why_not}", section="Model roll-back")
    scored, elsewhere = counted(insights, "scored"), counted(insights, "scorer_fallbacks")
    if scored and elsewhere / scored > SCORER_FALLBACKS_RATIO:
        says = f"{elsewhere / scored:.0%} of the streams are scored by another scorer than they should be"
        yield Trouble(says=says, section="scorer-fallbacks")
    answered, fallbacks = counted(insights, "explained"), counted(insights, "explainer_fallbacks")
    asked = answered + fallbacks
    if asked >= FEW_QUESTIONS and fallbacks / asked > EXPLAINER_FALLBACKS_RATIO:
        says = f"{fallbacks:.0f} of {asked:.0f} questions to language models ended with the template's words"
        yield Trouble(says=says, section="explainer-fallbacks")
    for provider, replicas in _open_breakers(insights).items():
        if replicas:
            says = f"{provider} fails and is left in peace for now; the next tier explains"
            yield Trouble(says=says, section="explainer-fallbacks")


def _of_all(silent: float | None, money: MoneyView) -> Iterator[Trouble]:
    """What only who sees all streams is told."""
    if silent is not None and silent > SILENT_HOSTS:
        yield Trouble(says=f"{silent:.0f} hosts send nothing", section="silent-agents")
    today = money.today
    used_usd = today.usd + today.reserved_usd
    if today.budget_usd > 0 and used_usd >= BUDGET_RATIO * today.budget_usd:
        says = f"${used_usd:.2f} of the day's ${today.budget_usd:g} for language models is used"
        yield Trouble(says=says, section="llm-budget")


def _money(reading: Reading) -> MoneyView:
    today = today_of(reading.days, reading.at.date(), budget_usd=reading.budget_usd)
    return MoneyView(today=today, month=month_of(reading.days, reading.at))


def _open_breakers(insights: Sequence[Pulse]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for pulse in insights:
        for provider, is_open in pulse.by_name.get("open_breakers", {}).items():
            found[provider] = found.get(provider, 0.0) + is_open
    return found


def _drift(feature: str, index: float) -> DriftView:
    if index <= NO_DRIFT:
        return DriftView(feature=feature, index=index, says="no drift")
    says: Literal["some drift", "the model sees what it was not made for"] = "some drift"
    return DriftView(
        feature=feature, index=index, says=says if index <= DRIFTED else "the model sees what it was not made for"
    )
