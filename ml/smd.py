"""Hosts from disk channels of the Server Machine Dataset: a machine is a host of one disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iops.minutes import CHANNELS, SERIES
from ml.hosts import IGNORED, UNKNOWN, Host
from ml.protocol import Interval, runs
from ml.source import UnreadableData, columns_of, find_file, numbers, read_groups, whole_numbers

PATTERN: Final = "smd_disk_*.parquet"
COLUMNS: Final = {  # of the file, and what we call it
    "disk_q": "queue_depth",
    "disk_r": "read_iops",
    "disk_rb": "read_bytes_s",
    "disk_svc": "service_ms",
    "disk_u": "utilization_ratio",
    "disk_w": "write_iops",
    "disk_wa": "await_ms",
    "disk_wb": "write_bytes_s",
}
LABELS: Final = ("label", "disk_blamed")
OPTIONAL: Final = ("half", "event", *LABELS)


@dataclass(frozen=True, slots=True)
class Machine:
    """A host of the data set, and which part of it is for judging."""

    host: Host
    is_judged: NDArray[np.bool_]  # [minute]: of the test half, or all where there are no halves
    events: tuple[Interval, ...]  # half-open, in rows of the host; none where there are no labels


def hosts_of(data_dir: Path) -> Iterator[Host]:
    """Every machine with all its minutes; labels are UNKNOWN in the half for training."""
    yield from (machine.host for machine in machines_of(data_dir))


def machines_of(data_dir: Path) -> Iterator[Machine]:
    """Every machine of `data_dir`/smd, one in memory at a time; raises UnreadableData."""
    path = find_file(data_dir / "smd", PATTERN)
    known = columns_of(path, ("machine", "minute", *COLUMNS))
    names = ["minute", *COLUMNS, *(name for name in OPTIONAL if name in known)]
    for name, table in read_groups(path, "machine", names):
        yield _machine(path, name, table)


def _machine(path: Path, name: str, table: pa.Table) -> Machine:
    minute = whole_numbers(path, table, "minute")
    if (np.diff(minute) == 0).any():
        raise UnreadableData(f"{path}: machine {name!r} has a minute twice")
    values = np.full((len(minute), 1, len(SERIES)), np.nan, np.float32)
    for column, channel in COLUMNS.items():
        values[:, 0, CHANNELS.index(channel)] = numbers(path, table, column)
    incident = _incident(path, table)
    unknown = np.full((len(minute), 1), UNKNOWN, np.int8)
    severity = np.full((len(minute), 1), np.nan, np.float32)
    host = Host(name, (name,), minute, values, incident[:, np.newaxis], kind=unknown, severity=severity)
    return Machine(host, is_judged=_is_judged(table), events=_events(path, table, incident == 1))


def _is_judged(table: pa.Table) -> NDArray[np.bool_]:
    if "half" not in table.column_names:
        return np.ones(len(table), dtype=bool)
    return np.array([half == "test" for half in table.column("half").to_pylist()], dtype=bool)


def _incident(path: Path, table: pa.Table) -> NDArray[np.int8]:
    """1 where experts blamed a disk; IGNORED where something else of the machine was odd."""
    if not set(LABELS) <= set(table.column_names):
        return np.full(len(table), UNKNOWN, np.int8)
    label, blamed = (whole_numbers(path, table, name) for name in LABELS)
    return np.select([label < 0, blamed == 1, label == 1], [UNKNOWN, 1, IGNORED], 0).astype(np.int8)


def _events(path: Path, table: pa.Table, is_incident: NDArray[np.bool_]) -> tuple[Interval, ...]:
    """Events may touch, so only their numbers can tell them apart."""
    if "event" not in table.column_names:
        return tuple(runs(is_incident))
    event = np.where(is_incident, whole_numbers(path, table, "event"), 0)
    rows = (np.flatnonzero(is_incident & (event == number)) for number in np.unique(event[is_incident]))
    return tuple(sorted((int(row[0]), int(row[-1]) + 1) for row in rows))
