"""The committed vectors: what a model in the field was trained on must not change unnoticed."""

import json
from typing import Any, Final

import numpy as np
import pytest

from iops.features import FEATURE_SET_ID, NAMES
from tests.vectors import PATH, vectors_of

GOLDEN: Final[dict[str, Any]] = json.loads(PATH.read_text())


def test_the_file_is_of_these_features() -> None:
    assert GOLDEN["feature_set_id"] == FEATURE_SET_ID
    assert tuple(GOLDEN["features"]) == NAMES


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_vectors_are_the_committed_ones(case: dict[str, Any]) -> None:
    # A definition that was meant to change: a new VERSION in iops/features.py, then `python -m tests.vectors`.
    np.testing.assert_allclose(vectors_of(case), np.array(case["vectors"], dtype=float), rtol=1e-6, atol=1e-6)


def test_every_feature_is_somewhere_known_and_not_zero() -> None:
    rows = np.concatenate([np.array(case["vectors"], dtype=float) for case in GOLDEN["cases"]])

    known = np.nan_to_num(rows) != 0
    assert [name for name, is_used in zip(NAMES, known.any(axis=0), strict=True) if not is_used] == []
    assert np.isnan(rows).any()
