"""Labelled windows of simulated hosts, as Parquet: one row is one disk at one minute, with what the model is given.

A third are of faults, all kinds alike, and only of such as a caller can feel (see `Simulated.is_felt`). The others are
of ordinary time, of the faulty disks' peers at the same minute, and of every event that looks alarming and is benign.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.random import Generator
from numpy.typing import NDArray
from pyarrow import fs
from rich.progress import track

from iops.features import FEATURE_SET_ID, HOUR, NAMES, matrix, state_of
from iops.risk import KINDS
from ml.episodes import BENIGN, EVENTS, KIND_OF, Event
from ml.hosts import DAY, Host, tables_of
from ml.minutes import Simulated, simulate_host
from ml.source import UnreadableData

FILE: Final = "windows.parquet"
MINUTES: Final = 8 * DAY  # of a host: a week of past, and a day
LEAST_PAST: Final = 3 * HOUR  # minutes; with less, no model speaks
PER_HOST: Final = 32  # windows; more would be of the same disks again
FAULT_SHARE: Final = 1 / 3
MOST_FAULTS: Final = 0.8  # of the windows of one host
BENIGN_SHARE: Final = 0.4  # of the windows without a fault
PEER_SHARE: Final = 0.2
COLUMNS: Final = {
    "host": (pa.string(), "name of the simulated host: split by it, its disks know of one another"),
    "disk": (pa.string(), "name of the disk"),
    "minute": (pa.int64(), "the window's last minute, counted as minutes since 1970"),
    "incident": (pa.int8(), "1 where a fault is injected, else 0"),
    "kind": (pa.string(), "the prediction type that the fault is; null where there is none"),
    "event": (pa.string(), "what was injected, benign events included; `ordinary` where nothing was"),
    "severity": (pa.float32(), "ln(await / await without the fault), as a caller feels it; 0 without a fault"),
    **{name: (pa.float32(), "feature, null where it cannot be known") for name in NAMES},
}
SCHEMA: Final = pa.schema(
    [pa.field(name, kind, metadata={"description": text}) for name, (kind, text) in COLUMNS.items()],
    metadata={"feature_set_id": FEATURE_SET_ID},
)


def simulate(
    out: Annotated[str, typer.Argument(help="Folder, or s3://bucket/prefix, for windows.parquet.")],
    windows: Annotated[int, typer.Option(min=1, help="How many labelled windows.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same windows.")] = 7,
) -> None:
    """Simulate hosts with faults and write labelled windows of them."""
    if not out:
        raise typer.BadParameter("a folder or s3://bucket/prefix is wanted")
    try:
        filesystem, folder = _place(out)
    except OSError as error:
        raise UnreadableData(f"{out}: cannot be written: {error}") from error
    path, drawn, began_s = f"{folder}/{FILE}", Drawn(), time.perf_counter()
    try:
        with pq.ParquetWriter(f"{path}.part", SCHEMA, filesystem=filesystem) as writer:
            for table in track(_tables(windows, seed, drawn), "Simulating", total=-(-windows // PER_HOST)):
                writer.write_table(table)
    except BaseException:  # also an interrupt: a file that looks whole and is not misleads whoever trains
        filesystem.delete_file(f"{path}.part")
        raise
    filesystem.move(f"{path}.part", path)
    taken_s = time.perf_counter() - began_s
    typer.echo(f"{windows:,} windows in {taken_s:.0f} s, {windows / taken_s:.0f}/s, {drawn.faults:,} of them of faults")
    typer.echo(", ".join(f"{event} {count:,}" for event, count in drawn.events.most_common()))


def _tables(windows: int, seed: int, drawn: Drawn) -> Iterator[pa.Table]:
    for index in range(-(-windows // PER_HOST)):
        simulated = simulate_host(seed=seed, index=index, minutes=MINUTES)
        rng = np.random.default_rng((seed, index, MINUTES))
        yield windows_of(simulated, drawn, min(PER_HOST, windows - drawn.windows), rng)


def _place(out: str) -> tuple[fs.FileSystem, str]:
    """Where to write; the credentials and the endpoint of a bucket are those of the usual AWS environment."""
    if out.startswith("s3://"):
        filesystem, folder = fs.FileSystem.from_uri(out.rstrip("/"))
        return filesystem, folder
    Path(out).mkdir(parents=True, exist_ok=True)
    return fs.LocalFileSystem(), out


@dataclass(slots=True)
class Drawn:
    """How many windows of each event there are so far, so that the rarest comes next."""

    events: Counter[Event] = field(default_factory=Counter)

    @property
    def windows(self) -> int:
        return self.events.total()

    @property
    def faults(self) -> int:
        return sum(self.events[event] for event in KIND_OF)


def windows_of(simulated: Simulated, drawn: Drawn, count: int, rng: Generator) -> pa.Table:
    """`count` windows of a host as a table of SCHEMA; what is drawn is counted."""
    host = simulated.host
    row, disk = np.array(_draw(simulated, drawn, count, rng)).T
    kinds = [KINDS[kind].value if kind >= 0 else None for kind in host.kind[row, disk].tolist()]
    features = features_at(host, row)[np.arange(count), disk]
    columns = [
        pa.array([host.name] * count),
        pa.array([host.disks[each] for each in disk]),
        pa.array(host.minute[row]),
        pa.array(host.incident[row, disk]),
        pa.array(kinds, pa.string()),
        pa.array([EVENTS[event].value for event in simulated.event[row, disk]]),
        pa.array(host.severity[row, disk]),
        *(pa.array(column, from_pandas=True) for column in features.T.copy()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def features_at(host: Host, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """[row, disk, feature] of some of a host's minutes, without computing all the others."""
    hours, day, week = tables_of(host, np.unique(host.minute[rows] // HOUR))
    found = np.empty((len(rows), len(host.disks), len(NAMES)), np.float32)
    for place, row in enumerate(rows):
        last = host.minute[row]
        first = np.searchsorted(host.minute, last - HOUR + 1)
        dense = np.full((HOUR, *host.values.shape[1:]), np.nan)
        dense[host.minute[first : row + 1] - last + HOUR - 1] = host.values[first : row + 1]
        hour = np.searchsorted(hours, last // HOUR)
        found[place] = matrix(state_of(dense, day[hour], week[hour]))[0]
    return found


def _draw(simulated: Simulated, drawn: Drawn, count: int, rng: Generator) -> list[tuple[int, int]]:
    """(row, disk) of `count` windows."""
    is_late = np.arange(len(simulated.event))[:, np.newaxis] >= LEAST_PAST
    felt = np.where(simulated.is_felt & is_late, simulated.event, 0)
    lacking = round(FAULT_SHARE * (drawn.windows + count)) - drawn.faults
    faults = list(_rarest(felt, tuple(KIND_OF), drawn, int(np.clip(lacking, 0, MOST_FAULTS * count)), rng))
    healthy = np.where(is_late & (simulated.host.incident == 0), simulated.event, -1)
    rest = count - len(faults)
    benign = list(_rarest(healthy, BENIGN, drawn, round(BENIGN_SHARE * rest), rng))
    peers = _peers(healthy, faults, round(PEER_SHARE * rest), rng)
    ordinary = np.argwhere(healthy == EVENTS.index(Event.ORDINARY))
    chosen = ordinary[rng.integers(len(ordinary), size=rest - len(benign) - len(peers))].tolist()
    for row, disk in peers + chosen:
        drawn.events[EVENTS[simulated.event[row, disk]]] += 1
    return sorted([*faults, *benign, *peers, *map(tuple, chosen)])


def _rarest(
    event: NDArray[np.int8], wanted: Sequence[Event], drawn: Drawn, count: int, rng: Generator
) -> Iterator[tuple[int, int]]:
    """Places of those of the wanted events that there are, the one drawn least so far first."""
    places = {each: np.argwhere(event == EVENTS.index(each)) for each in wanted}
    there = [each for each in wanted if len(places[each])]
    for _ in range(count if there else 0):
        least = min(there, key=lambda each: drawn.events[each])
        drawn.events[least] += 1
        row, disk = places[least][rng.integers(len(places[least]))].tolist()
        yield row, disk


def _peers(
    event: NDArray[np.int8], faults: Sequence[tuple[int, int]], count: int, rng: Generator
) -> list[tuple[int, int]]:
    """Healthy disks beside a faulty one, at the same minute."""
    beside = [(row, disk) for row, _ in faults for disk in np.flatnonzero(event[row] >= 0).tolist()]
    return [beside[place] for place in rng.choice(len(beside), min(count, len(beside)), replace=False)]
