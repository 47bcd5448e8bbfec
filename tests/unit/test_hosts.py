"""The features of a host's minutes: from earlier minutes only, and the very ones that serving computes."""

from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from iops.features import HOUR, NAMES, matrix, state_of
from iops.minutes import SERIES, quantile_table
from ml.hosts import DAY, UNKNOWN, Host, features_of, tables_of

# Holes: of 3 minutes, of exactly an hour, of more than an hour, of a day and a half.
RUNS: Final = ((1_000_030, 400), (1_000_433, 90), (1_000_583, 150), (1_000_800, 70), (1_003_100, 100))
MINUTES: Final = np.concatenate([np.arange(begin, begin + count) for begin, count in RUNS])


def a_host(minute: NDArray[np.int64] = MINUTES, *, disks: int = 4, seed: int = 1) -> Host:
    """Disks with some nulls, one of which has no tail."""
    rng = np.random.default_rng(seed)
    shape = (len(minute), disks)
    values = rng.lognormal(1, 1, (*shape, len(SERIES))).astype(np.float32)
    values[..., -1] = rng.random(shape) < 0.01
    values[rng.random(values.shape) < 0.05] = np.nan
    values[:, 0, -2] = np.nan
    return Host(
        name="web-1",
        disks=tuple(f"disk{disk}" for disk in range(disks)),
        minute=minute.astype(np.int64),
        values=values,
        incident=np.full(shape, UNKNOWN, np.int8),
        kind=np.full(shape, UNKNOWN, np.int8),
        severity=np.full(shape, np.nan, np.float32),
    )


def first(host: Host, count: int) -> Host:
    """The host as it was after so many rows."""
    return Host(
        host.name,
        host.disks,
        host.minute[:count],
        host.values[:count],
        host.incident[:count],
        host.kind[:count],
        host.severity[:count],
    )


@pytest.fixture(scope="module")
def host() -> Host:
    return a_host()


@pytest.fixture(scope="module")
def features(host: Host) -> NDArray[np.float32]:
    return features_of(host)


@pytest.mark.parametrize("count", [1, 59, 180, 401, 640, 811])
def test_a_host_that_was_cut_off_has_the_same_features_so_far(
    count: int, host: Host, features: NDArray[np.float32]
) -> None:
    assert np.array_equal(features_of(first(host, count)), features[:count], equal_nan=True)


@pytest.mark.parametrize("row", [0, 58, 59, 200, 399, 400, 430, 490, 495, 560, 640, 645, 709, 710, 809])
def test_an_hour_of_minutes_and_its_tables_give_what_training_gave(
    row: int, host: Host, features: NDArray[np.float32]
) -> None:
    at = int(host.minute[row])
    hour_of_minutes = np.full((HOUR, len(host.disks), len(SERIES)), np.nan)
    within = (host.minute > at - HOUR) & (host.minute <= at)
    hour_of_minutes[host.minute[within] - (at - HOUR + 1)] = host.values[within]
    hours, day, week = tables_of(host)
    (place,) = np.flatnonzero(hours == at // HOUR)

    served = matrix(state_of(hour_of_minutes, day[place], week[place]))[-1]

    np.testing.assert_allclose(served, features[row], atol=1e-6)


def test_features_are_known_once_an_hour_of_minutes_lies_before_the_clocks_hour(
    features: NDArray[np.float32],
) -> None:
    has_z = np.asarray(np.isfinite(features[..., NAMES.index("z_queue_depth")]).all(axis=1))

    # A table is made when an hour of the clock begins; 60 known minutes, of which some are null, need two of them.
    assert not has_z[:60].any()
    assert has_z[130:400].mean() > 0.8


def test_a_table_is_of_the_24_hours_before_the_hour(host: Host) -> None:
    hours, day, _ = tables_of(host)
    place = 5
    begin = int(hours[place]) * HOUR
    before = host.values[(host.minute >= begin - DAY) & (host.minute < begin), 2, :8].astype(float)

    assert np.array_equal(day[place, 2], quantile_table(before), equal_nan=True)


def test_after_more_than_a_day_the_day_is_unknown_and_the_week_remembers(host: Host) -> None:
    hours, day, week = tables_of(host)
    place = int(np.flatnonzero(hours == 1_003_100 // HOUR)[0])

    assert np.isnan(day[place]).all()
    assert np.isfinite(week[place]).all()


def test_the_order_of_disks_does_not_matter(host: Host, features: NDArray[np.float32]) -> None:
    order = [2, 0, 3, 1]
    shuffled = Host(
        host.name,
        tuple(host.disks[disk] for disk in order),
        host.minute,
        host.values[:, order],
        host.incident,
        host.kind,
        host.severity,
    )

    np.testing.assert_allclose(features_of(shuffled), features[:, order], atol=1e-6)
