"""The bench of scoring scores what the service would."""

from pathlib import Path

import numpy as np
import pytest

from bench.score import Stopwatch, make_group, make_model, score
from iops.model import Model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = tmp_path_factory.mktemp("model")
    make_model(folder, rows=500, rounds=8)
    return Model(folder)


def test_every_disk_of_a_group_is_scored_and_each_step_is_timed(model: Model) -> None:
    watch = Stopwatch()

    risk_score = score(model, make_group(4, seed=1), watch)

    assert risk_score.shape == (4,)
    assert ((risk_score >= 0) & (risk_score <= 100)).all()
    assert {"minutes", "state", "matrix", "predict", "judge"} <= watch.taken_s.keys()


def test_quick_contributions_have_the_same_margin(model: Model) -> None:
    features = np.random.default_rng(1).normal(size=(9, 25)).astype(np.float32)
    features[0] = np.nan

    exact, quick = model.predict(features), model.predict(features, is_quick=True)

    np.testing.assert_allclose(quick.margin, exact.margin, atol=1e-5)
    np.testing.assert_allclose(model.margins(features), exact.margin, atol=1e-5)
    np.testing.assert_allclose(quick.kinds, exact.kinds)
    assert quick.contributions.shape == exact.contributions.shape == (9, 25)
