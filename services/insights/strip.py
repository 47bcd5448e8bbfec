"""The few numbers of the whole system that stand above the fleet, and whether agents are heard at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from iops.auth import Caller
from services.insights.costs import today_of
from services.insights.fleet import Fleet
from services.insights.queues import rate_per_s
from services.insights.survey import Reading, Survey
from services.insights.tiers import Tier
from services.insights.verdict import State, view_service

MOST_HOSTS: Final = "Nothing arrives from most hosts: look at ingest and the way to it, not at the disks"


@dataclass(frozen=True, slots=True)
class StripNumbers:
    """As of now; None is what cannot be known, or is of all streams where the caller sees some."""

    samples_per_s: float | None  # that all replicas of ingest stored, in the last five minutes
    spend_today_usd: float | None
    budget_usd: float | None
    scoring: str  # the tier that answers first
    explaining: str
    outage: str | None = None  # why we hear nothing of most hosts: then how many agents are silent is not known


class Strip:
    """Of the one reading that everybody shares."""

    def __init__(self, survey: Survey, fleet: Fleet) -> None:
        self._survey = survey
        self._fleet = fleet

    async def read(self, caller: Caller) -> StripNumbers:
        """At most ten seconds old. Raises Unavailable where the fleet is not read yet, later not for the table."""
        reading = await self._survey.read()
        is_known = reading.why_unread is None and caller.sees_all
        today = today_of(reading.days, reading.at.date(), budget_usd=reading.budget_usd)
        return StripNumbers(
            samples_per_s=rate_per_s(reading.heard()["ingest"], "samples") if is_known else None,
            spend_today_usd=today.usd if is_known else None,
            budget_usd=reading.budget_usd if caller.sees_all else None,
            scoring=answering(reading.tiers.scoring),
            explaining=answering(reading.tiers.explaining),
            outage=_lost(reading) or (MOST_HOSTS if caller.sees_all and self._fleet.is_outage else None),
        )


def _lost(reading: Reading) -> str | None:
    if reading.why_unread is not None:
        return "The table does not answer: what is shown is from before"
    ingest = view_service("ingest", reading.pulses["ingest"], reading.at)
    return ingest.trouble.says if ingest.trouble and ingest.state is State.NOT_HEARD_OF else None


def answering(tiers: Sequence[Tier]) -> str:
    """Who answers all that nobody before it takes: a share of the streams is not the rule."""
    return next(tier.name for tier in tiers if tier.answers and (tier.share_percent == 100 or tier is tiers[-1]))
