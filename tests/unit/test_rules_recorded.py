"""What the rules say of a real device under scripted faults, second by second."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.diskstats import parse_diskstats, sample_between
from iops.baseline import Baseline, make_baseline
from iops.clock import from_epoch_ms
from iops.evidence import Subject
from iops.insight import Finding, PredictionType
from iops.rules import judge_group
from iops.telemetry import Sample, Window, merge_windows, window_from_samples

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "fio" / "fio_faults_diskstats_1hz.csv.gz"
pytestmark = pytest.mark.skipif(
    not RECORDING.exists(), reason=f"the fio recording is not beside this repository: {RECORDING}"
)
STEP_MS = 5_000  # between two verdicts
AFTERMATH_MS = 61_000  # a minute's mean still holds what was before
FAULTY = "loop1"


class Run(NamedTuple):
    """One time a phase was on, as the script switched."""

    phase: str
    begin_ms: int
    end_ms: int


@cache
def recording() -> tuple[Window, list[Run]]:
    """The faulty device's samples, and what the script did to it."""
    with gzip.open(RECORDING, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["device"] == FAULTY]
    runs = []
    for phase, group in groupby(rows, key=lambda row: row["phase"]):
        instants = [int(row["unix_ms"]) for row in group]
        runs.append(Run(phase, instants[0], instants[-1]))
    return window_from_samples(_samples(rows)), runs


def _samples(rows: list[dict[str, str]]) -> Iterator[Sample]:
    """Through the agent's own parser and formulas."""
    before = None
    for row in rows:
        at_ms, _, _, *fields = row.values()
        counters = parse_diskstats(f"7 1 {FAULTY} {' '.join(fields)}")[FAULTY]
        if before is not None:
            dt_s = (int(at_ms) - before[0]) / 1000
            sample = sample_between(before[1], counters, dt_s=dt_s, at=from_epoch_ms(int(at_ms)))
            if sample is not None:
                yield sample
        before = int(at_ms), counters


@cache
def normal_day() -> Baseline:
    """What is usual, as if the recording's normal minutes had been the whole day."""
    window, runs = recording()
    normal = [window.since(run.begin_ms + 5_000).until(run.end_ms) for run in runs if run.phase == "normal"]
    baseline = make_baseline(merge_windows(normal), made_at_ms=window.at_ms[0])
    assert baseline is not None
    return replace(baseline, from_ms=window.at_ms[0] - 24 * 3_600_000)


@cache
def verdicts(phase: str) -> list[Finding]:
    """A verdict every few seconds of the phase, on all that was recorded until then."""
    window, runs = recording()
    aftermath_ms = AFTERMATH_MS if phase == "normal" else STEP_MS
    return [
        judge_group({"it": Subject(window.until(at_ms + 1), normal_day())})["it"]
        for run in runs
        if run.phase == phase
        for at_ms in range(run.begin_ms + aftermath_ms, run.end_ms + 1, STEP_MS)
    ]


def highest(phase: str) -> float:
    return max(finding.risk_score for finding in verdicts(phase))


@pytest.mark.parametrize("phase", ["normal", "benign_batch"])
def test_a_healthy_device_never_pages(phase: str) -> None:
    assert highest(phase) < 80


def test_all_requests_slower_by_5_ms_page() -> None:
    pages = [finding for finding in verdicts("fault_slow_all") if finding.risk_score >= 80]

    assert len(pages) >= len(verdicts("fault_slow_all")) / 2
    assert {finding.prediction_type for finding in pages} == {PredictionType.PERFORMANCE_DEGRADATION}


def test_a_device_capped_at_200_iops_pages() -> None:
    assert highest("fault_iops_cap") >= 80
