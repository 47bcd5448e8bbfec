"""Real telemetry as windows: the `*_derived_1hz.csv.gz` of a recording; where there is none, the demo fleet's."""

from __future__ import annotations

import csv
import gzip
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from bench.bodies import fleet_of, samples_of
from iops.telemetry import CHANNELS, NAN, Window, window_from_samples

DEMO_STREAMS: Final = 20
DEMO_SAMPLES: Final = 1_200
# A recording's columns: twelve of the contract's fields; nobody counted I/O errors.
COLUMNS: Final = {
    "interval_s": "dt_s",
    "read_iops": "r_iops",
    "write_iops": "w_iops",
    "read_bytes_s": "r_bytes_s",
    "write_bytes_s": "w_bytes_s",
    "read_await_ms": "r_await_ms",
    "write_await_ms": "w_await_ms",
    "queue_depth": "aqu_sz",
    "utilization_ratio": "util",
    "in_flight": "in_flight",
    "latency_p95_ms": "fio_p95_ms",
    "latency_p99_ms": "fio_p99_ms",
}


def load_windows(data_dir: Path) -> tuple[str, list[Window]]:
    """Where the windows are from, and one for each device of each recording in `data_dir`."""
    paths = sorted(data_dir.glob("*_derived_1hz.csv.gz"))
    if not paths:
        fleet = fleet_of(DEMO_STREAMS, name="size")
        return "demo fleet", [window_from_samples(samples_of(stream, DEMO_SAMPLES)) for stream in fleet]
    return data_dir.name, [window for path in paths for window in _read(path)]


def without_percentiles(window: Window) -> Window:
    """What an agent could have told: the kernel's counters know no percentiles."""
    nothing = array("d", [NAN]) * len(window)
    return Window(window.at_ms, window.columns | {"latency_p95_ms": nothing, "latency_p99_ms": nothing})


def _read(path: Path) -> Iterable[Window]:
    by_device: dict[str, list[dict[str, str]]] = {}
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            by_device.setdefault(row["device"], []).append(row)
    return [rows_to_window(rows) for rows in by_device.values()]


def rows_to_window(rows: Iterable[Mapping[str, str]]) -> Window:
    """Rows of one device, oldest first; an empty field is a null."""
    rows = list(rows)
    columns = {channel.name: array("d", [NAN]) * len(rows) for channel in CHANNELS}
    for name, column in COLUMNS.items():
        columns[name] = array("d", (float(row[column]) if row[column] else NAN for row in rows))
    return Window(array("q", (int(row["unix_ms"]) for row in rows)), columns)
