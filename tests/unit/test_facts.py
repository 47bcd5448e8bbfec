"""The facts behind a risk: true, about this window, and only what speaks for an incident."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iops.features import NAMES
from iops.insight import Fact
from iops.minutes import CHANNELS, SERIES, quantile_table
from services.insights.facts import OTHERS, WORDS, facts_of, slowness_fact
from tests.unit.builders import examples
from tests.unit.groups import ALL, Group, a_group, column, tables

FEATURES_OF_CHANNELS = {f"{kind}_{channel}" for kind in ("z", "step") for channel in CHANNELS}


def told(features: dict[str, float], *, weights: dict[str, float] | None = None, recent: object = None) -> list[Fact]:
    """The facts of a disk of which only these features are known; each moved the risk as its weight says, or by 1."""
    row = np.array([features.get(name, np.nan) for name in NAMES], np.float32)
    weight = np.array([(weights or dict.fromkeys(features, 1.0)).get(name, 0.0) for name in NAMES])
    minutes = np.full((60, len(SERIES)), 2.0) if recent is None else np.asarray(recent)
    day = quantile_table(np.full((100, len(CHANNELS)), 0.5))
    return facts_of(row, weight, recent=minutes, day=day)


def a_slow_disk() -> Group:
    """Its await was 1 to 30 ms for a day, 15.5 for the hour, and is 62 for the last 5 minutes."""
    group = a_group(disks=5)
    group.minutes[..., CHANNELS.index("await_ms")] = 15.5
    group.minutes[-5:, 0, CHANNELS.index("await_ms")] = 62.0
    return group


def facts_about(group: Group, *names: str) -> list[Fact]:
    """Of the group's first disk."""
    contributions = np.array([float(name in names) for name in NAMES])
    return facts_of(group.features()[-1, 0], contributions, recent=group.minutes[:, 0], day=tables(group.past_day)[0])


def test_the_numbers_of_a_sentence_are_those_of_the_window() -> None:
    group = a_slow_disk()
    usual = float(np.median(group.past_day[:, 0, CHANNELS.index("await_ms")]))
    z = float(column(group.features(), "z_await_ms")[-1, 0])
    hour = (55 * 15.5 + 5 * 62) / 60

    level, step = facts_about(group, "z_await_ms", "step_await_ms")

    assert (level.value, level.unit, level.baseline) == (62.0, "ms", usual)
    assert level.sentence == f"await 62.0 ms over 3 min, {z:.2f} times its spread above its 24 h median of {usual:.1f}"
    assert (step.value, step.baseline) == (62.0, usual)
    assert step.sentence == f"await rose to 62.0 ms over 5 min, from {hour:.1f} over the hour"


def test_a_ratio_to_peers_is_told_as_a_ratio() -> None:
    group = a_slow_disk()
    group.minutes[-15:, 0, CHANNELS.index("await_ms")] = 62.0

    median, tenth = facts_about(group, "peer_ratio_median", "peer_ratio_p10")

    assert median.sentence == "in half of the last 15 min its await was 4.00 times its peers' or more"
    assert tenth.sentence == "in nine of ten of the last 15 min its await was 4.00 times its peers' or more"
    assert median.value == round(np.log(4), 3)


def test_what_is_below_usual_is_said_to_be_below() -> None:
    group = a_group(disks=1)
    group.minutes[-5:, 0, ALL] = 0.0

    (level, step) = facts_about(group, "z_read_iops", "step_write_iops")

    assert "0 IO/s over 3 min" in level.sentence
    assert "spread below its 24 h median" in level.sentence
    assert step.sentence.startswith("writes fell to 0 IO/s over 5 min, from ")


def test_a_channel_that_never_moved_before_is_told_as_at_least_that_far() -> None:
    (fact,) = told({"z_await_ms": 30.0})
    assert fact.sentence == "await 2.00 ms over 3 min, at least 30.0 times its spread above its 24 h median of 0.500"


def test_three_are_told_and_the_strongest_first() -> None:
    names = ("z_await_ms", "peer_standing", "share_unusual", "mean_z_3_day")
    weights = dict(zip(names, (0.5, 2.0, 0.1, 1.0), strict=True))
    assert [fact.name for fact in told(dict.fromkeys(names, 2.0), weights=weights)] == [
        "peer_standing",
        "mean_z_3_day",
        "z_await_ms",
    ]


def test_what_speaks_against_an_incident_is_not_told() -> None:
    weights = {"z_await_ms": -1.0, "peer_standing": 0.0}
    assert told({"z_await_ms": 5.0, "peer_standing": 5.0}, weights=weights) == []


def test_what_is_null_is_not_told() -> None:
    assert told({}, weights=dict.fromkeys(NAMES, 1.0)) == []


@pytest.mark.parametrize("name", sorted(OTHERS))
@pytest.mark.parametrize("value", [0.0, -0.5])
def test_what_is_as_it_should_be_is_no_evidence(name: str, value: float) -> None:
    assert told({name: value}) == []


@pytest.mark.parametrize(("value", "is_told"), [(0.9, False), (-0.9, False), (1.0, True), (-1.0, True)])
def test_a_channel_near_its_usual_is_no_evidence(value: float, is_told: bool) -> None:
    assert bool(told({"z_await_ms": value})) is is_told


def test_every_feature_has_words() -> None:
    assert set(NAMES) <= set(OTHERS) | FEATURES_OF_CHANNELS
    assert set(WORDS) == set(CHANNELS)
    for name in NAMES:
        (fact,) = told({name: 1.5})
        assert fact.name == name
        assert fact.sentence


@settings(max_examples=examples(40), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), null_ratio=st.sampled_from([0.0, 0.5, 0.95]))
def test_a_fact_never_has_a_number_that_is_none(seed: int, null_ratio: float) -> None:
    group = a_group(seed, disks=4, null_ratio=null_ratio)
    features: NDArray[np.float32] = group.features()[-1]
    for place in range(4):
        contributions = np.random.default_rng(seed + place).random(len(NAMES))
        for fact in facts_of(
            features[place], contributions, recent=group.minutes[:, place], day=tables(group.past_day)[place]
        ):
            assert np.isfinite(fact.value)
            assert fact.baseline is None or np.isfinite(fact.baseline)
            assert not re.search(r"nan|inf|e[+-]\d", fact.sentence)


def test_a_slowness_that_callers_feel_is_told_as_a_ratio() -> None:
    (fact,) = slowness_fact(float(np.log(3)))
    assert (fact.value, fact.unit) == (3.0, "ratio")
    assert "3.00 times slower" in fact.sentence
    assert slowness_fact(0.1) == []
