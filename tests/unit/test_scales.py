"""How scores become probabilities, and risks that cost what they promise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ml.protocol import Truth, tally
from ml.scales import BUDGETS, Judged, calmest, make_scale, platt
from ml.source import UnreadableData

DAYS = 15


def a_stream(seed: int, *, noise: float = 1.0) -> Judged:
    """A score that is high in one event of 30 minutes a day, and noise elsewhere."""
    rng = np.random.default_rng(seed)
    target = np.zeros(DAYS * 1440)
    events = tuple((day * 1440 + 600, day * 1440 + 630) for day in range(DAYS))
    for begin, end in events:
        target[begin:end] = 1
    score = noise * rng.normal(0, 1, len(target)) + 3 * target
    return Judged(score, score, Truth(target, np.zeros(len(target), bool), events))


def false_pages_a_day(streams: list[Judged], level: float) -> float:
    return sum(tally(each.page >= level, each.truth).false_pages for each in streams) / (len(streams) * DAYS)


def test_a_risk_costs_at_most_its_budget_and_not_much_less() -> None:
    streams = [a_stream(seed) for seed in range(2)]
    knots = make_scale(streams).knots
    for risk, budget in BUDGETS:
        (level,) = (score for score, known in knots if known == risk)
        least = budget / 2 if risk <= 80 else 0  # 30 days are too few for a page in 50
        assert least <= false_pages_a_day(streams, level) <= budget


def test_knots_ascend_also_where_no_page_is_ever_false() -> None:
    stream = a_stream(0, noise=0.0)
    knots = make_scale([stream]).knots
    assert [risk for _, risk in knots] == [0, 40, 60, 80, 95, 100]
    assert all(below[0] < above[0] for below, above in pairwise(knots))


def test_budgets_are_spent_on_the_streams_that_are_named() -> None:
    calm, noisy = a_stream(0, noise=0.5), a_stream(1, noise=2.0)
    of_both = make_scale([calm, noisy])
    of_calm = make_scale([calm, noisy], budgeted=[calm])
    assert of_calm.slope == of_both.slope
    assert all(a[0] < b[0] for a, b in zip(of_calm.knots, of_both.knots, strict=True))


def test_the_noisiest_hosts_are_left_out() -> None:
    hosts = [[a_stream(seed, noise=noise)] for seed, noise in enumerate((1.0, 3.0, 1.1, 1.2, 0.9))]
    assert [each is hosts[1][0] for each in calmest(hosts, ratio=0.8)] == [False] * 4


def test_a_probability_is_what_comes_true() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(0, 2, 20_000)
    came = (rng.random(len(score)) < 1 / (1 + np.exp(-(0.5 * score - 3)))).astype(float)
    slope, intercept = platt(score, came)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert intercept == pytest.approx(-3, abs=0.1)


def test_scores_far_from_where_the_search_begins_do_not_lead_it_astray() -> None:
    # Whole steps of Newton's ended at a slope of 3e14 on scores like these: few incidents, far above the others.
    rng = np.random.default_rng(1)
    score = np.concatenate([rng.normal(-8, 3, 20_000), rng.normal(6, 4, 60)])
    slope, intercept = platt(score, np.repeat([0.0, 1.0], [20_000, 60]))
    assert 0.3 < slope < 3
    assert -20 < intercept < 0


def test_nothing_can_be_calibrated_without_incidents() -> None:
    with pytest.raises(UnreadableData, match="nothing to calibrate on"):
        platt(np.arange(5.0), np.zeros(5))
