"""From nothing to a judged model by the command line; and the committed model, which scores as its card says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iops.model import BOOSTER_FILES, CARD_FILE, FILES, Card, Model
from ml import smd
from ml.__main__ import run
from tests.margins import PATH, margins_of

DATA = Path(__file__).parents[3] / "shared" / "data"
COMMITTED = Path(__file__).parents[2] / "ml" / "model"
DAYS, JUDGED_FROM = 6, 3  # of a machine; the later days are for judging
FIGURES_TOLERANCE = 1e-3

needs_model = pytest.mark.skipif(not (COMMITTED / CARD_FILE).exists(), reason="there is no model in ml/model")


def write_recorded(folder: Path, machines: int = 4) -> Path:
    """Machines with eight events of 15 minutes each in the days for judging: slow, with a long queue."""
    tables = []
    for machine in range(machines):
        rng = np.random.default_rng(machine)
        minute = np.arange(DAYS * 1440)
        rhythm = 1 + 0.3 * np.sin(minute / 1440 * 2 * np.pi)[:, np.newaxis]
        values = rhythm * rng.lognormal(0, 0.2, (len(minute), len(smd.COLUMNS)))
        is_judged = minute >= JUDGED_FROM * 1440
        event = np.zeros(len(minute), np.int64)
        for number, begin in enumerate(rng.choice(np.arange(JUDGED_FROM * 24, DAYS * 24 - 1), 8, replace=False), 1):
            event[begin * 60 : begin * 60 + 15] = number
        for slower in ("disk_q", "disk_svc", "disk_wa"):
            values[event > 0, list(smd.COLUMNS).index(slower)] *= 6
        columns = dict(zip(smd.COLUMNS, values.T, strict=True))
        blamed = np.where(is_judged, event > 0, -1)
        half = np.where(is_judged, "test", "train")
        labels = {"half": half, "label": blamed, "disk_blamed": blamed, "event": event}
        tables.append(
            pa.table({"machine": [f"made-up-{machine}"] * len(minute), "minute": minute, **columns, **labels})
        )
    (folder / "smd").mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables), folder / "smd/smd_disk_made_up.parquet")
    return folder


def done(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        run([str(argument) for argument in arguments])
    assert ended.value.code == 0


def test_a_model_is_made_judged_and_asked_from_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_recorded(tmp_path / "data")
    done("simulate", tmp_path / "windows", "--windows", 320, "--seed", 5)
    for name in ("model", "again"):
        few = ("--hosts", 8, "--anyway")
        done("train", "--data", data, "--windows", tmp_path / "windows", "--out", tmp_path / name, *few)
    first, second = ([(tmp_path / name / file).read_bytes() for file in FILES] for name in ("model", "again"))
    assert first == second

    capsys.readouterr()
    done("evaluate", "--data", data, "--model", tmp_path / "model", "--json")
    judged = json.loads(capsys.readouterr().out)
    card = json.loads((tmp_path / "model" / CARD_FILE).read_text())
    assert judged["model_version"] == card["version"]
    assert judged["disks"][0]["is_evidence"] is False  # the model was fitted on these very machines
    (evidence,) = card["facts"]["metrics"]["disks"]
    assert evidence["is_evidence"]
    assert evidence["scorers"]["the model"]["auc_pr"]["value"] > 0.8  # events that are hard to miss
    assert f"version {card['version']}" in (tmp_path / "model" / "MODEL_CARD.md").read_text()

    done("score", "--data", data, "--out", tmp_path / "scores", "--model", tmp_path / "model")
    assert pq.read_metadata(tmp_path / "scores/smd_scores.parquet").num_rows == 4 * (DAYS - JUDGED_FROM) * 1440


@needs_model
def test_the_committed_files_are_those_that_the_card_is_of() -> None:
    card = Card.model_validate_json((COMMITTED / CARD_FILE).read_bytes())
    content = b"".join((COMMITTED / name).read_bytes() for name in BOOSTER_FILES)
    assert hashlib.blake2b(content, digest_size=6).hexdigest() == card.version
    assert f"version {card.version}" in (COMMITTED / "MODEL_CARD.md").read_text()
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) < 2_000_000


@needs_model
def test_the_committed_trees_say_of_the_golden_vectors_what_they_said_when_made() -> None:
    # A model that was made anew: `python -m tests.margins` writes the file.
    golden = json.loads(PATH.read_text())
    assert golden["version"] == Model(COMMITTED).card.version
    for name, margins in margins_of(Model(COMMITTED)).items():
        assert margins == pytest.approx(golden["margins"][name], abs=1e-4)


@needs_model
@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "failslow").exists(), reason="the fail-slow data are not beside this repository")
def test_the_committed_model_scores_real_disks_as_its_card_says(capsys: pytest.CaptureFixture[str]) -> None:
    done("evaluate", "--data", DATA, "--model", COMMITTED, "--json")
    report = json.loads(capsys.readouterr().out)
    assert [disks["is_evidence"] for disks in report["disks"]] == [
        False
    ]  # it was fitted on these machines, and says so
    found = report["drives"]
    said = json.loads((COMMITTED / CARD_FILE).read_text())["facts"]["metrics"]["drives"]
    assert found["by_drive"] == said["by_drive"]
    assert found["healthy"]["pages"] == pytest.approx(said["healthy"]["pages"], rel=FIGURES_TOLERANCE, abs=1)
    for name, figures in said["scorers"].items():
        assert found["scorers"][name]["auc_pr"] == pytest.approx(figures["auc_pr"], abs=FIGURES_TOLERANCE)
        assert found["scorers"][name]["by_cluster"] == pytest.approx(figures["by_cluster"], abs=FIGURES_TOLERANCE)
