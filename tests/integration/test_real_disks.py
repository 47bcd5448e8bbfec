"""Whole evaluations, and what the protocol gives on real disks."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from iops.model import Model
from ml import failslow, smd
from ml.baselines import robust_z
from ml.evaluate import evaluate, report_of
from ml.hosts import features_of
from ml.judge_disks import judge_disks, series_of
from ml.report import print_tables
from tests.unit.real_disks import write_drives, write_machines, write_model

DATA = Path(__file__).parents[3] / "shared" / "data"


def test_the_step_prints_one_document_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = write_machines(tmp_path, "m"), write_model(tmp_path / "model")
    evaluate(data, model, plot=tmp_path / "plots/reliability.png", json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["disks"][0]["scorers"]["the model"]["machines"][0]["events"] == 1
    assert (tmp_path / "plots/reliability.png").read_bytes()[:4] == b"\x89PNG"


def test_accuracy_comes_last_and_beside_always_no(tmp_path: Path) -> None:
    data = write_drives(write_machines(tmp_path, "m"))
    printed = io.StringIO()
    print_tables(report_of(data, Model(write_model(tmp_path / "model"))), Console(file=printed, width=200))
    assert "always saying no has 0.9600." in printed.getvalue().splitlines()[-1]


@pytest.mark.skipif(not (DATA / "smd").exists(), reason="the Server Machine Dataset is not beside this repository")
def test_robust_z_on_real_machines_is_worth_what_was_measured_once_before() -> None:
    series = []
    for machine in smd.machines_of(DATA):
        score = robust_z(machine.host, features_of(machine.host))[:, 0]
        series.append(series_of(machine, score, score))
    figures = judge_disks(series, is_model=False)
    assert sum(len(one.truth.events) for one in series) == 129
    assert figures.auc_pr.value == pytest.approx(0.308, abs=0.001)
    assert figures.vus_pr.value == pytest.approx(0.273, abs=0.001)
    assert figures.at_budget["1"].found_ratio.value == pytest.approx(0.76, abs=0.02)


@pytest.mark.skipif(not (DATA / "failslow").exists(), reason="the fail-slow data are not beside this repository")
def test_real_drives_are_read_whole() -> None:
    rows = slow = drives = 0
    for host in failslow.hosts_of(DATA):
        rows += int(failslow.is_measured(host).sum())
        slow += int(np.sum(host.incident[0] == 1))
        drives += len(host.disks)
    assert (rows, drives, slow) == (2_981_613, 1_127, 34)
