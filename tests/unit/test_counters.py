"""Counters become samples: resets, order, duplicates, gaps; and they are bytes and back."""

import json
import math
from itertools import pairwise

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iops.errors import DamagedChunk
from iops.telemetry import CHANNELS, Sample, row_to_dict
from services.ingest.counters import FIELDS, Counters, decode, encode, rows_to_window, sample_between
from tests.unit.builders import AT_MS
from tests.unit.door_bodies import counters_at

counts = st.integers(0, 2**53).map(float)
counters = st.builds(Counters, st.integers(0, 2**42), *[counts] * len(FIELDS))


def test_the_difference_of_two_readings_is_a_sample_by_the_formulas_of_diskstats() -> None:
    before = counters_at(AT_MS, read_ops=1_000, read_bytes=1e6, read_time_ms=500, io_time_ms=10, weighted_io_time_ms=70)
    after = counters_at(
        AT_MS + 2_000, read_ops=1_400, read_bytes=3e6, read_time_ms=900, io_time_ms=510, weighted_io_time_ms=470,
        in_flight=3,
    )  # fmt: skip

    sample = sample_between(before, after)

    assert sample is not None
    assert sample[:5] == (2.0, 200.0, 0.0, 1_000_000.0, 0.0)
    assert sample.read_await_ms == 1.0
    assert math.isnan(sample.write_await_ms)
    assert sample[7:] == (0.2, 0.25, 3)


@pytest.mark.parametrize("field", [name for name in FIELDS if name != "in_flight"])
def test_a_counter_that_went_back_makes_no_sample(field: str) -> None:
    before = counters_at(AT_MS, 1_000, **{field: 5.0})
    after = counters_at(AT_MS + 1_000, 1_001, **{field: 4.0})

    assert sample_between(before, after) is None


@pytest.mark.parametrize("dt_ms", [0, -1, -1_000, 3_600_001])
def test_no_sample_ends_before_it_begins_or_lasts_more_than_an_hour(dt_ms: int) -> None:
    assert sample_between(counters_at(AT_MS, 0), counters_at(AT_MS + dt_ms, 1)) is None


def test_a_rate_that_no_disk_has_makes_no_sample() -> None:
    assert sample_between(counters_at(AT_MS), counters_at(AT_MS + 1_000, read_bytes=2e12)) is None


@given(counters, counters)
def test_whatever_two_readings_hold_a_sample_is_one_that_the_contract_takes(before: Counters, after: Counters) -> None:
    row = sample_between(before, after)

    if row is None:
        return
    shown = row_to_dict(rows_to_window([after.at_ms], [row]), 0)
    sample = Sample.model_validate_json(json.dumps(shown))
    assert sample.interval_s == (after.at_ms - before.at_ms) / 1000


@given(st.lists(counters, min_size=2, max_size=20))
def test_samples_of_readings_in_order_never_count_more_than_the_counters_grew(readings: list[Counters]) -> None:
    ordered = [Counters(AT_MS + 1_000 * index, *reading[1:]) for index, reading in enumerate(readings)]

    made = [sample_between(before, after) for before, after in pairwise(ordered)]

    grown = sum(max(0.0, after.read_ops - before.read_ops) for before, after in pairwise(ordered))
    assert sum(row.read_iops * row.interval_s for row in made if row is not None) <= grown * (1 + 1e-9)


@given(counters)
def test_counters_survive_as_bytes(reading: Counters) -> None:
    assert decode(encode(reading), key="web-1:sda") == reading


def test_counters_take_little_beside_a_chunk() -> None:
    assert len(encode(counters_at(AT_MS, 1e6, write_bytes=1e14, read_time_ms=12.5))) < 90


@given(st.binary(max_size=60))
def test_damaged_counters_are_an_error_that_names_the_stream(data: bytes) -> None:
    try:
        decode(data, key="web-1:sda")
    except DamagedChunk as error:
        assert error.key == "web-1:sda"  # noqa: PT017 - most bytes are damaged, a few are not


@pytest.mark.parametrize("number", [-1, math.inf, math.nan, True, None, "1", 2**63])
def test_what_is_no_count_is_damage(number: object) -> None:
    numbers = [0.0] * 8
    with pytest.raises(DamagedChunk):
        decode(msgpack.packb([1, AT_MS, number, *numbers]), key="web-1:sda")


def test_a_window_of_samples_has_every_channel() -> None:
    row = sample_between(counters_at(AT_MS, 0), counters_at(AT_MS + 1_000, 1))
    assert row is not None

    window = rows_to_window([AT_MS + 1_000], [row])

    assert list(window.columns) == [channel.name for channel in CHANNELS]
    assert math.isnan(window["io_errors"][0])
