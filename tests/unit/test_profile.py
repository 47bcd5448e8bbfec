"""What is remembered of a stream: renewed each hour, a week at most, small, and told apart from damage."""

import msgpack
import numpy as np
import pytest
from numpy.typing import NDArray

from iops import columns, profile
from iops.errors import DamagedProfile
from iops.level import BIN, bin_of, level_of
from iops.minutes import CHANNELS, LEVELS, MEDIAN, SERIES
from iops.profile import DAY_MINUTES, Profile, renewed

MIDNIGHT = 20_000 * DAY_MINUTES  # the minute at which day 20,000 began


def minutes_at(level: float, *, count: int = 100) -> NDArray[np.float64]:
    """So many minutes of all channels at a level."""
    return np.full((count, len(SERIES)), level)


def a_noisy_week(*, seed: int = 1) -> Profile:
    """Renewed each hour of eight days, with a score for each minute and numbers that no packer makes smaller."""
    rng = np.random.default_rng(seed)
    made: Profile | None = None
    for hour in range(8 * 24):
        minutes = rng.lognormal(0, 0.5, (DAY_MINUTES // 8, len(SERIES))) * 10 ** rng.uniform(-2, 6, len(SERIES))
        scores = rng.normal(-8, 2.5, 60).tolist()
        made = renewed(made, minutes, minute=MIDNIGHT + 60 * hour, page_scores=scores)
    assert made is not None
    return made


def test_each_hour_brings_a_new_day_and_leaves_the_midnight_as_it_was() -> None:
    first = renewed(None, minutes_at(1.0), minute=MIDNIGHT + 10)
    second = renewed(first, minutes_at(2.0), minute=MIDNIGHT + 70)

    assert (second.day == 2.0).all()
    assert [(day, float(table[0, MEDIAN])) for day, table in second.midnights.items()] == [(20_000, 1.0)]


def test_a_first_table_after_midnight_is_kept_for_7_days() -> None:
    made: Profile | None = None
    for day in range(9):
        made = renewed(made, minutes_at(float(day)), minute=MIDNIGHT + day * DAY_MINUTES + 5)

    assert made is not None
    assert list(made.midnights) == [20_002, 20_003, 20_004, 20_005, 20_006, 20_007, 20_008]
    assert list(made.levels) == list(made.midnights)
    assert made.week[0, 0] == 2.0
    assert made.week[0, -1] == 8.0


def test_what_was_silent_for_a_month_begins_anew() -> None:
    before = renewed(None, minutes_at(1.0), minute=MIDNIGHT, page_scores=[1.0] * 400)

    after = renewed(before, minutes_at(2.0), minute=MIDNIGHT + 30 * DAY_MINUTES)

    assert list(after.midnights) == [20_030]
    assert after.own_level is None
    assert (after.week == 2.0).all()


def test_a_day_of_which_too_little_is_known_takes_nothing_from_the_week() -> None:
    before = renewed(None, minutes_at(1.0, count=59), minute=MIDNIGHT)
    assert np.isnan(before.week).all()

    after = renewed(before, minutes_at(3.0), minute=MIDNIGHT + 60)

    assert (after.week == 3.0).all()


def test_scores_add_up_to_a_level_from_360_on() -> None:
    made = renewed(None, minutes_at(1.0), minute=MIDNIGHT, page_scores=[1.1] * 359)
    assert made.own_level is None

    made = renewed(made, minutes_at(1.0), minute=MIDNIGHT + 60, page_scores=[4.0])

    assert made.levels == {20_000: {5: 359, 16: 1}}
    assert made.own_level == 1.25


def test_the_profile_before_is_left_as_it_was() -> None:
    before = renewed(None, minutes_at(1.0), minute=MIDNIGHT, page_scores=[1.0])
    renewed(before, minutes_at(2.0), minute=MIDNIGHT + 60, page_scores=[1.0])

    assert before.levels == {20_000: {4: 1}}


def test_a_profile_is_read_as_it_was_written() -> None:
    made = a_noisy_week()

    found = profile.decode(profile.encode(made), key="web-1:sda")

    assert found.levels == made.levels
    assert list(found.midnights) == list(made.midnights)
    np.testing.assert_allclose(found.week, made.week, rtol=1e-6)
    np.testing.assert_allclose(found.day, made.day, rtol=1e-6)
    assert found.own_level == made.own_level


def test_nulls_and_days_without_scores_are_read_as_they_were_written() -> None:
    made = renewed(None, np.full((100, len(SERIES)), np.nan), minute=MIDNIGHT)

    found = profile.decode(profile.encode(made), key="web-1:sda")

    assert np.isnan(found.day).all()
    assert found.day.shape == (len(CHANNELS), len(LEVELS))
    assert found.levels == {20_000: {}}


def test_a_week_takes_less_than_3_kb() -> None:
    assert len(profile.encode(a_noisy_week())) < 3_000


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_damage_is_an_error_that_names_the_stream(cut: int) -> None:
    data = profile.encode(renewed(None, minutes_at(1.0), minute=MIDNIGHT))
    with pytest.raises(DamagedProfile, match="web-1:sda"):
        profile.decode(data[:cut], key="web-1:sda")


def test_a_flipped_bit_never_makes_another_profile() -> None:
    made = renewed(None, minutes_at(1.0), minute=MIDNIGHT, page_scores=[1.0, 2.0])
    data = profile.encode(made)
    damaged = 0
    for place in range(len(data)):
        try:
            found = profile.decode(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :], key="web-1:sda")
        except DamagedProfile:
            damaged += 1
        else:  # a bit of the frame's own that changes nothing
            assert (found.levels, profile.encode(found)) == (made.levels, data)
    assert damaged >= len(data) - 2


@pytest.mark.parametrize(
    "content",
    [[1], [1, [], b"", []], [1, [5], b"\0" * 352, []], [1, [], b"\0" * 351, []], [1, [], 7, []], [1, [], b"", 3]],
)
def test_content_of_another_shape_is_damage(content: list[object]) -> None:
    data = columns.pack(msgpack.packb(content), version=1)
    with pytest.raises(DamagedProfile):
        profile.decode(data, key="web-1:sda")


@pytest.mark.parametrize(("score", "place"), [(-1e9, -40), (-10.0, -40), (0.0, 0), (0.01, 1), (30.0, 120), (1e9, 120)])
def test_a_score_counts_in_the_bin_that_ends_above_it(score: float, place: int) -> None:
    assert bin_of(score) == place
    assert score > 30 or score <= place * BIN


def test_a_level_is_that_of_all_days_together() -> None:
    assert level_of([{4: 180}, {8: 170}, {12: 10}]) == 3.0
    assert level_of([{4: 180}, {8: 179}]) is None
    assert level_of([]) is None
