"""What the model's card says of its worth: each figure beside the best of what needs no model."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field, ValidationError

from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE
from iops.model import Card

MODEL = "the model"
OF_THE_MODEL = frozenset({MODEL, "its trees alone"})


class Interval(BaseModel):
    """A figure, and where it would lie 19 times in 20 had other machines been drawn."""

    value: float
    low: float
    high: float


class Worth(BaseModel):
    """How well wrong is told from right on one kind of data that no tree was fitted on."""

    data: str
    auc_pr: Interval
    baseline: str = Field(description="the best of what needs no model")
    baseline_auc_pr: Interval


class AtRisk(BaseModel):
    """What everything from a risk on finds and costs, on machines that no tree was fitted on."""

    risk_score: int
    found_ratio: Interval = Field(description="of the incidents")
    false_pages_a_day: Interval = Field(description="of one stream")


class ModelView(BaseModel):
    """The model that scores here; the whole card is ml/model/MODEL_CARD.md."""

    version: str
    trained_on: str | None = Field(description="null where its card does not say, as of the worth and the risks")
    worth: list[Worth]
    at_risk: list[AtRisk]


class _Found(BaseModel):
    found_ratio: Interval
    false_pages_a_day: Interval


class _Scorer(BaseModel):
    auc_pr: Interval
    at_risk: Mapping[str, _Found] | None = None


class _Judged(BaseModel):
    scorers: Mapping[str, _Scorer]


class _Metrics(BaseModel):
    disks: list[_Judged]
    drives: _Judged


class _Facts(BaseModel):
    trained_on: list[str]
    simulated_windows: int
    metrics: _Metrics


def view_model(card: Card) -> ModelView:
    """What people look at first; a card of another program may say less."""
    try:
        facts = _Facts.model_validate(card.facts)
        disks, drives = facts.metrics.disks[0], facts.metrics.drives
        worth = [_worth("incidents of server disks", disks), _worth("drives that turned slow", drives)]
        found = disks.scorers[MODEL].at_risk or {}
        at_risk = [
            AtRisk(risk_score=score, **dict(found[str(score)])) for score in (PAGE_RISK_SCORE, INSIGHT_RISK_SCORE)
        ]
    except (ValidationError, LookupError, ValueError):
        return ModelView(version=card.version, trained_on=None, worth=[], at_risk=[])
    machines, windows = len(facts.trained_on), facts.simulated_windows
    trained_on = f"{machines} machines of the Server Machine Dataset and {windows:,} simulated windows"
    return ModelView(version=card.version, trained_on=trained_on, worth=worth, at_risk=at_risk)


def _worth(data: str, judged: _Judged) -> Worth:
    others = {name: scorer.auc_pr for name, scorer in judged.scorers.items() if name not in OF_THE_MODEL}
    baseline = max(others, key=lambda name: others[name].value)
    return Worth(data=data, auc_pr=judged.scorers[MODEL].auc_pr, baseline=baseline, baseline_auc_pr=others[baseline])
