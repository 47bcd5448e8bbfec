"""Data sets of others as hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iops.minutes import CHANNELS
from ml import failslow, smd
from ml.hosts import IGNORED, UNKNOWN
from ml.source import UnreadableData

DISK: dict[str, Any] = {name: [0.1] * 4 for name in smd.COLUMNS}
LABELLED: dict[str, Any] = {"label": [-1, 0, 1, 1], "disk_blamed": [-1, 0, 1, 0], "event": [0, 0, 1, 2]}


def write_smd(folder: Path, suffix: str = "other", **columns: Any) -> Path:
    (folder / "smd").mkdir(exist_ok=True)
    rows = {"machine": ["1-9"] * 4, "minute": [0, 1, 2, 3], **DISK, **columns}
    pq.write_table(
        pa.table({name: value for name, value in rows.items() if value}), folder / f"smd/smd_disk_{suffix}.parquet"
    )
    return folder


def write_failslow(folder: Path, **columns: Any) -> Path:
    (folder / "failslow").mkdir()
    rows = {
        "host": ["h/1", "h/1", "h/2", "h/1"],
        "disk": ["b", "a", "a", "a"],
        "minute": [61, 61, 60, 60],
        "lat_mean": [1.0, 2.0, 3.0, 4.0],
        "thr_mean": [10.0, 20.0, 30.0, None],
    }
    pq.write_table(pa.table({**rows, **columns}), folder / "failslow/failslow_1min_kept.parquet")
    return folder


def test_a_machine_is_a_host_of_one_disk(tmp_path: Path) -> None:
    (host,) = smd.hosts_of(write_smd(tmp_path, disk_wa=[1.0, 2.0, 3.0, None], disk_q=[5.0, 6.0, 7.0, 8.0]))
    assert (host.name, host.disks) == ("1-9", ("1-9",))
    assert host.values[:, 0, CHANNELS.index("queue_depth")].tolist() == [5, 6, 7, 8]
    assert host.values[:3, 0, CHANNELS.index("await_ms")].tolist() == [1, 2, 3]
    assert np.isnan(host.values[3, 0, CHANNELS.index("await_ms")])


def test_only_an_event_blamed_on_a_disk_is_an_incident(tmp_path: Path) -> None:
    (machine,) = smd.machines_of(write_smd(tmp_path, half=["train", "test", "test", "test"], **LABELLED))
    assert machine.host.incident[:, 0].tolist() == [UNKNOWN, 0, 1, IGNORED]
    assert machine.is_judged.tolist() == [False, True, True, True]
    assert machine.events == ((2, 3),)


def test_events_that_touch_stay_two(tmp_path: Path) -> None:
    folder = write_smd(tmp_path, label=[1] * 4, disk_blamed=[1] * 4, event=[1, 1, 2, 2])
    (machine,) = smd.machines_of(folder)
    assert machine.events == ((0, 2), (2, 4))


def test_without_labels_and_halves_every_minute_is_for_judging(tmp_path: Path) -> None:
    (machine,) = smd.machines_of(write_smd(tmp_path))
    assert machine.is_judged.all()
    assert (machine.host.incident == UNKNOWN).all()
    assert machine.events == ()


def test_minutes_are_put_in_order(tmp_path: Path) -> None:
    (host,) = smd.hosts_of(write_smd(tmp_path, minute=[3, 1, 0, 2], disk_r=[30.0, 10.0, 0.0, 20.0]))
    assert host.minute.tolist() == [0, 1, 2, 3]
    assert host.values[:, 0, CHANNELS.index("read_iops")].tolist() == [0, 10, 20, 30]


def test_drives_of_a_host_are_peers(tmp_path: Path) -> None:
    first, second = failslow.hosts_of(write_failslow(tmp_path))
    assert (first.name, first.disks, second.name) == ("h/1", ("a", "b"), "h/2")
    assert first.minute.tolist() == [60, 61]
    assert first.values[1, :, CHANNELS.index("await_ms")].tolist() == [2, 1]
    assert failslow.is_measured(first).tolist() == [[True, False], [True, True]]
    assert (first.incident == UNKNOWN).all()


def test_a_label_is_the_drives_in_each_of_its_minutes(tmp_path: Path) -> None:
    write_failslow(tmp_path)
    labels = tmp_path / "failslow/failslow_labels_kept.csv"
    labels.write_text("host,disk,workload,fail_slow\nh/1,a,log,1\nh/1,b,log,0\n")
    first, second = failslow.hosts_of(tmp_path)
    assert first.incident.tolist() == [[1, 0], [1, 0]]
    assert second.incident.tolist() == [[UNKNOWN]]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"disk_wa": None}, "without the columns disk_wa"),
        ({"minute": [0, 1, 1, 2]}, "a minute twice"),
        ({"minute": [0, 1, None, 2]}, "minute: 1 are null"),
        ({"disk_q": ["low"] * 4}, "disk_q: Failed to parse"),
        ({"machine": [1, 1, 1, 1]}, "names are wanted"),
        ({"machine": ["a", "a", None, "a"]}, "a row without machine"),
    ],
)
def test_a_misshapen_file_says_what_is_wrong(tmp_path: Path, columns: dict[str, Any], problem: str) -> None:
    with pytest.raises(UnreadableData, match=problem):
        list(smd.hosts_of(write_smd(tmp_path, **columns)))


def test_a_drive_with_a_minute_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match="a minute of a drive twice"):
        list(failslow.hosts_of(write_failslow(tmp_path, disk=["a"] * 4)))


def test_labels_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_failslow(tmp_path)
    (tmp_path / "failslow/failslow_labels_kept.csv").write_text("drive\n1\n")
    with pytest.raises(UnreadableData, match="not a table of host, disk and fail_slow"):
        list(failslow.hosts_of(tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match=r"smd_disk_\*.parquet: there is no such file"):
        list(smd.hosts_of(tmp_path))


def test_two_files_that_fit_are_one_too_many(tmp_path: Path) -> None:
    write_smd(tmp_path, suffix="a")
    with pytest.raises(UnreadableData, match="2 files fit"):
        list(smd.hosts_of(write_smd(tmp_path, suffix="b")))


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "smd").mkdir()
    (tmp_path / "smd/smd_disk_a.parquet").write_bytes(b"machine,minute\n")
    with pytest.raises(UnreadableData, match="not a Parquet file"):
        list(smd.hosts_of(tmp_path))


def test_names_as_others_write_them_are_read(tmp_path: Path) -> None:
    data = write_smd(tmp_path, machine=pa.array(["1-9"] * 4, pa.large_string()))

    assert [host.name for host in smd.hosts_of(data)] == ["1-9"]


@pytest.mark.parametrize(
    "columns",
    [
        {"minute": pa.array([0, 1, 2, 3], pa.timestamp("ms"))},
        {"minute": ["0", "1", "2", "3"]},
        {"disk_q": [[0.1]] * 4},
        {"machine": [1, 2, 3, 4]},
    ],
)
def test_a_column_of_another_type_is_told_in_a_sentence(tmp_path: Path, columns: dict[str, Any]) -> None:
    with pytest.raises(UnreadableData, match=next(iter(columns))):
        list(smd.hosts_of(write_smd(tmp_path, **columns)))
