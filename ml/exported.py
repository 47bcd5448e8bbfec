"""What `ml export` leaves behind: a Parquet file of minutes per day and peer group, and one of labels.

    <folder>/minutes/day=2026-11-23/<peer group>.parquet     stream_id, minute (since 1970), SERIES; NaN where null
    <folder>/labels.parquet                                  stream_id, from_minute, to_minute (last), incident, kind

A file appears under its name only when it is whole. Labels are joined when the minutes are read, so that feedback of
after the export counts too. A folder may be an s3:// address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any, Final
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import fs

from iops.minutes import SERIES
from ml.hosts import UNKNOWN, Host

LABELS_FILE: Final = "labels.parquet"
SUFFIX: Final = ".parquet"
UNFINISHED: Final = ".part"  # what a killed run leaves, written over by the next
# What of its day a file covers, in minutes since 1970, the last one excluded.
FROM_KEY, TO_KEY = b"iops_from_minute", b"iops_to_minute"
SCHEMA: Final = pa.schema(
    [("stream_id", pa.string()), ("minute", pa.int64()), *((name, pa.float32()) for name in SERIES)]
)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Label:
    """What an operator's word says of some minutes of a stream, both ends included."""

    stream_id: str
    from_minute: int
    to_minute: int
    incident: int  # 1 or 0
    kind: int  # place in iops.risk.KINDS, or UNKNOWN


class Folder:
    """Where an export goes and is read again."""

    def __init__(self, address: str) -> None:
        """A path, or an s3:// address with the usual AWS environment (or `?endpoint_override=`) behind it."""
        self._files: Any = fs.LocalFileSystem()
        self._root = address
        if "://" in address:
            self._files, self._root = fs.FileSystem.from_uri(address)

    def has(self, day: date, peer_group: str, *, from_minute: int, to_minute: int) -> bool:
        """These minutes of a group's day are there already."""
        path = self._minutes_path(day, peer_group)
        if self._files.get_file_info(path).type != fs.FileType.File:
            return False
        known = pq.read_schema(path, filesystem=self._files).metadata or {}
        return int(known.get(FROM_KEY, to_minute)) <= from_minute and int(known.get(TO_KEY, 0)) >= to_minute

    def write(
        self, day: date, peer_group: str, minutes: Mapping[str, Values], *, from_minute: int, to_minute: int
    ) -> None:
        """A group's day: [minute, one of SERIES] by stream; minutes of which nothing is known are left out."""
        parts = [_rows(stream_id, values, from_minute) for stream_id, values in sorted(minutes.items())]
        table = pa.concat_tables([SCHEMA.empty_table(), *parts])
        covered = {FROM_KEY: str(from_minute), TO_KEY: str(to_minute)}
        self._write(table.replace_schema_metadata(covered), self._minutes_path(day, peer_group))

    def write_labels(self, labels: Iterable[Label]) -> None:
        """All labels, in place of those of the last run."""
        columns = [
            pa.field(part.name, pa.string() if part.name == "stream_id" else pa.int64()) for part in fields(Label)
        ]
        self._write(
            pa.Table.from_pylist([asdict(label) for label in labels], pa.schema(columns)), self._path(LABELS_FILE)
        )

    def labels(self) -> list[Label]:
        """Those of the last run; none where there was none."""
        path = self._path(LABELS_FILE)
        if self._files.get_file_info(path).type != fs.FileType.File:
            return []
        return [Label(**row) for row in pq.read_table(path, filesystem=self._files).to_pylist()]

    def groups(self) -> dict[str, list[str]]:
        """The files of each peer group, oldest day first."""
        found: dict[str, list[str]] = {}
        everything = fs.FileSelector(self._path("minutes"), recursive=True, allow_not_found=True)
        for path in sorted(info.path for info in self._files.get_file_info(everything)):
            if path.endswith(SUFFIX):
                found.setdefault(unquote(path.rpartition("/")[2].removesuffix(SUFFIX)), []).append(path)
        return found

    def read(self, paths: Sequence[str]) -> pa.Table:
        """Files that `groups` named, as one."""
        return pa.concat_tables(
            [pq.read_table(path, schema=SCHEMA, filesystem=self._files, partitioning=None) for path in paths]
        )

    def _write(self, table: pa.Table, path: str) -> None:
        self._files.create_dir(path.rpartition("/")[0], recursive=True)
        pq.write_table(table, path + UNFINISHED, filesystem=self._files, compression="zstd")
        self._files.move(path + UNFINISHED, path)

    def _minutes_path(self, day: date, peer_group: str) -> str:
        return self._path(f"minutes/day={day.isoformat()}/{quote(peer_group, safe='')}{SUFFIX}")

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


def exported_hosts(folder: str) -> Iterator[Host]:
    """Each peer group of an export with its labels, one in memory at a time (24 disks of 90 days are 250 MB)."""
    source = Folder(folder)
    labels: dict[str, list[Label]] = {}
    for label in source.labels():
        labels.setdefault(label.stream_id, []).append(label)
    for peer_group, paths in source.groups().items():
        table = source.read(paths)
        if len(table):
            yield _host(peer_group, table, labels)


def _host(peer_group: str, table: pa.Table, labels: Mapping[str, Sequence[Label]]) -> Host:
    minute, row = np.unique(table["minute"].to_numpy(), return_inverse=True)
    disks, disk = np.unique(table["stream_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    shape = (len(minute), len(disks))
    values = np.full((*shape, len(SERIES)), np.nan, np.float32)
    for place, name in enumerate(SERIES):
        values[row, disk, place] = table[name].to_numpy()
    incident, kind = (np.full(shape, UNKNOWN, np.int8) for _ in range(2))
    for column, stream_id in enumerate(disks.tolist()):
        # A confirmed incident outweighs a dismissed finding of the same minutes.
        for label in sorted(labels.get(stream_id, ()), key=lambda label: label.incident):
            first, last = np.searchsorted(minute, (label.from_minute, label.to_minute + 1))
            incident[first:last, column], kind[first:last, column] = label.incident, label.kind
    return Host(
        name=peer_group,
        disks=tuple(disks.tolist()),
        minute=minute,
        values=values,
        incident=incident,
        kind=kind,
        severity=np.full(shape, np.nan, np.float32),
    )


def _rows(stream_id: str, values: Values, from_minute: int) -> pa.Table:
    known = np.flatnonzero(np.isfinite(values).any(axis=1))
    columns: list[Any] = [pa.array([stream_id] * len(known), pa.string()), pa.array(from_minute + known, pa.int64())]
    columns += [pa.array(values[known, place], pa.float32()) for place in range(len(SERIES))]
    return pa.table(columns, schema=SCHEMA)
