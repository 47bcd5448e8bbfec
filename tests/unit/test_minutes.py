"""Minutes of a window against a plain loop over its samples, and the quantile tables made of minutes."""

import math
from array import array
from typing import Any, Final

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iops.minutes import LEVELS, SERIES, minutes_of, pool_tables, quantile_table
from iops.telemetry import CHANNELS, Window, empty_window
from iops.telemetry import CHANNELS as FIELDS
from tests.unit.builders import examples

MINUTE_MS: Final = 60_000
END_MINUTE: Final = 29_923_360
NULLABLE: Final = ("read_await_ms", "write_await_ms", "latency_p95_ms", "latency_p99_ms", "io_errors")


def a_window_of(rows: dict[int, dict[str, float]]) -> Window:
    """Samples by instant (ms)."""
    instants = sorted(rows)
    columns = {
        channel.name: array("d", (rows[at].get(channel.name, _usual(channel.name)) for at in instants))
        for channel in CHANNELS
    }
    return Window(array("q", instants), columns)


def _usual(name: str) -> float:
    return math.nan if name in NULLABLE else 1.0 if name == "interval_s" else 0.0


def a_random_window(seed: int, interval_s: int, count: int, gap_ratio: float) -> Window:
    """Samples every `interval_s` that end at END_MINUTE, with gaps and nulls."""
    rng = np.random.default_rng(seed)
    rows: dict[int, dict[str, float]] = {}
    for index in range(count):
        if rng.random() < gap_ratio:
            continue
        row = {channel.name: float(rng.integers(0, 50)) for channel in CHANNELS}
        row["interval_s"] = interval_s
        row |= {name: math.nan for name in NULLABLE if rng.random() < 0.4}
        if rng.random() < 0.3:
            row |= {"read_iops": 0.0, "read_await_ms": math.nan}
        if rng.random() < 0.1:
            row |= {"write_iops": 0.0, "write_await_ms": math.nan}
        rows[END_MINUTE * MINUTE_MS - index * interval_s * 1000] = row
    return a_window_of(rows)


def naive_minutes(window: Window, end_minute: int, count: int) -> list[list[float]]:
    """The definition, sample by sample."""
    made = []
    for minute in range(end_minute - count, end_minute):
        places = [i for i, at in enumerate(window.at_ms) if minute * MINUTE_MS < at <= (minute + 1) * MINUTE_MS]
        made.append(_naive_minute([{name: column[i] for name, column in window.columns.items()} for i in places]))
    return made


def _naive_minute(samples: list[dict[str, float]]) -> list[float]:
    if not samples:
        return [math.nan] * len(SERIES)

    def mean(name: str) -> float:
        steps = next(field.steps_per_unit for field in FIELDS if field.name == name)
        return round(sum(sample[name] for sample in samples) / len(samples) * steps) / steps

    completions = mean("read_iops") + mean("write_iops")
    waited = timed = 0.0
    for sample in samples:
        for direction in ("read", "write"):
            if not math.isnan(sample[f"{direction}_await_ms"]):
                waited += sample[f"{direction}_await_ms"] * sample[f"{direction}_iops"]
                timed += sample[f"{direction}_iops"]
    tails = [sample["latency_p99_ms"] for sample in samples if not math.isnan(sample["latency_p99_ms"])]
    found = {
        **{
            name: mean(name)
            for name in (
                "queue_depth",
                "read_iops",
                "read_bytes_s",
                "utilization_ratio",
                "write_iops",
                "write_bytes_s",
            )
        },
        "service_ms": 1000 * mean("utilization_ratio") / completions if completions else math.nan,
        "await_ms": waited / timed if timed else math.nan,
        "latency_p99_ms": sum(tails) / len(tails) if tails else math.nan,
        "troubled": sum(
            sample["io_errors"] > 0 or (sample["in_flight"] > 0 and sample["read_iops"] + sample["write_iops"] == 0)
            for sample in samples
        ),
    }
    return [found[name] for name in SERIES]


@settings(max_examples=examples(60), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    interval_s=st.sampled_from([1, 2, 7, 60, 90]),
    count=st.integers(0, 200),
    gap_ratio=st.sampled_from([0.0, 0.1, 0.9]),
    minutes=st.integers(1, 6),
    shift=st.integers(-3, 3),
)
@example(seed=1, interval_s=2, count=1, gap_ratio=0.0, minutes=1, shift=0)
def test_minutes_are_what_a_plain_loop_finds(
    seed: int, interval_s: int, count: int, gap_ratio: float, minutes: int, shift: int
) -> None:
    window = a_random_window(seed, interval_s, count, gap_ratio)
    end_minute = END_MINUTE + shift

    made = minutes_of(window, end_minute=end_minute, count=minutes)

    np.testing.assert_allclose(made, naive_minutes(window, end_minute, minutes), rtol=1e-7)


def minute_of(*samples: dict[str, Any]) -> dict[str, float]:
    """The minute of some samples at its end."""
    begin_ms = (END_MINUTE - 1) * MINUTE_MS
    window = a_window_of({begin_ms + 1 + place: sample for place, sample in enumerate(samples)})
    return dict(zip(SERIES, minutes_of(window, end_minute=END_MINUTE, count=1)[0].tolist(), strict=True))


def test_a_sample_at_a_full_minute_belongs_to_the_minute_that_ends_there() -> None:
    window = a_window_of({END_MINUTE * MINUTE_MS: {"queue_depth": 4.0}, END_MINUTE * MINUTE_MS + 1: {}})

    made = minutes_of(window, end_minute=END_MINUTE + 1, count=2)

    assert made[:, 0].tolist() == [4.0, 0.0]


def test_await_is_weighed_by_requests_of_both_directions() -> None:
    minute = minute_of(
        {"read_iops": 30.0, "read_await_ms": 1.0, "write_iops": 10.0, "write_await_ms": 5.0},
        {"read_iops": 60.0},  # nobody measured its await
    )

    assert minute["await_ms"] == 2.0
    assert minute["read_iops"] == 45.0


def test_an_idle_minute_has_neither_await_nor_service_time() -> None:
    minute = minute_of({"utilization_ratio": 0.5}, {})

    assert math.isnan(minute["await_ms"])
    assert math.isnan(minute["service_ms"])
    assert minute["utilization_ratio"] == 0.25
    assert minute["troubled"] == 0


def test_service_time_is_busy_time_over_completions() -> None:
    assert minute_of({"utilization_ratio": 0.5, "read_iops": 200.0, "write_iops": 50.0})["service_ms"] == 2.0


def test_errors_and_stalls_are_trouble_and_an_idle_disk_is_not() -> None:
    assert minute_of({"io_errors": 3.0, "read_iops": 9.0}, {"in_flight": 1.0}, {"io_errors": 0.0}, {})["troubled"] == 2


def test_no_samples_are_minutes_of_nulls() -> None:
    assert np.isnan(minutes_of(empty_window(), end_minute=END_MINUTE, count=3)).all()


def test_a_table_of_less_than_an_hour_says_nothing() -> None:
    assert np.isnan(quantile_table(np.ones((59, 2)))).all()
    assert np.isnan(quantile_table(np.ones((0, 2)))).all()
    assert quantile_table(np.ones((60, 2))).tolist() == [[1.0] * 11] * 2


@settings(max_examples=examples(40), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(60, 200), null_ratio=st.sampled_from([0.0, 0.3]))
def test_a_table_holds_the_quantiles_of_what_is_known(seed: int, rows: int, null_ratio: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 3))
    values[rng.random(values.shape) < null_ratio] = np.nan

    table = quantile_table(values)

    for index in range(3):
        known = values[np.isfinite(values[:, index]), index]
        expected = np.quantile(known, LEVELS) if len(known) >= 60 else np.full(11, np.nan)
        np.testing.assert_allclose(table[index], expected, atol=1e-12)


def test_a_pool_of_one_table_is_that_table_and_of_equal_ones_nearly_so() -> None:
    table = quantile_table(np.arange(101.0)[:, np.newaxis])

    assert np.array_equal(pool_tables([table]), table)
    np.testing.assert_allclose(pool_tables([table] * 7), table, atol=1.0)


def test_a_pool_has_the_extremes_of_all_and_passes_over_who_knows_nothing() -> None:
    low, high = (quantile_table(begin + np.arange(101.0)[:, np.newaxis]) for begin in (0.0, 1000.0))

    pooled = pool_tables([low, np.full_like(low, np.nan), high])[0]

    assert (pooled[0], pooled[-1]) == (0.0, 1100.0)
    assert 100 < pooled[LEVELS.index(0.5)] < 1000
    assert np.isnan(pool_tables([np.full_like(low, np.nan)] * 2)).all()
