"""What an evaluation found, for people and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from ml.judge_disks import Calibration, DiskFigures, Estimate, Price
from ml.judge_drives import ByDrive, DriveFigures, HealthyPages

MODEL: Final = "the model"
TREES: Final = "its trees alone"


@dataclass(frozen=True, slots=True)
class DiskReport:
    """Machines that are alike in whether the model was fitted on them."""

    scored: str
    is_evidence: bool  # False: the model was fitted on these very machines
    names: tuple[str, ...]
    scorers: dict[str, DiskFigures]


@dataclass(frozen=True, slots=True)
class DriveReport:
    """Real drives beside their peers."""

    scored: str
    fitted_on: tuple[str, ...]
    scorers: dict[str, DriveFigures]
    by_drive: ByDrive
    healthy: HealthyPages


@dataclass(frozen=True, slots=True)
class Report:
    """All that could be judged; a part is empty or None where there was nothing labelled."""

    model_version: str
    disks: list[DiskReport]
    drives: DriveReport | None
    kinds: dict[str, dict[str, int]]  # of simulated incidents: what was injected, and what it was called


def better_baselines(report: Report) -> list[str]:
    """Those that the model does not beat, on machines that it was not fitted on."""
    found = []
    for disks in report.disks:
        model = disks.scorers[MODEL]
        found += [
            name
            for name, figures in disks.scorers.items()
            if disks.is_evidence
            and name not in (MODEL, TREES)
            and (figures.auc_pr.value >= model.auc_pr.value or figures.vus_pr.value >= model.vus_pr.value)
        ]
    if report.drives:
        best = report.drives.scorers[MODEL].auc_pr.value
        found += [
            name
            for name, drives in report.drives.scorers.items()
            if name not in (MODEL, TREES) and drives.auc_pr.value >= best
        ]
    return found


def as_json(report: Report) -> str:
    """One document; what is unknown is null."""
    return json.dumps(_without_nan(asdict(report)), allow_nan=False)


def print_tables(report: Report, console: Console | None = None) -> None:
    """Tables that fit a screen: each scorer a row, the model last, accuracy at the very end."""
    out = console or Console()
    out.print(f"Model {report.model_version}. In brackets: 95 % intervals, had other machines been drawn.")
    for disks in report.disks:
        out.print(_scorers_of_disks(disks), _prices(disks.scorers[MODEL]), _machines(disks.scorers[MODEL]))
    if report.drives:
        out.print(_scorers_of_drives(report.drives), _drive_sentences(report.drives))
    if report.kinds:
        out.print(_confusion(report.kinds))
    for disks in report.disks:
        if calibration := disks.scorers[MODEL].calibration:
            out.print(_calibration_sentence(disks, calibration))


def _without_nan(value: Any) -> Any:  # any JSON
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scorers_of_disks(report: DiskReport) -> Table:
    table = Table(title=f"SMD disk events, {len(report.names)} machines: {report.scored}")
    budgets = list(report.scorers[MODEL].at_budget)
    titles = [f"events found at <= {budget} false pages a day" for budget in budgets]
    for title in ("", "AUC-PR", "VUS-PR", *titles):
        table.add_column(title)
    for name, figures in report.scorers.items():
        found = [_found(figures.at_budget[budget]) for budget in budgets]
        table.add_row(name, _estimate(figures.auc_pr), _estimate(figures.vus_pr), *found)
    return table


def _prices(figures: DiskFigures) -> Table:
    table = Table(title="What the risk score finds and costs with the thresholds that ship")
    for title in ("risk", "events found", "false pages a stream-day", "median delay, minutes"):
        table.add_column(title)
    for risk, price in figures.at_risk.items():
        costs = (_estimate(price.found_ratio), _estimate(price.false_pages_a_day))
        table.add_row(f">= {risk}", *costs, f"{price.delay_min:.0f}")
    return table


def _machines(figures: DiskFigures) -> Table:
    table = Table(title="The model, machine by machine")
    for title in ("machine", "events", "AUC-PR", "VUS-PR", "found at risk 80", "false pages at risk 80"):
        table.add_column(title)
    for one in figures.machines:
        counts = (f"{one.found_at_risk_80}", f"{one.false_pages_at_risk_80}")
        table.add_row(one.machine, f"{one.events}", f"{one.auc_pr:.3f}", f"{one.vus_pr:.3f}", *counts)
    return table


def _scorers_of_drives(report: DriveReport) -> Table:
    figures = report.scorers[MODEL]
    table = Table(title=f"Fail-slow, {figures.slow_windows:,} of {figures.windows:,} windows slow: {report.scored}")
    for title in ("", "AUC-PR", *figures.by_cluster):
        table.add_column(title)
    for name, one in report.scorers.items():
        table.add_row(name, _estimate(one.auc_pr, 4), *(f"{value:.4f}" for value in one.by_cluster.values()))
    return table


def _drive_sentences(report: DriveReport) -> str:
    drives, healthy = report.by_drive, report.healthy
    cost = ", ".join(f"{count / healthy.days:.3f} at risk >= {risk}" for risk, count in healthy.pages.items())
    return (
        f"By drive (half of its windows at risk >= 60): {drives.found} of {drives.slow} slow ones found, "
        f"{drives.false} of {drives.healthy} others called slow. Pages of healthy drives a stream-day: {cost}."
    )


def _confusion(kinds: Mapping[str, Mapping[str, int]]) -> Table:
    said = sorted({name for row in kinds.values() for name in row})
    table = Table(title="Simulated incidents: what was injected, and the share of its minutes called what")
    for title in ("injected", *said):
        table.add_column(title)
    for kind, row in kinds.items():
        table.add_row(kind, *(f"{row.get(name, 0) / sum(row.values()):.2f}" for name in said))
    return table


def _calibration_sentence(report: DiskReport, calibration: Calibration) -> str:
    return (
        f"Calibration ({report.scored}): ECE {calibration.ece:.4f}, Brier {calibration.brier:.4f} "
        f"(the base rate always: {calibration.brier_of_base_rate:.4f}). "
        f"Accuracy {calibration.accuracy:.4f}; always saying no has {calibration.accuracy_of_always_no:.4f}."
    )


def _found(price: Price) -> str:
    return f"{price.found_ratio.value:.2f} at {price.false_pages_a_day.value:.2f}, {price.delay_min:.0f} min"


def _estimate(estimate: Estimate, digits: int = 3) -> str:
    low, high = f"{estimate.low:.{digits}f}", f"{estimate.high:.{digits}f}"
    return f"{estimate.value:.{digits}f} ({low}-{high})"
