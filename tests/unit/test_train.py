"""The boosters that a fit gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xgboost

from iops.features import NAMES
from iops.risk import KINDS
from ml.hosts import UNKNOWN
from ml.rows import Rows
from ml.train import INCIDENT, WORSE_WHEN_HIGHER, Recipe, fit, fit_incident

QUICK = Recipe({**INCIDENT, "min_child_weight": 1}, rounds=4)


def some_rows(count: int = 300, *, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (count, len(NAMES))).astype(np.float32)
    features[rng.random(features.shape) < 0.1] = np.nan
    worse = np.nan_to_num(features[:, [NAMES.index(name) for name in WORSE_WHEN_HIGHER]]).sum(axis=1)
    incident = worse + rng.normal(0, 1, count) > 1.5
    kind = np.where(incident, rng.integers(0, 3, count), UNKNOWN).astype(np.int8)
    severity = np.maximum(worse, 0).astype(np.float32)
    return Rows(features, incident, np.ones(count), kind, severity, np.array(["h"] * count))


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    one, again, other = (fit_incident(some_rows(), seed=seed, recipe=QUICK).save_raw("ubj") for seed in (3, 3, 4))
    assert bytes(one) == bytes(again) != bytes(other)


def test_more_of_what_is_never_good_is_never_less_risky() -> None:
    trees = fit_incident(some_rows(), seed=0, recipe=QUICK)
    at = np.nan_to_num(some_rows(40, seed=9).features)
    moved = set()
    for name in WORSE_WHEN_HIGHER:
        swept = np.repeat(at[np.newaxis], 7, axis=0)
        swept[..., NAMES.index(name)] = np.linspace(-3, 3, 7)[:, np.newaxis]
        rows = xgboost.DMatrix(swept.reshape(-1, len(NAMES)), feature_names=list(NAMES), nthread=1)
        steps = np.diff(trees.predict(rows, output_margin=True).reshape(7, -1), axis=0)
        assert (steps >= -1e-6).all(), name
        moved |= {name} if (steps > 0).any() else set()
    assert moved  # or the law holds of trees that look at nothing


def test_trees_answer_for_every_kind_and_severity_learns_where_it_is_known() -> None:
    recorded = replace(some_rows(), severity=np.full(300, np.nan, np.float32))
    simulated = some_rows(seed=1)
    partly = replace(simulated, severity=np.where(np.arange(300) % 2, simulated.severity, np.nan).astype(np.float32))
    trees = fit(recorded, partly, seed=0, recipe=QUICK)
    data = xgboost.DMatrix(some_rows(5).features, feature_names=list(NAMES), nthread=1)
    assert trees.kind.predict(data).shape == (5, len(KINDS)) == (5, 8)
    assert np.isfinite(trees.severity.predict(data)).all()
    assert trees.alone.save_raw("ubj") != trees.beside_peers.save_raw("ubj")
