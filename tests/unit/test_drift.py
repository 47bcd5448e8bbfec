"""How far what is scored lies from the training rows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from iops.features import NAMES
from iops.observability import Metrics
from services.insights.drift import MEMORY, Drift

FEATURE = "z_await_ms"
PLACE = NAMES.index(FEATURE)


def rows_of(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """[disk, feature] of which one is known."""
    rows = np.full((len(values), len(NAMES)), np.nan, np.float32)
    rows[:, PLACE] = values
    return rows


def deciles_of(values: NDArray[np.float64]) -> tuple[float, ...]:
    """As training writes them."""
    return tuple(np.quantile(values, np.arange(1, 10) / 10).tolist())


def normal(count: int = 5_000, *, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=count)


def drift_of(trained: NDArray[np.float64], seen: NDArray[np.float64]) -> float:
    drift = Drift({FEATURE: deciles_of(trained)}, Metrics())
    drift.see(rows_of(seen))
    return drift.index(PLACE)


def test_what_is_like_the_training_has_an_index_near_0() -> None:
    assert drift_of(normal(), normal(seed=2)) < 0.01


@pytest.mark.parametrize("by", [1.0, -1.0, 10.0, -10.0])
def test_what_is_shifted_has_an_index_above_a_quarter(by: float) -> None:
    assert drift_of(normal(), normal(seed=2) + by) > 0.25


def test_what_is_wider_has_an_index_above_a_quarter() -> None:
    assert drift_of(normal(), 3 * normal(seed=2)) > 0.25


@pytest.mark.parametrize("zero_share", [0.15, 0.55, 0.93, 0.99, 1.0])
def test_a_share_that_is_mostly_0_does_not_drift_by_being_so(zero_share: float) -> None:
    trained, seen = (
        np.where(np.random.default_rng(seed).random(5_000) < zero_share, 0.0, np.abs(normal(seed=seed)))
        for seed in (3, 4)
    )
    assert drift_of(trained, seen) < 0.02


def test_a_share_that_is_not_0_any_more_drifts() -> None:
    assert drift_of(np.zeros(5_000), np.abs(normal())) > 0.25


def test_too_few_rows_say_nothing() -> None:
    assert drift_of(normal(), np.full(999, 99.0)) == 0.0
    assert drift_of(normal(), np.full(1_000, 99.0)) > 1.0


def test_nulls_do_not_count() -> None:
    drift = Drift({FEATURE: deciles_of(normal())}, Metrics())
    for _ in range(10):
        drift.see(rows_of(np.full(1_000, np.nan)))
    assert drift.index(PLACE) == 0.0
    drift.see(rows_of(np.where(np.arange(2_000) % 2, np.nan, normal(2_000))))
    assert drift.index(PLACE) < 0.02


def test_a_feature_that_the_training_never_knew_has_no_drift() -> None:
    drift = Drift({FEATURE: (), "no_longer_a_feature": (1.0, 2.0)}, Metrics())
    drift.see(rows_of(normal()))
    assert drift.index(PLACE) == 0.0


def test_what_was_seen_fades() -> None:
    drift = Drift({FEATURE: deciles_of(normal())}, Metrics())
    drift.see(rows_of(np.full(MEMORY, 99.0)))
    shifted = drift.index(PLACE)
    for seed in range(40):
        drift.see(rows_of(normal(seed=seed)))

    assert shifted > 1.0
    assert drift.index(PLACE) < 0.01


def test_each_feature_of_the_card_is_a_number_for_prometheus() -> None:
    metrics = Metrics()
    Drift(dict.fromkeys(NAMES, deciles_of(normal())), metrics).see(rows_of(normal() + 9))

    value = metrics.registry.get_sample_value
    assert (value("iops_feature_drift", {"feature": FEATURE}) or 0) > 0.25
    assert value("iops_feature_drift", {"feature": "peer_standing"}) == 0
