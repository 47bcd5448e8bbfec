"""The step that judges a model on real disks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iops.minutes import AWAIT, SERIES
from iops.model import Model
from iops.risk import Judgement
from ml import smd
from ml.answers import Answer, answers_of_file, answers_of_folds
from ml.evaluate import kinds_called, report_of
from ml.hosts import Host
from ml.judge_drives import Windows, judge_by_drive, judge_drives, windows_of
from ml.report import MODEL
from ml.source import UnreadableData
from tests.unit.real_disks import write_drives, write_machines, write_model


def a_host(minutes: int = 30, disks: int = 4) -> Host:
    values = np.full((minutes, disks, len(SERIES)), np.nan, np.float32)
    values[..., AWAIT] = 1
    zeros = np.zeros((minutes, disks), np.int8)
    severity = zeros.astype(np.float32)
    names = tuple(f"d{k}" for k in range(disks))
    return Host("a/1", names, np.arange(minutes), values, incident=zeros, kind=zeros, severity=severity)


def write_folds(path: Path, machine: str = "m", first: int = 250) -> Path:
    minute = np.arange(first, 500)
    p = np.where((minute >= 430) & (minute < 440), 0.9, 0.1)
    pq.write_table(
        pa.table({"machine": [machine] * len(minute), "minute": minute, "p_incident": p, "risk_score": 100 * p}), path
    )
    return path


def test_machines_that_a_model_was_fitted_on_are_no_evidence(tmp_path: Path) -> None:
    data = write_machines(tmp_path, "a", "b")
    report = report_of(data, Model(write_model(tmp_path / "model", trained_on=["b"])))
    assert [(part.is_evidence, part.names) for part in report.disks] == [(True, ("a",)), (False, ("b",))]


def test_cross_validated_scores_stand_in_for_the_model(tmp_path: Path) -> None:
    data, model = write_machines(tmp_path, "m"), Model(write_model(tmp_path / "model", trained_on=["m"]))
    report = report_of(data, model, cross_validated=answers_of_file(write_folds(tmp_path / "folds.parquet")))
    figures = report.disks[0].scorers[MODEL]
    assert report.disks[0].is_evidence
    assert figures.auc_pr.value == 1.0
    price = figures.at_risk["80"]
    assert (price.found_ratio.value, price.false_pages_a_day.value, price.delay_min) == (1.0, 0.0, 0.0)
    assert figures.calibration is not None
    assert figures.calibration.brier == pytest.approx(0.01, abs=1e-6)
    assert figures.calibration.ece == pytest.approx(0.1, abs=1e-6)
    assert figures.calibration.accuracy_of_always_no == 0.96  # 10 of 250 minutes


def test_folds_answer_for_the_judged_minutes_of_their_machine(tmp_path: Path) -> None:
    (machine,) = smd.machines_of(write_machines(tmp_path, "m"))
    p = np.linspace(0, 1, 250)
    judgement = Judgement(p_incident=p, risk_score=100 * p, page_score=p, kind=np.zeros(250, np.intp))
    answer = answers_of_folds([(machine, judgement)])(machine.host, np.empty((0, 0), np.float32))
    assert np.isnan(answer.risk_score[:250]).all()
    assert answer.risk_score[250:, 0].tolist() == (100 * p).tolist()


def test_scores_of_other_machines_or_minutes_are_refused(tmp_path: Path) -> None:
    data, model = write_machines(tmp_path, "m"), Model(write_model(tmp_path / "model"))
    other = answers_of_file(write_folds(tmp_path / "other.parquet", machine="n"))
    with pytest.raises(UnreadableData, match="does not score machine 'm'"):
        report_of(data, model, cross_validated=other)
    late = answers_of_file(write_folds(tmp_path / "late.parquet", first=-1))
    with pytest.raises(UnreadableData, match="minutes that machine 'm' does not have"):
        report_of(data, model, cross_validated=late)


def test_every_baseline_stands_beside_the_model(tmp_path: Path) -> None:
    report = report_of(write_drives(write_machines(tmp_path, "m")), Model(write_model(tmp_path / "model")))
    beside = ["static alarm", "Netdata-like k-means", "robust z, 24 h", "its trees alone", "the model"]
    assert list(report.disks[0].scorers) == beside
    assert report.drives is not None
    peers = ["absolute latency", "median ratio to peers", "10th percentile of that ratio"]
    assert list(report.drives.scorers) == [*peers, "its trees alone", "the model"]
    assert report.drives.scorers["median ratio to peers"].by_cluster == {"cluster_A": 1.0, "cluster_B": 1.0}
    assert (report.drives.by_drive.slow, report.drives.by_drive.healthy) == (2, 8)


def test_unlabelled_data_have_nothing_to_judge(tmp_path: Path) -> None:
    data = write_drives(write_machines(tmp_path, "m", is_labelled=False), is_labelled=False)
    with pytest.raises(UnreadableData, match="nothing in it is labelled"):
        report_of(data, Model(write_model(tmp_path / "model")))


def test_a_window_is_the_mean_of_its_minutes() -> None:
    host, score = a_host(), np.zeros((30, 4))
    score[15:, 1] = np.arange(15)
    windows = windows_of(host, score)
    assert windows.drive.tolist() == [0, 1, 2, 3] * 2
    assert windows.score.tolist() == [0, 0, 0, 0, 0, 7, 0, 0]


def test_a_drive_that_was_not_measured_has_no_window() -> None:
    host = a_host()
    host.values[15:, 3] = np.nan
    assert windows_of(host, np.zeros((30, 4))).drive.tolist() == [0, 1, 2, 3, 0, 1, 2]


def test_a_drive_is_slow_if_half_of_its_windows_are_risky() -> None:
    drive, is_slow = np.array([0, 0, 1, 1, 2, 2]), np.array([True, True, True, True, False, False])
    verdict = judge_by_drive([Windows("a/1", is_slow, drive, np.array([60.0, 0, 59, 0, 0, 0]))])
    assert (verdict.slow, verdict.found, verdict.false, verdict.healthy) == (2, 1, 0, 1)


def test_a_cluster_is_judged_by_itself() -> None:
    target, drive = np.array([True, False]), np.array([0, 1])
    right, wrong = (
        Windows(f"{name}/1", target, drive, np.array(score)) for name, score in (("a", [1, 0]), ("b", [0, 1]))
    )
    assert judge_drives([right, wrong]).by_cluster == {"a": 1.0, "b": 0.5}


def test_kinds_of_simulated_incidents_are_counted() -> None:
    host = replace(a_host(minutes=2), incident=np.ones((2, 4), np.int8))
    nothing = np.zeros((2, 4))
    said = np.array([[0, 0, 0, 1], [0, 0, 0, 0]])
    called = kinds_called([host], lambda _host, _features: Answer(nothing, nothing, nothing, said))
    assert called == {"performance_degradation": {"performance_degradation": 7, "latency_spike": 1}}
