"""What scores of single disks are worth: curves, pages, events found, calibration; per machine and over machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.calibration import Reliability, bootstrap, brier, calibration_error, reliability
from ml.hosts import IGNORED, UNKNOWN
from ml.protocol import Tally, Truth, average_precision, level_grid, tally, threshold_for_budget, vus_pr
from ml.smd import Machine

Array = NDArray[np.float64]

BUDGETS: Final = (0.1, 0.25, 1.0)  # false pages a stream-day
RISKS: Final = (80.0, 60.0)  # whose price the model card promises
SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Series:
    """What one scorer says of one machine's judged minutes."""

    machine: str
    truth: Truth
    ranking: Array  # p_incident of a model, or whatever a baseline has
    paging: Array  # risk_score of a model, or the same again


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over machines with its 95 % interval, had other machines been drawn."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Price:
    """What paging from a threshold on finds and costs."""

    threshold: float
    found_ratio: Estimate  # of the events
    false_pages_a_day: Estimate
    delay_min: float  # median of the events found


@dataclass(frozen=True, slots=True)
class MachineFigures:
    machine: str
    events: int
    auc_pr: float
    vus_pr: float
    found_at_risk_80: int | None  # None of a scorer that has no risk
    false_pages_at_risk_80: int | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of a probability; the base rate is what saying the same of every minute would get."""

    brier: float
    brier_of_base_rate: float
    ece: float
    reliability: list[Reliability]
    accuracy: float  # of p >= 0.5
    accuracy_of_always_no: float


@dataclass(frozen=True, slots=True)
class DiskFigures:
    auc_pr: Estimate
    vus_pr: Estimate
    at_budget: dict[str, Price]  # by false pages a stream-day; the threshold is one of the judged curve's
    at_risk: dict[str, Price]  # the thresholds that a model ships with; empty of a baseline
    machines: list[MachineFigures]
    calibration: Calibration | None  # None of a score that is no probability


def truth_of(machine: Machine) -> tuple[Truth, NDArray[np.intp]]:
    """What is known of a machine's judged part, and the host's rows it is made of."""
    incident = machine.host.incident[:, 0]
    rows = np.flatnonzero(machine.is_judged & (incident != UNKNOWN))
    events = np.searchsorted(rows, np.array(machine.events, np.int64).reshape(-1, 2))
    inside = tuple((int(start), int(stop)) for start, stop in events if stop > start)
    return Truth((incident[rows] == 1).astype(float), incident[rows] == IGNORED, inside), rows


def series_of(machine: Machine, ranking: Array, paging: Array) -> Series:
    """The judged part of what was said of all minutes of a host; where nothing was said it is the least."""
    truth, rows = truth_of(machine)
    return Series(machine.host.name, truth, _said(ranking[rows]), _said(paging[rows]))


def judge_disks(series: Sequence[Series], *, is_model: bool) -> DiskFigures:
    """All figures of one scorer; a model's ranking is a probability and its paging a risk."""
    curves = np.array([_curves(one) for one in series])
    weight = np.isfinite(curves).astype(float)
    auc, vus = (_estimate(np.nan_to_num(curves[:, k]), weight[:, k]) for k in (0, 1))
    truths, scores = [one.truth for one in series], [one.paging for one in series]
    levels = level_grid(scores)
    at_budget = {
        f"{budget:g}": _price(series, threshold_for_budget(scores, truths, budget, levels)) for budget in BUDGETS
    }
    return DiskFigures(
        auc_pr=auc,
        vus_pr=vus,
        at_budget=at_budget,
        at_risk={f"{risk:g}": _price(series, risk) for risk in RISKS} if is_model else {},
        machines=[_machine(one, *curve, is_model=is_model) for one, curve in zip(series, curves, strict=True)],
        calibration=_calibration(series) if is_model else None,
    )


def _said(score: Array) -> Array:
    known = np.isfinite(score)
    return np.where(known, score, score[known].min() if known.any() else 0.0)


def _curves(one: Series) -> tuple[float, float]:
    kept = ~one.truth.is_ignored
    target, score = one.truth.target[kept], one.ranking[kept]
    return average_precision(target, score), vus_pr(target, score)


def _tallies(series: Sequence[Series], threshold: float) -> list[Tally]:
    return [tally(one.paging >= threshold, one.truth) for one in series]


def _price(series: Sequence[Series], threshold: float) -> Price:
    tallies = _tallies(series, threshold)
    events = np.array([len(one.truth.events) for one in series], float)
    days = np.array([one.truth.days for one in series])
    delays = [delay for result in tallies for delay in result.delays]
    return Price(
        threshold=threshold,
        found_ratio=_estimate(np.array([result.found for result in tallies], float), events),
        false_pages_a_day=_estimate(np.array([result.false_pages for result in tallies], float), days),
        delay_min=float(np.median(delays)) if delays else float("nan"),
    )


def _estimate(upper: Array, lower: Array) -> Estimate:
    value = float(upper.sum() / lower.sum()) if lower.sum() else float("nan")
    return Estimate(value, *bootstrap(upper, lower, np.random.default_rng(SEED)))


def _machine(one: Series, auc_pr: float, vus: float, *, is_model: bool) -> MachineFigures:
    at_80 = tally(one.paging >= RISKS[0], one.truth) if is_model else None
    return MachineFigures(
        machine=one.machine,
        events=len(one.truth.events),
        auc_pr=auc_pr,
        vus_pr=vus,
        found_at_risk_80=at_80.found if at_80 else None,
        false_pages_at_risk_80=at_80.false_pages if at_80 else None,
    )


def _calibration(series: Sequence[Series]) -> Calibration:
    kept = ~np.concatenate([one.truth.is_ignored for one in series])
    target = np.concatenate([one.truth.target for one in series])[kept]
    p = np.concatenate([one.ranking for one in series])[kept]
    bins = reliability(target, p)
    return Calibration(
        brier=brier(target, p),
        brier_of_base_rate=brier(target, np.full_like(target, target.mean())),
        ece=calibration_error(bins),
        reliability=bins,
        accuracy=float(np.mean((p >= 0.5) == (target > 0))),
        accuracy_of_always_no=float(1 - target.mean()),
    )
