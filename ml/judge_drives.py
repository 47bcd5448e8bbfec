"""What scores of drives beside their peers are worth: windows of 15 minutes, and whole drives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.calibration import INTERVAL
from ml.hosts import UNKNOWN, Host
from ml.judge_disks import RISKS, SEED, Estimate
from ml.protocol import MINUTES_PER_DAY, average_precision, pages

Array = NDArray[np.float64]

WINDOW: Final = 15  # minutes
SLOW_RISK, SLOW_RATIO = 60.0, 0.5  # a drive is slow if so many of its windows have so much risk
RESAMPLES: Final = 200


@dataclass(frozen=True, slots=True)
class Windows:
    """One scorer's windows of the labelled drives of one host."""

    host: str
    target: NDArray[np.bool_]  # [window]
    drive: NDArray[np.intp]  # [window]: place in the host
    score: Array  # [window]: the mean of its minutes


@dataclass(frozen=True, slots=True)
class HealthyPages:
    """What alarms on healthy drives cost, by risk."""

    days: float
    pages: dict[str, int]


@dataclass(frozen=True, slots=True)
class ByDrive:
    slow: int
    found: int
    false: int
    healthy: int


@dataclass(frozen=True, slots=True)
class DriveFigures:
    auc_pr: Estimate
    by_cluster: dict[str, float]
    windows: int
    slow_windows: int


def windows_of(host: Host, score: Array) -> Windows:
    """The windows of [minute, disk] in which a labelled drive was measured."""
    starts = np.flatnonzero(np.diff(host.minute // WINDOW, prepend=-1))
    is_measured = np.isfinite(host.values).any(axis=-1)
    known = is_measured & np.isfinite(score)
    count, total = (
        np.add.reduceat(part, starts, axis=0) for part in (known.astype(float), np.where(known, score, 0.0))
    )
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    is_there = np.logical_or.reduceat(is_measured, starts, axis=0) & (host.incident[starts] != UNKNOWN)
    window, drive = np.nonzero(is_there)
    return Windows(host.name, host.incident[starts][window, drive] == 1, drive, mean[window, drive])


def judge_drives(parts: Sequence[Windows]) -> DriveFigures:
    """The curve over all windows, by cluster, and its 95 % interval had other hosts been drawn."""
    score = np.concatenate([part.score for part in parts])
    known = np.isfinite(score)
    score = np.where(known, score, score[known].min() - 1 if known.any() else 0.0)
    target = np.concatenate([part.target for part in parts]).astype(float)
    host = np.repeat(np.arange(len(parts)), [len(part.score) for part in parts])
    cluster = np.array([part.host.split("/")[0] for part in parts])
    order = np.argsort(-score, kind="stable")  # once: what is sorted sorts fast again
    score, target, host = score[order], target[order], host[order]
    by_cluster = {
        str(name): average_precision(target[here], score[here])
        for name in np.unique(cluster)
        if len(target[here := cluster[host] == name])
    }
    value = average_precision(target, score)
    interval = _interval(target, score, host, len(parts))
    return DriveFigures(Estimate(value, *interval), by_cluster, windows=len(target), slow_windows=int(target.sum()))


def judge_by_drive(parts: Sequence[Windows]) -> ByDrive:
    """The rule for a drive: at least half of its windows have a mean risk of 60 or more."""
    verdicts = []
    for part in parts:
        for drive in np.unique(part.drive):
            mine = part.drive == drive
            share = np.mean(np.nan_to_num(part.score[mine]) >= SLOW_RISK)
            verdicts.append((bool(part.target[mine][0]), bool(share >= SLOW_RATIO)))
    slow = sum(is_slow for is_slow, _ in verdicts)
    found = sum(is_slow and is_called for is_slow, is_called in verdicts)
    false = sum(is_called and not is_slow for is_slow, is_called in verdicts)
    return ByDrive(slow=slow, found=found, false=false, healthy=len(verdicts) - slow)


def healthy_pages(host: Host, risk: Array) -> HealthyPages:
    """The pages that alarms on drives known to be healthy would have sent."""
    is_measured = np.isfinite(host.values).any(axis=-1) & (host.incident == 0)
    sent = {
        f"{least:g}": sum(len(pages(host.minute[is_alarm])) for is_alarm in ((risk >= least) & is_measured).T)
        for least in RISKS
    }
    return HealthyPages(days=float(is_measured.sum() / MINUTES_PER_DAY), pages=sent)


def _interval(target: Array, score: Array, host: NDArray[np.intp], count: int) -> tuple[float, float]:
    rng = np.random.default_rng(SEED)
    drawn = (np.bincount(rng.integers(0, count, count), minlength=count).astype(float) for _ in range(RESAMPLES))
    values = [average_precision(target, score, times[host]) for times in drawn]
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, INTERVAL)
    return float(low), float(high)
