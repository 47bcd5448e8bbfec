"""The model's files: three boosters and a card that says what they are and how their answers are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from iops.features import FEATURE_SET_ID, NAMES
from iops.risk import KINDS, Raw, Scales

CARD_FILE: Final = "model_card.json"
INCIDENT_FILE, KIND_FILE, SEVERITY_FILE = "incident.ubj", "kind.ubj", "severity.ubj"
FILES: Final = (INCIDENT_FILE, KIND_FILE, SEVERITY_FILE, CARD_FILE)


class UnfitModel(Exception):
    """A model that this program cannot use, and why."""


class Card(BaseModel):
    """What `ml train` writes down of a model."""

    model_config = ConfigDict(frozen=True)

    version: str  # of the boosters: hex of their content
    feature_set_id: str
    features: tuple[str, ...]
    kinds: tuple[str, ...]
    scales: Scales
    feature_quantiles: dict[
        str, tuple[float, ...]
    ]  # deciles 10-90 of what it was trained on, for drift; nulls left out
    facts: dict[str, Any] = {}  # data, seeds, parameters, metrics with their intervals, page budgets


class Model:
    """Trees in this process."""

    def __init__(self, directory: Path) -> None:
        """Raises UnfitModel where a file is missing, unreadable, or made for other features."""
        try:
            self.card = Card.model_validate_json((directory / CARD_FILE).read_bytes())
            self._incident, self._kind, self._severity = (
                _booster(directory / name) for name in (INCIDENT_FILE, KIND_FILE, SEVERITY_FILE)
            )
        except (OSError, ValueError, xgboost.core.XGBoostError) as error:
            raise UnfitModel(f"{directory}: {error}") from error
        if (self.card.feature_set_id, self.card.features) != (FEATURE_SET_ID, NAMES):
            raise UnfitModel(f"{directory} was made for features {self.card.feature_set_id}, not {FEATURE_SET_ID}")
        if self.card.kinds != tuple(KINDS):
            raise UnfitModel(f"{directory} knows other kinds of incidents")

    def predict(self, features: NDArray[np.float32], *, is_quick: bool = False) -> Raw:
        """What the trees say of [disk, feature].

        Contributions take 85 us a row; the quick ones, only along the path that the row took, 6 us. Both add up to the
        margin.
        """
        matrix = xgboost.DMatrix(features)
        contributions = self._incident.predict(matrix, pred_contribs=True, approx_contribs=is_quick)
        return Raw(
            margin=contributions.sum(axis=1).astype(np.float64),
            kinds=self._kind.predict(matrix).astype(np.float64),
            severity=self._severity.predict(matrix).astype(np.float64),
            contributions=contributions[:, :-1].astype(np.float64),
        )


def _booster(path: Path) -> xgboost.Booster:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(path.read_bytes()))
    return booster
