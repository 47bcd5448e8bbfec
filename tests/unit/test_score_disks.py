"""The step that scores real disks minute by minute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from iops.features import NAMES
from ml.score import score, top_channels
from ml.source import UnreadableData
from tests.unit.real_disks import write_drives, write_machines, write_model


def test_a_minute_is_scored_from_itself_and_earlier_ones_only(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    score(write_drives(write_machines(tmp_path / "all", "m")), tmp_path / "of_all", model)
    score(write_drives(write_machines(tmp_path / "cut", "m", minutes=440), minutes=123), tmp_path / "of_cut", model)
    whole, cut = (pq.read_table(tmp_path / name / "smd_scores.parquet") for name in ("of_all", "of_cut"))
    assert cut.num_rows == 190
    assert whole.slice(0, 190).equals(cut)
    whole, cut = (pq.read_table(tmp_path / name / "failslow_scores.parquet") for name in ("of_all", "of_cut"))
    assert cut.num_rows == 2 * 5 * 123
    is_early = np.array(whole["minute"]) < 27_000_123
    assert whole.filter(is_early).equals(cut)


def test_only_the_half_for_judging_is_written(tmp_path: Path) -> None:
    score(write_machines(tmp_path / "data", "a", "b"), tmp_path / "out", write_model(tmp_path / "model"))
    rows = pq.read_table(tmp_path / "out/smd_scores.parquet").to_pydict()
    assert rows["machine"] == ["a"] * 250 + ["b"] * 250
    assert rows["minute"] == [*range(250, 500)] * 2
    assert min(rows["p_incident"]) >= 0
    assert max(rows["p_incident"]) <= 1
    assert max(rows["risk_score"]) <= 100
    assert np.argmax(rows["risk_score"][:250]) in range(180, 195)  # the ten minutes that stand out, and just after
    assert all(name.startswith("disk_") for names in rows["top_channels"] for name in names)


def test_what_the_file_says_of_incidents_changes_no_score(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    score(write_machines(tmp_path / "told", "m"), tmp_path / "of_told", model)
    score(write_machines(tmp_path / "untold", "m", is_labelled=False), tmp_path / "of_untold", model)
    told, untold = (pq.read_table(tmp_path / name / "smd_scores.parquet") for name in ("of_told", "of_untold"))
    assert told.equals(untold)


def test_drives_are_scored_each_minute_they_were_measured(tmp_path: Path) -> None:
    score(write_drives(tmp_path / "data", is_labelled=False), tmp_path / "out", write_model(tmp_path / "model"))
    rows = pq.read_table(tmp_path / "out/failslow_scores.parquet")
    assert rows.column_names[:3] == ["host", "disk", "minute"]
    assert rows.num_rows == 2 * 5 * 200
    risk, disk = np.array(rows["risk_score"]), np.array(rows["disk"])
    assert np.median(risk[disk == "disk2"]) > np.median(risk[disk != "disk2"])
    assert {name for names in rows["top_channels"].to_pylist() for name in names} <= {"disk_wa", "disk_rb"}


def test_the_channels_that_moved_the_margin_most_are_named_in_order() -> None:
    contributions, features = np.zeros((1, len(NAMES))), np.zeros((1, len(NAMES)), np.float32)
    for name, value in {"z_queue_depth": 0.2, "step_write_iops": -0.9, "peer_standing": 0.5, "mean_z_3_day": 7}.items():
        contributions[0, NAMES.index(name)] = value
    assert top_channels(contributions, features).tolist() == [[5, 6, 0]]  # writes, await, queue


def test_a_null_channel_is_not_named() -> None:
    contributions, features = np.zeros((1, len(NAMES))), np.zeros((1, len(NAMES)), np.float32)
    contributions[0, NAMES.index("z_queue_depth")] = 1.0
    features[0, NAMES.index("z_queue_depth")] = np.nan
    assert top_channels(contributions, features).tolist() == [[-1, -1, -1]]


def test_a_folder_with_neither_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match="neither smd/ nor failslow/"):
        score(tmp_path, tmp_path / "out", write_model(tmp_path / "model"))
