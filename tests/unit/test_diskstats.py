"""/proc/diskstats: every kernel's columns, and the formulas against numbers one can do in the head."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.diskstats import Counters, parse_diskstats, sample_between
from iops.telemetry import Sample

AT = datetime(2026, 11, 23, 2, 39, 0, 123_987, tzinfo=UTC)
RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "fio"
RAW_NAMES = [  # of the recordings, in the kernel's order
    *("rd_ios", "rd_merges", "rd_sectors", "rd_ms", "wr_ios", "wr_merges", "wr_sectors", "wr_ms"),
    *("in_flight", "io_ms", "weighted_ms"),
]


def some_counters(**changes: int) -> Counters:
    return replace(Counters(**{field.name: 1000 for field in fields(Counters)}), **{"in_flight": 0, **changes})


def sample_after(*, dt_s: float = 1.0, **changes: int) -> Sample | None:
    return sample_between(some_counters(), some_counters(**changes), dt_s=dt_s, at=AT)


@pytest.mark.parametrize(
    ("more", "others"), [("", 0), (" 21 2 3 4", 21), (" 21 2 3 4 5 6", 26), (" 21 2 3 4 5 6 7 8", 26)]
)
def test_lines_of_every_kernel_are_read(more: str, others: int) -> None:
    counters = parse_diskstats(f" 259  0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11{more}\n")

    assert counters == {"nvme0n1": Counters(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, others)}


def test_discards_in_flight_are_no_stall() -> None:
    trimming = sample_after(others=1500, in_flight=8)
    writing_too = sample_after(others=1500, writes=1010, in_flight=8)
    hanging = sample_after(in_flight=8)

    assert trimming is not None
    assert writing_too is not None
    assert hanging is not None
    assert (trimming.in_flight, writing_too.in_flight, hanging.in_flight) == (0, 8, 8)


def test_short_lines_of_old_partitions_are_skipped() -> None:
    assert parse_diskstats("8 1 sda1 10 20 30 40\n\n") == {}


def test_rates_are_differences_over_the_interval() -> None:
    sample = sample_after(dt_s=2.0, reads=1400, sectors_read=4200, read_ms=1100, busy_ms=1500, weighted_ms=5000)

    assert sample is not None
    assert (sample.read_iops, sample.read_bytes_s, sample.read_await_ms) == (200.0, 819_200.0, 0.25)
    assert (sample.queue_depth, sample.utilization_ratio, sample.interval_s) == (2.0, 0.25, 2.0)


def test_an_await_is_null_where_nothing_completed() -> None:
    sample = sample_after(writes=1010, write_ms=1020)

    assert sample is not None
    assert (sample.read_await_ms, sample.write_await_ms) == (None, 2.0)
    assert (sample.latency_p99_ms, sample.io_errors) == (None, None)


def test_the_instant_is_truncated_to_milliseconds() -> None:
    sample = sample_after()

    assert sample is not None
    assert sample.at == datetime(2026, 11, 23, 2, 39, 0, 123_000, tzinfo=UTC)


def test_more_than_the_whole_interval_busy_is_fully_busy() -> None:
    sample = sample_after(busy_ms=2004)

    assert sample is not None
    assert sample.utilization_ratio == 1.0


@pytest.mark.parametrize("name", [field.name for field in fields(Counters) if field.name != "in_flight"])
def test_a_counter_that_went_back_drops_the_interval(name: str) -> None:
    assert sample_after(**{name: 999}) is None


def test_fewer_requests_in_flight_than_before_is_no_reset() -> None:
    before, after = replace(some_counters(), in_flight=9), some_counters()

    assert sample_between(before, after, dt_s=1.0, at=AT) is not None


def test_an_old_kernels_minus_one_in_flight_drops_the_interval() -> None:
    assert sample_between(some_counters(), replace(some_counters(), in_flight=2**32 - 1), dt_s=1.0, at=AT) is None


def test_a_request_that_hung_for_hours_is_said_to_have_taken_the_contracts_largest_await() -> None:
    sample = sample_after(reads=1001, read_ms=9_000_000)

    assert sample is not None
    assert sample.read_await_ms == 3_600_000


def test_no_time_between_two_readings_is_no_interval() -> None:
    assert sample_after(dt_s=0.0) is None


@pytest.mark.parametrize("run", ["fio_mix", "fio_faults"])
def test_a_real_device_reads_as_an_independent_derivation_of_its_counters_does(run: str) -> None:
    if not RECORDED.is_dir():
        pytest.skip(f"no recordings of a real device at {RECORDED}: they are not part of this repository")
    expected = {(row["device"], row["unix_ms"]): row for row in _read_rows(f"{run}_derived_1hz.csv.gz")}
    compared = 0
    for key, sample in _recorded_samples(f"{run}_diskstats_1hz.csv.gz"):
        if key in expected:
            _assert_alike(sample, expected[key])
            compared += 1
    assert compared > 500


def _recorded_samples(name: str) -> Iterator[tuple[tuple[str, str], Sample]]:
    before: dict[str, tuple[int, Counters]] = {}
    for row in _read_rows(name):
        device, at_ms = row["device"], int(row["unix_ms"])
        line = f"254 0 {device} " + " ".join(row[column] for column in RAW_NAMES)
        after = parse_diskstats(line)[device]
        if device in before:
            dt_s = (at_ms - before[device][0]) / 1000
            sample = sample_between(before[device][1], after, dt_s=dt_s, at=AT)
            assert sample is not None
            yield (device, row["unix_ms"]), sample
        before[device] = (at_ms, after)


def _assert_alike(sample: Sample, row: dict[str, str]) -> None:
    close = pytest.approx  # both sides are rounded
    assert sample.read_iops == close(float(row["r_iops"]), abs=0.06)
    assert sample.write_iops == close(float(row["w_iops"]), abs=0.06)
    assert sample.read_bytes_s == close(float(row["r_bytes_s"]), rel=1e-4, abs=1)
    assert sample.queue_depth == close(float(row["aqu_sz"]), abs=0.001)
    assert sample.utilization_ratio == close(float(row["util"]), abs=0.001)
    for mine, theirs in ((sample.read_await_ms, row["r_await_ms"]), (sample.write_await_ms, row["w_await_ms"])):
        assert mine == (close(float(theirs), abs=0.001) if theirs else None)


def _read_rows(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(RECORDED / name, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
