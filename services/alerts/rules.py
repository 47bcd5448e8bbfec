"""The numbers that decide what people are told and how often; a replay tries others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from iops.contract import PAGE_RISK_SCORE


@dataclass(frozen=True, slots=True)
class Rules:
    """As they are where nobody says otherwise."""

    page_risk: float = PAGE_RISK_SCORE
    calm: timedelta = timedelta(minutes=10)  # below 60 for so long, and it is over
    least_firing: timedelta = timedelta(minutes=5)
    reopening: timedelta = timedelta(minutes=30)  # of being resolved: what comes back is the same episode
    between_tellings: timedelta = timedelta(minutes=30)  # of one alert, however often it flaps
    together: timedelta = timedelta(minutes=5)  # alerts of one peer group and type are one page
    remind_every: timedelta = timedelta(hours=4)


RULES: Final = Rules()
