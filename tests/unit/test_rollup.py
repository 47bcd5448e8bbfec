"""An hour as minutes: numbers one can do in the head, the way to bytes and back, and what damage does."""

from array import array
from collections.abc import Callable
from dataclasses import astuple
from datetime import timedelta
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iops import columns, rollup
from iops.baseline import minutes_of
from iops.errors import DamagedRollup
from iops.rollup import HOUR_MS, Rollup, merge_rollups, roll_up
from iops.telemetry import CHANNELS, NAN, Channel, Window, empty_window, merge_windows, window_from_samples
from tests.unit.builders import AT, AT_MS, a_sample, a_window, examples

SECOND = timedelta(seconds=1)


def test_means_are_weighted_by_time() -> None:
    rows = roll_up(
        window_from_samples(
            [
                a_sample(at=AT + SECOND, interval_s=1.0, read_iops=100.0, queue_depth=1.0),
                a_sample(at=AT + 4 * SECOND, interval_s=3.0, read_iops=20.0, queue_depth=5.0),
            ]
        )
    )

    assert len(rows) == 1
    assert rows.mean["read_iops"][0] == 40.0  # (100 * 1 + 20 * 3) / 4
    assert rows.mean["queue_depth"][0] == 4.0  # (1 + 15) / 4
    assert (rows.maximum["read_iops"][0], rows.maximum["queue_depth"][0]) == (100.0, 5.0)


def test_an_await_is_weighted_by_the_requests_that_waited() -> None:
    rows = roll_up(
        window_from_samples(
            [
                a_sample(at=AT + SECOND, read_iops=90.0, read_await_ms=1.0),
                a_sample(at=AT + 2 * SECOND, read_iops=10.0, read_await_ms=11.0),
                a_sample(at=AT + 3 * SECOND, read_iops=500.0, read_await_ms=None),
            ]
        )
    )

    assert rows.mean["read_await_ms"][0] == 2.0  # (90 * 1 + 10 * 11) / 100
    assert rows.maximum["read_await_ms"][0] == 11.0
    assert rows.count["read_await_ms"][0] == 2
    assert rows.count["read_iops"][0] == 3


def test_time_and_errors_add_up() -> None:
    samples = [a_sample(at=AT + second * SECOND, io_errors=errors) for second, errors in enumerate([1, None, 4])]

    rows = roll_up(window_from_samples(samples))

    assert (rows.mean["interval_s"][0], rows.mean["io_errors"][0]) == (3.0, 5.0)
    assert (rows.maximum["interval_s"][0], rows.maximum["io_errors"][0], rows.count["io_errors"][0]) == (1.0, 4.0, 2.0)


def test_where_nothing_was_measured_there_is_nothing() -> None:
    rows = roll_up(a_window(60, read_iops=0.0, read_await_ms=None))

    for part in (rows.mean, rows.maximum):
        assert all(value != value for name in ("read_await_ms", "latency_p99_ms") for value in part[name])
    assert set(rows.count["read_await_ms"]) == {0.0}
    assert set(rows.mean["read_iops"]) == {0.0}


def test_requests_so_few_that_their_rate_is_0_still_have_an_await() -> None:
    samples = [a_sample(at=AT + n * SECOND, read_iops=0.0, read_await_ms=value) for n, value in enumerate([2.0, 4.0])]

    assert roll_up(window_from_samples(samples)).mean["read_await_ms"][0] == 3.0


def test_a_row_belongs_to_a_minute_of_the_clock_and_ends_with_its_last_sample() -> None:
    rows = roll_up(a_window(90, end=AT + 29 * SECOND))  # from 01:59:00 to 02:00:29

    assert list(rows.at_ms) == [AT_MS - 1_000, AT_MS + 29_000]
    assert list(rows.count["interval_s"]) == [60.0, 30.0]


def test_a_minute_without_a_sample_is_not_there() -> None:
    rows = roll_up(merge_windows([a_window(1, end=AT), a_window(1, end=AT + timedelta(minutes=5))]))

    assert list(rows.at_ms) == [AT_MS, AT_MS + 300_000]
    assert len(roll_up(empty_window())) == 0


def test_the_time_of_samples_that_overlap_stays_what_one_sample_may_say() -> None:
    window = a_window(3, interval_s=1.0)
    window.columns["interval_s"] = array("d", [3_600.0] * 3)

    assert list(roll_up(window).mean["interval_s"]) == [3_600.0, 3_600.0]


REALISTIC = {channel.name: (1.0, 1_000.0) for channel in CHANNELS} | {
    "interval_s": (0.5, 60.0),
    "read_bytes_s": (1_000.0, 1e9),
    "write_bytes_s": (1_000.0, 1e9),
    "utilization_ratio": (0.1, 1.0),
}


@st.composite
def windows(draw: st.DrawFn, *, is_realistic: bool = False) -> Window:
    """Samples of one hour with values in range, null wherever a sample may have null."""
    offsets = draw(st.lists(st.integers(0, HOUR_MS - 1), min_size=1, max_size=12, unique=True))
    at_ms = array("q", sorted(AT_MS + offset for offset in offsets))

    def values(channel: Channel) -> st.SearchStrategy[float]:
        known = st.floats(*REALISTIC[channel.name]) if is_realistic else st.floats(0.001, channel.maximum)
        is_nullable = channel.name.startswith("latency") or channel.name == "io_errors"
        is_nullable = is_nullable or (not is_realistic and channel.name.endswith("_await_ms"))
        return st.one_of(st.just(NAN), known) if is_nullable else known

    return Window(
        at_ms,
        {c.name: array("d", draw(st.lists(values(c), min_size=len(at_ms), max_size=len(at_ms)))) for c in CHANNELS},
    )


def same(one: Rollup, other: Rollup) -> bool:
    """Equal with null equal to null."""
    return repr(one) == repr(other)


@settings(max_examples=examples(60))
@given(windows())
def test_what_is_encoded_comes_back_equal(window: Window) -> None:
    rows = roll_up(window)
    encoded = rollup.encode(rows)

    assert same(rollup.decode(encoded, key="k"), rows)
    assert rollup.encode(rollup.decode(encoded, key="k")) == encoded


@settings(max_examples=examples(60))
@given(windows())
def test_a_mean_lies_between_the_extremes_and_counts_are_of_what_was_there(window: Window) -> None:
    rows = roll_up(window)

    assert sum(rows.count["interval_s"]) == len(window)
    for channel in CHANNELS:
        measured = [value for value in window[channel.name] if value == value]
        assert sum(rows.count[channel.name]) == len(measured)
        half_a_step = 0.5001 / channel.steps_per_unit
        for mean, maximum in zip(rows.mean[channel.name], rows.maximum[channel.name], strict=True):
            assert (mean == mean) == (maximum == maximum)
            if channel.name not in rollup.TOTALS and mean == mean:
                assert min(measured) - half_a_step <= mean <= maximum <= max(measured) + half_a_step


@settings(max_examples=examples(60))
@given(windows(is_realistic=True))
def test_a_minute_says_of_itself_what_its_samples_say(window: Window) -> None:
    """So that there is one definition of a minute: `iops.baseline.summarize`, of its samples or of its row."""
    for row, of_samples in zip(minutes_of(roll_up(window).mean), minutes_of(window), strict=True):
        for name, value, expected in zip(of_samples.__slots__, astuple(row), astuple(of_samples), strict=True):
            if name != "samples":
                assert value == pytest.approx(expected, rel=0.01), name


def test_a_range_of_minutes_includes_both_ends() -> None:
    rows = roll_up(a_window(600, end=AT - SECOND))

    assert len(rows) == 10
    assert len(rows.between(AT_MS - 121_000, AT_MS - 61_000)) == 2
    assert list(rows.take([0, 9]).at_ms) == [AT_MS - 541_000, AT_MS - 1_000]
    assert same(merge_rollups([rows.take([3, 4]), rows.take([0, 1])]), rows.take([0, 1, 3, 4]))


def test_an_hour_of_seconds_is_a_few_kilobytes_at_most() -> None:
    assert len(rollup.encode(roll_up(a_window(3_600, end=AT - SECOND)))) < 400


HOUR = rollup.encode(roll_up(a_window(180, end=AT - SECOND, io_errors=1)))


def damaged(data: bytes) -> str | None:
    """The error that `data` raises; None where it decodes to the same numbers."""
    try:
        rows = rollup.decode(data, key="web-1:sda rollup#1")
    except DamagedRollup as error:
        return error.detail
    assert rollup.encode(rows) == HOUR, "a damaged rollup became other numbers"
    return None


def test_no_flipped_bit_becomes_another_number() -> None:
    details = []
    for bit in range(len(HOUR) * 8):
        data = bytearray(HOUR)
        data[bit // 8] ^= 1 << bit % 8
        details.append(damaged(bytes(data)))

    assert details.count(None) <= 10  # of zstd's headers, a few bits do not matter to what comes out
    assert all(detail is None or detail.startswith("rollup web-1:sda rollup#1: ") for detail in details)


def test_every_truncation_is_an_error_that_names_the_key() -> None:
    assert all("rollup web-1:sda rollup#1" in (damaged(HOUR[:length]) or "") for length in range(len(HOUR)))


def content_of(change: Callable[[list[Any]], object]) -> bytes:
    """A sound frame of three minutes whose content is changed."""
    content = columns.unpack(HOUR, version=1, limit_bytes=100_000)
    change(content)
    return columns.pack(msgpack.packb(content), version=1)


def set_part(*path: int, to: object) -> Callable[[list[Any]], None]:
    def change(content: list[Any]) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_part(0, to=2),
        set_part(1, to=[]),
        set_part(1, to=None),
        set_part(1, 1, to=0),
        set_part(1, 1, to=1),
        set_part(1, 1, to=HOUR_MS),
        set_part(1, 0, to="now"),
        set_part(2, to=None),
        set_part(2, 1, to=[1, 2]),
        set_part(3, 1, 0, to="x"),
        set_part(4, 1, to=7),
        lambda content: content[4].append(None),
        lambda content: content.append(0),
        lambda content: content.pop(),
        lambda content: content.clear(),
    ],
)
def test_a_sound_frame_with_content_that_encode_never_writes_is_damaged(change: Callable[[list[Any]], object]) -> None:
    with pytest.raises(DamagedRollup, match="rollup the-key: "):
        rollup.decode(content_of(change), key="the-key")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x02" + HOUR[1:],
        HOUR + b"\0",
        columns.pack(b"\0" * 70_000, version=1),
        columns.pack(msgpack.packb({"a": 1}), version=1),
        columns.pack(msgpack.packb(7), version=1),
        columns.pack(b"\xc1", version=1),
    ],
)
def test_bytes_that_are_no_rollup_are_damaged(data: bytes) -> None:
    with pytest.raises(DamagedRollup, match="rollup the-key: "):
        rollup.decode(data, key="the-key")


def test_a_rollup_from_before_a_channel_existed_reads_as_null_there() -> None:
    def drop_last(content: list[Any]) -> None:
        for packed in content[2:]:
            packed.pop()

    rows = rollup.decode(content_of(drop_last), key="k")

    assert list(rows.mean["read_iops"]) == [200.0] * 3
    assert all(value != value for value in rows.mean["io_errors"])
