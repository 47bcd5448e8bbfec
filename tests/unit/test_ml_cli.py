"""The command line of the model's making, and the card that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from iops.model import CARD_FILE, Model
from ml import windows
from ml.__main__ import app, run
from ml.archive import pack_model
from ml.card import readable, write_card
from ml.evaluate import report_of
from ml.windows import SCHEMA
from tests.unit.real_disks import write_machines, write_model

STEPS = ("simulate", "export", "tune", "train", "evaluate", "score", "pack", "deploy")
FACTS = {"trained_on": ["a", "b"], "simulated_windows": 20_000, "seed": 3, "xgboost": "3.2.0"}


def failed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        run([str(argument) for argument in arguments])
    assert ended.value.code == 1
    return capsys.readouterr().err


def write_windows(folder: Path, feature_set_id: bytes) -> Path:
    folder.mkdir()
    pq.write_table(SCHEMA.with_metadata({"feature_set_id": feature_set_id}).empty_table(), folder / "windows.parquet")
    return folder


def test_the_help_names_every_step() -> None:
    said = CliRunner().invoke(app, ["--help"])
    assert said.exit_code == 0
    assert [step for step in STEPS if f" {step} " not in said.stdout] == []


@pytest.mark.parametrize("step", STEPS)
def test_each_step_explains_itself_and_each_of_its_options(step: str) -> None:
    from typer.main import get_command

    command = get_command(app).commands[step]  # type: ignore[attr-defined]
    assert command.help
    unexplained = [parameter.name for parameter in command.params if not getattr(parameter, "help", "explained")]
    assert unexplained == []
    assert CliRunner().invoke(app, [step, "--help"]).exit_code == 0


def test_a_packed_model_is_the_archive_that_deploy_uploads(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    out = tmp_path / "build" / "model.tar.gz"

    said = CliRunner().invoke(app, ["pack", "--model", str(model), "--out", str(out)])

    assert said.exit_code == 0
    assert out.read_bytes() == pack_model(model).content
    assert Model(model).card.version in said.stdout


def test_data_that_are_not_there_are_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "model")
    said = failed(capsys, "evaluate", "--data", tmp_path / "[bold]nowhere", "--model", model)
    assert said == f"{tmp_path}/[bold]nowhere: has neither smd/ nor failslow/\n"


def test_a_model_that_does_not_fit_is_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "model")
    (model / "kind.ubj").write_bytes(b"no trees")
    said = failed(capsys, "score", "--data", tmp_path, "--out", tmp_path / "out", "--model", model)
    assert said.startswith(f"{model}: ")
    assert said.count("\n") == 1


def test_windows_are_looked_at_before_anything_is_computed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = failed(capsys, "train", "--data", tmp_path, "--windows", tmp_path)
    assert "not a Parquet file" in missing
    other = failed(capsys, "train", "--data", tmp_path, "--windows", write_windows(tmp_path / "w", b"0ther"))
    assert "of features 0ther, not" in other


def test_too_few_machines_with_events_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from iops.features import FEATURE_SET_ID

    data, windows = write_machines(tmp_path, "a", "b"), write_windows(tmp_path / "w", FEATURE_SET_ID.encode())
    assert "at least 3 machines with an event" in failed(capsys, "train", "--data", data, "--windows", windows)


def test_a_search_in_the_cloud_needs_a_role_before_it_reads_anything(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["tune", "--data", str(tmp_path), "--where", "sagemaker"])
    assert said.exit_code == 2
    assert "--role-arn" in said.stderr


def test_the_card_says_budgets_licence_and_what_it_was_made_of(tmp_path: Path) -> None:
    model = Model(write_model(tmp_path / "model", **FACTS))
    report = report_of(write_machines(tmp_path, "m"), model)
    said = " ".join(readable(model.card, report).split())
    assert "40: 2; 60: 0.5; 80: 0.1; 95: 0.02" in said
    assert "MIT licence, Copyright (c) 2021 NetManAIOps-OmniAnomaly" in said
    assert "2 machines of the Server Machine Dataset" in said
    assert "20,000 windows of simulated hosts" in said
    assert f"version {model.card.version}" in said

    write_card(tmp_path / "model", model.card, report, {"smd": "ab12"})
    facts = json.loads((tmp_path / "model" / CARD_FILE).read_text())["facts"]
    assert facts["data_sha256"] == {"smd": "ab12"}
    assert facts["metrics"]["disks"][0]["names"] == ["m"]
    assert (tmp_path / "model/reliability.png").exists()


def test_a_folder_with_other_things_in_it_is_not_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.tex").write_text("years")
    said = failed(capsys, "train", "--data", tmp_path, "--windows", tmp_path, "--out", tmp_path / "home")
    assert "thesis.tex" in said
    assert (tmp_path / "home/thesis.tex").read_text() == "years"


def test_an_interrupted_simulation_leaves_the_windows_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object) -> object:
        raise KeyboardInterrupt

    (tmp_path / "windows.parquet").write_text("from before")
    monkeypatch.setattr(windows, "_tables", interrupted)
    with pytest.raises(KeyboardInterrupt):
        windows.simulate(str(tmp_path), windows=3, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["windows.parquet"]
    assert (tmp_path / "windows.parquet").read_text() == "from before"
