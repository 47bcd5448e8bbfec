"""Laws that every feature keeps, over all of FEATURES, so that a new one is held to them at once."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iops.features import FEATURE_SET_ID, FEATURES, NAMES, STEP_CHANNELS, mean_of_last
from iops.minutes import CHANNELS, P99, SERIES, TROUBLED
from tests.unit.builders import examples
from tests.unit.groups import a_group, a_quiet_group, column

PEER_FEATURES: Final = ("peer_ratio_median", "peer_ratio_p10", "peer_standing")
RATIOS: Final = (*PEER_FEATURES, "p99_to_await")  # of await: an offset changes them, a scale does not
# What a channel is needed for; the rest is a mean over the channels that are known.
NEEDED: Final = {
    **{channel: {f"z_{channel}"} for channel in CHANNELS},
    "latency_p99_ms": {"p99_to_await"},
    "troubled": {"errors_or_stall"},
}
for _channel in STEP_CHANNELS:
    NEEDED[_channel].add(f"step_{_channel}")
NEEDED["await_ms"].update(RATIOS)

SEEDS: Final = st.integers(0, 2**32 - 1)


def test_there_are_25_and_their_id_is_that_of_the_committed_definition() -> None:
    assert len(FEATURES) == len(set(NAMES)) == 25
    assert FEATURE_SET_ID == "2748aa32"


@settings(max_examples=examples(100), deadline=None)
@given(
    seed=SEEDS,
    disks=st.integers(1, 7),
    minutes=st.integers(1, 80),
    null_ratio=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    exponent=st.integers(-4, 9),
)
def test_each_is_finite_or_null(seed: int, disks: int, minutes: int, null_ratio: float, exponent: int) -> None:
    group = a_group(seed, disks=disks, minutes=minutes, null_ratio=null_ratio)
    # Idle times, and spikes as far from usual as a channel can be.
    factors = np.random.default_rng(seed).choice([0.0, 1.0, 10.0**exponent], group.minutes.shape)
    features = replace(group, minutes=group.minutes * factors).features(last=minutes)

    assert features.shape == (minutes, disks, len(FEATURES))
    assert features.dtype == np.float32
    assert not np.isinf(features).any()


@settings(max_examples=examples(60), deadline=None)
@given(seed=SEEDS, at=st.integers(1, 79), null_ratio=st.sampled_from([0.0, 0.3]))
def test_later_minutes_change_nothing_before(seed: int, at: int, null_ratio: float) -> None:
    group = a_group(seed, minutes=80, null_ratio=null_ratio)
    other = group.minutes.copy()
    other[at:] = np.random.default_rng(seed).choice([np.nan, 0.0, 1e12], other[at:].shape)

    changed = replace(group, minutes=other).features(last=80)

    assert np.array_equal(changed[:at], group.features(last=80)[:at], equal_nan=True)


@settings(max_examples=examples(60), deadline=None)
@given(seed=SEEDS, factor=st.sampled_from([0.25, 3.0, 1024.0]), offset=st.integers(0, 4096))
def test_scale_and_offset_of_any_channel_change_nothing_but_ratios(seed: int, factor: float, offset: int) -> None:
    group = a_group(seed, null_ratio=0.1)
    each = range(len(CHANNELS))
    changed = group
    for index in each:
        changed = changed.scaled(factor, offset * (1 + index), channels=slice(index, index + 1))
    unchanged = [index for index, name in enumerate(NAMES) if name not in RATIOS]

    np.testing.assert_allclose(changed.features()[..., unchanged], group.features()[..., unchanged], atol=1e-4)


@settings(max_examples=examples(60), deadline=None)
@given(seed=SEEDS, factor=st.sampled_from([0.001, 0.5, 3.0, 1000.0]))
def test_a_host_of_slower_disks_has_the_same_features(seed: int, factor: float) -> None:
    group = a_group(seed, null_ratio=0.1)
    changed = group.scaled(factor, 0)
    changed.minutes[..., P99] *= factor

    np.testing.assert_allclose(changed.features(), group.features(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("series", SERIES)
def test_without_a_channel_exactly_what_needs_it_is_null(series: str) -> None:
    group = a_group()
    assert np.isfinite(group.features()).all()
    index = SERIES.index(series)
    minutes, day, week = (part.copy() for part in (group.minutes, group.past_day, group.past_week))
    minutes[..., index] = np.nan
    if index < len(CHANNELS):
        day[..., index], week[..., index] = np.nan, np.nan

    features = replace(group, minutes=minutes, past_day=day, past_week=week).features()

    assert {name for name in NAMES if np.isnan(column(features, name)).all()} == NEEDED[series]
    assert {name for name in NAMES if np.isnan(column(features, name)).any()} == NEEDED[series]


def test_a_mean_is_that_of_the_channels_that_are_known() -> None:
    group = a_group()
    all_z = np.stack([column(group.features(), f"z_{channel}") for channel in CHANNELS], axis=-1)
    some = group.minutes.copy()
    some[..., 2:5] = np.nan

    features = replace(group, minutes=some).features()

    kept = np.delete(all_z, [2, 3, 4], axis=-1)
    np.testing.assert_allclose(column(features, "share_unusual"), (np.abs(kept) > 3).mean(axis=-1), atol=1e-6)
    np.testing.assert_allclose(column(features, "mean_z_3_day"), np.clip(kept, 0, 20).mean(axis=-1), atol=1e-5)


@settings(max_examples=examples(40), deadline=None)
@given(level=st.floats(1e-6, 1e12), disks=st.integers(1, 8))
@example(level=0.0, disks=5)
def test_what_never_changes_and_is_alike_everywhere_alarms_nobody(level: float, disks: int) -> None:
    features = a_quiet_group(level=level, disks=disks).features()
    tail = column(features, "p99_to_await")  # not a change but a ratio: here p99 is the mean

    assert np.allclose(tail, 1) or (level == 0 and np.isnan(tail).all())
    others = np.delete(features, NAMES.index("p99_to_await"), axis=-1)
    assert (np.isnan(others) | (np.abs(others) < 1e-6)).all()


def test_a_channel_that_stood_still_is_still_after_another_minutes_spike() -> None:
    group = a_quiet_group(level=0.1)
    minutes = np.concatenate([group.minutes] * 3)
    minutes[20:25, :, : len(CHANNELS)] = np.array([1e9 / 3, 7e11 / 9, 1e11 / 7, 0.1, 3e8])[:, np.newaxis, np.newaxis]

    long_after = replace(group, minutes=minutes).features(last=60)

    assert np.nanmax(np.abs(column(long_after, "z_queue_depth"))) == 0
    assert np.nanmax(np.abs(column(long_after, "mean_z_60_week"))) == 0


@settings(max_examples=examples(60), deadline=None)
@given(seed=SEEDS, disks=st.integers(1, 7), null_ratio=st.sampled_from([0.0, 0.3]))
def test_the_order_of_disks_does_not_matter(seed: int, disks: int, null_ratio: float) -> None:
    group = a_group(seed, disks=disks, null_ratio=null_ratio)
    order = np.random.default_rng(seed).permutation(disks)

    np.testing.assert_allclose(group.of_disks(order).features(), group.features()[:, order], rtol=1e-6)


@pytest.mark.parametrize(("disks", "is_enough"), [(1, False), (2, False), (3, False), (4, True), (5, True)])
def test_peers_speak_from_four_disks_on(disks: int, is_enough: bool) -> None:
    features = a_group(disks=disks).features()

    for name in PEER_FEATURES:
        assert np.isfinite(column(features, name)).all() == is_enough
        assert np.isnan(column(features, name)).all() != is_enough


def test_a_disk_beside_three_that_are_silent_has_no_peers() -> None:
    group = a_group(disks=6)
    group.minutes[:, :3, CHANNELS.index("await_ms")] = np.nan

    assert np.isnan(column(group.features(), "peer_ratio_p10")).all()


@settings(max_examples=examples(40), deadline=None)
@given(seed=SEEDS, null_ratio=st.sampled_from([0.0, 0.3]))
def test_an_hour_says_the_same_alone_and_at_the_end_of_a_day(seed: int, null_ratio: float) -> None:
    group = a_group(seed, minutes=300, null_ratio=null_ratio)
    hour = replace(group, minutes=group.minutes[-60:])

    np.testing.assert_allclose(hour.features(), group.features(last=200)[-1:], atol=1e-6)


def test_a_disk_in_trouble_once_is_in_trouble_for_fifteen_minutes() -> None:
    group = a_quiet_group()
    group.minutes[30, 2, TROUBLED] = 1

    marks = column(group.features(last=60), "errors_or_stall")

    assert marks[:, 2].tolist() == [0.0] * 30 + [1.0] * 15 + [0.0] * 15
    assert not marks[:, [0, 1, 3, 4]].any()


@settings(max_examples=examples(60), deadline=None)
@given(
    values=st.lists(st.sampled_from([np.nan, 0.0, 0.1, 5.0, 1e12 / 3]), min_size=1, max_size=90),
    span=st.sampled_from([1, 2, 3, 5, 15, 60]),
)
def test_a_moving_mean_is_the_mean_of_its_rows(values: list[float], span: int) -> None:
    made = mean_of_last(np.array(values), span)

    for row, mean in enumerate(made.tolist()):
        known = [value for value in values[max(0, row - span + 1) : row + 1] if value == value]
        assert mean == pytest.approx(sum(known) / len(known), rel=1e-12) if known else np.isnan(mean)
