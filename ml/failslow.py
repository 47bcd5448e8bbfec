"""Hosts from real drives, some verified to be slow: latency and throughput of a host's drives by minute."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iops.minutes import CHANNELS, SERIES
from ml.hosts import UNKNOWN, Host
from ml.source import UnreadableData, columns_of, find_file, numbers, read_groups, whole_numbers

PATTERN: Final = "failslow_1min_*.parquet"
COLUMNS: Final = {"lat_mean": "await_ms", "thr_mean": "read_bytes_s"}  # of the file, and what we call it

Labels = Mapping[tuple[str, str], int]  # host and drive: 1 where the drive is slow, else 0


def hosts_of(data_dir: Path) -> Iterator[Host]:
    """Every host of `data_dir`/failslow, one in memory at a time; raises UnreadableData.

    The label is the drive's, in each of its minutes. Where there is no file of labels it is UNKNOWN.
    """
    path = find_file(data_dir / "failslow", PATTERN)
    columns_of(path, ("host", "disk", "minute", *COLUMNS))
    labels = labels_beside(path)
    for name, table in read_groups(path, "host", ["disk", "minute", *COLUMNS]):
        yield _host(path, name, table, labels)


def labels_beside(path: Path) -> Labels:
    """What failslow_labels_<suffix>.csv says; empty where there is none."""
    beside = path.with_name(path.name.replace("_1min_", "_labels_", 1)).with_suffix(".csv")
    if not beside.exists():
        return {}
    try:
        with beside.open(encoding="utf-8", newline="") as lines:
            return {(row["host"], row["disk"]): int(row["fail_slow"] == "1") for row in csv.DictReader(lines)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise UnreadableData(f"{beside}: not a table of host, disk and fail_slow: {error!r}") from error


def is_measured(host: Host) -> NDArray[np.bool_]:
    """[minute, disk]: where there was a row in the file, or might as well have been."""
    return np.asarray(np.isfinite(host.values).any(axis=-1))


def _host(path: Path, name: str, table: pa.Table, labels: Labels) -> Host:
    minute, row = np.unique(whole_numbers(path, table, "minute"), return_inverse=True)
    drives, column = np.unique(np.array(table.column("disk").cast(pa.string()).to_pylist()), return_inverse=True)
    shape = (len(minute), len(drives))
    if len(np.unique(row * len(drives) + column)) < len(table):
        raise UnreadableData(f"{path}: host {name!r} has a minute of a drive twice")
    values = np.full((*shape, len(SERIES)), np.nan, np.float32)
    for source, channel in COLUMNS.items():
        values[row, column, CHANNELS.index(channel)] = numbers(path, table, source)
    disks = tuple(str(drive) for drive in drives)
    label = np.array([labels.get((name, disk), UNKNOWN) for disk in disks], np.int8)
    return Host(
        name,
        disks,
        minute,
        values,
        incident=np.broadcast_to(label, shape).copy(),
        kind=np.full(shape, UNKNOWN, np.int8),
        severity=np.full(shape, np.nan, np.float32),
    )
