"""Which streams are scored where, and the trees in the service's own process: margins of all, the rest of some."""

from pathlib import Path

import numpy as np
import pytest

from iops.model import Model
from iops.risk import highest_risks
from services.insights.scorers import LocalScorer, in_share
from tests.unit.tiny_model import some_features as random_features
from tests.unit.tiny_model import write_model


async def test_disks_that_cannot_be_conspicuous_get_their_margin_only(tmp_path: Path) -> None:
    model = Model(write_model(tmp_path / "model"))
    scales = model.card.scales.model_copy(
        update={
            part: getattr(model.card.scales, part).model_copy(update={"knots": ((-3.0, 0.0), (3.0, 100.0))})
            for part in ("alone", "beside_peers")
        }
    )
    model.card = model.card.model_copy(update={"scales": scales})
    features = np.abs(random_features(60))

    whole = await LocalScorer(model).predict(features)
    thrifty = await LocalScorer(model, least_risk=90).predict(features)

    told = highest_risks(whole.margin, features, scales) >= 90
    assert 0 < np.count_nonzero(told) < 60
    assert thrifty.margin == pytest.approx(whole.margin, abs=1e-5)
    assert np.array_equal(thrifty.kinds[told], whole.kinds[told])
    assert np.allclose(thrifty.contributions[told], whole.contributions[told], atol=1e-6)
    assert not thrifty.kinds[~told].any()


def test_a_share_keeps_its_streams_as_it_grows() -> None:
    streams = [f"host-{number}:nvme0n1" for number in range(4_000)]
    shares = [in_share(streams, percent) for percent in (0, 5, 50, 100)]
    assert [int(share.sum()) for share in shares] == [0, 201, 1_962, 4_000]
    assert not (shares[1] & ~shares[2]).any()
