"""From what the trees say to the risk that people see."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iops.features import NAMES
from iops.insight import PredictionType
from iops.risk import KINDS, Judgement, Raw, Scale, Scales, judge, likely_kinds
from tests.unit.builders import examples
from tests.unit.groups import a_group, a_quiet_group

# As a training leaves them: a quiet disk's page score lies near -11, beside peers near -4.
ALONE: Final = Scale(slope=1.0, intercept=-1.0, knots=((-6.0, 0.0), (2.0, 60.0), (4.0, 80.0), (9.0, 100.0)))
BESIDE: Final = Scale(slope=1.0, intercept=0.0, knots=((-4.0, 0.0), (0.5, 60.0), (1.5, 80.0), (4.0, 100.0)))
SCALES: Final = Scales(alone=ALONE, beside_peers=BESIDE, usual_level=-4.0)


def judged(
    features: NDArray[np.float32], *, margin: float = -4.0, own_level: float = np.nan, scales: Scales = SCALES
) -> Judgement:
    """Of [disk, feature], all with one margin."""
    disks = len(features)
    kinds = np.zeros((disks, len(KINDS)))
    kinds[:, 2] = 1
    raw = Raw(np.full(disks, margin), kinds, np.zeros(disks), np.zeros(features.shape))
    return judge(raw, features, np.full(disks, own_level), scales)


@pytest.mark.parametrize("disks", [1, 5])
@pytest.mark.parametrize("own_level", [np.nan, -11.0, 0.0, 10.0])
def test_what_never_changes_is_far_from_a_page(disks: int, own_level: float) -> None:
    found = judged(a_quiet_group(disks=disks).features()[-1], own_level=own_level)

    assert (found.risk_score < 60).all()
    assert (found.p_incident < 0.05).all()


@settings(max_examples=examples(60), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    disks=st.integers(1, 6),
    margin=st.floats(-50, 50),
    own_level=st.sampled_from([np.nan, -50.0, 0.0, 50.0]),
    null_ratio=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_risk_and_probability_keep_their_range(
    seed: int, disks: int, margin: float, own_level: float, null_ratio: float
) -> None:
    features = a_group(seed, disks=disks, null_ratio=null_ratio).features()[-1]

    found = judged(features, margin=margin, own_level=own_level)

    assert ((found.risk_score >= 0) & (found.risk_score <= 100)).all()
    assert ((found.p_incident >= 0) & (found.p_incident <= 1)).all()
    assert np.isfinite(found.page_score).all()


@settings(max_examples=examples(40), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), disks=st.sampled_from([2, 5]), more=st.floats(0, 5))
def test_a_higher_margin_is_never_a_lower_risk(seed: int, disks: int, more: float) -> None:
    features = a_group(seed, disks=disks).features()[-1]

    low, high = judged(features, margin=-1.0), judged(features, margin=-1.0 + more)

    assert (high.risk_score >= low.risk_score).all()
    assert (high.p_incident >= low.p_incident).all()


@pytest.mark.parametrize(
    ("name", "disks"), [("peer_standing", 5), *((f"mean_z_{span}", 2) for span in ("3_day", "3_week"))]
)
def test_who_stands_out_more_has_a_higher_risk(name: str, disks: int) -> None:
    features = a_quiet_group(disks=disks).features()[-1]
    features[0, NAMES.index(name)] = 2.5

    found = judged(features)

    assert found.risk_score[0] > found.risk_score[1]


def test_a_disk_that_is_always_conspicuous_is_forgiven_half_of_it() -> None:
    features = a_quiet_group(disks=1).features()[-1]
    features[0, [NAMES.index("mean_z_3_day"), NAMES.index("mean_z_3_week")]] = 1.7  # 3 * 2 * ln 2 = 4.16

    assert judged(features, margin=0.0, own_level=0.0).risk_score[0] == pytest.approx(
        80 + 20 * (4.159 - 4) / 5, abs=0.01
    )
    assert judged(features, margin=0.0, own_level=4.318).risk_score[0] == pytest.approx(60.0, abs=0.1)


def test_disks_with_peers_and_disks_without_have_scales_of_their_own() -> None:
    features = a_quiet_group(disks=5).features()[-1]
    features[0, NAMES.index("peer_standing")] = np.nan

    found = judged(features, margin=0.5)

    assert found.risk_score[1:].tolist() == [60.0] * 4
    assert found.risk_score[0] < 60


def test_the_kind_is_the_likeliest() -> None:
    assert judged(a_quiet_group(disks=2).features()[-1]).kind.tolist() == [2, 2]


def test_nothing_is_said_of_a_disk_of_which_nothing_is_known() -> None:
    found = judged(np.full((2, len(NAMES)), np.nan, np.float32), margin=20.0)

    assert (found.risk_score.tolist(), found.p_incident.tolist()) == ([0, 0], [0, 0])


def test_a_kind_that_needs_what_was_not_seen_is_not_named() -> None:
    features = np.zeros((3, len(NAMES)), np.float32)
    features[:, NAMES.index("peer_standing")] = [np.nan, 1.0, 1.0]
    features[:, NAMES.index("errors_or_stall")] = [np.nan, 0.0, 1.0]
    likelier = [PredictionType.STALL, PredictionType.IO_ERRORS, PredictionType.FAIL_SLOW, PredictionType.ANOMALY]
    kinds = np.array([[8.0 - likelier.index(kind) if kind in likelier else 0.0 for kind in KINDS]] * 3)

    named = [KINDS[place].value for place in np.argmax(likely_kinds(kinds, features), axis=1)]

    assert named == ["anomaly", "fail_slow", "stall"]
