"""What a disk usually scores."""

from __future__ import annotations

import numpy as np

from ml.levels import own_levels


def test_a_level_is_known_from_360_scores_on_and_holds_for_an_hour() -> None:
    scores = np.concatenate([np.full(355, 1.1), np.full(65, 5.0)])[:, np.newaxis]
    levels = own_levels(scores, np.arange(420))[:, 0]
    assert np.isnan(levels[:360]).all()
    assert levels[360:].tolist() == [5.0] * 60  # the 355th of 0..359 is one of the five


def test_a_level_is_the_upper_edge_of_its_bin() -> None:
    levels = own_levels(np.full((361, 1), 1.1), np.arange(361))
    assert levels[360, 0] == 1.25
    on_edge = own_levels(np.full((361, 1), 1.25), np.arange(361))
    assert on_edge[360, 0] == 1.25


def test_a_week_later_a_score_is_forgotten() -> None:
    minute = np.concatenate([np.arange(400), np.arange(400) + 7 * 1440, [7 * 1440 + 420]])
    scores = np.concatenate([np.full(400, 20.0), np.full(401, 2.0)])[:, np.newaxis]
    levels = own_levels(scores, minute)[:, 0]
    assert levels[400] == 20.0
    assert levels[-1] == 2.0


def test_a_minute_that_was_not_scored_does_not_count() -> None:
    scores = np.where(np.arange(420) % 2, 1.0, np.nan)[:, np.newaxis]
    assert np.isnan(own_levels(scores, np.arange(420))).all()


def test_scores_beyond_the_histogram_count_in_its_last_bin() -> None:
    scores = np.stack([np.full(361, 99.0), np.full(361, -99.0)], axis=1)
    assert own_levels(scores, np.arange(361))[360].tolist() == [30.0, -10.0]
