"""The model's files: four boosters and a card that says what they are and how their answers are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from iops.features import FEATURE_SET_ID, NAMES
from iops.risk import KINDS, Raw, Scales, has_peers

CARD_FILE: Final = "model_card.json"
ALONE_FILE, PEERS_FILE = "alone.ubj", "beside_peers.ubj"  # is it an incident: of disks without peers, and with
KIND_FILE, SEVERITY_FILE = "kind.ubj", "severity.ubj"
BOOSTER_FILES: Final = (ALONE_FILE, PEERS_FILE, KIND_FILE, SEVERITY_FILE)
FILES: Final = (*BOOSTER_FILES, CARD_FILE)


class UnfitModel(Exception):
    """A model that this program cannot use, and why."""


class Card(BaseModel):
    """What `ml train` writes down of a model."""

    model_config = ConfigDict(frozen=True)

    version: str  # of the boosters: `version_of` their content
    feature_set_id: str
    features: tuple[str, ...]
    kinds: tuple[str, ...]
    scales: Scales
    feature_quantiles: dict[str, tuple[float, ...]]  # deciles of what it was trained on, nulls left out; for drift
    facts: dict[str, Any] = {}  # data, seeds, parameters, metrics with their intervals, page budgets


def version_of(boosters: Iterable[bytes]) -> str:
    """The version of the boosters' contents, in the order of BOOSTER_FILES."""
    digest = hashlib.blake2b(digest_size=6)
    for content in boosters:
        digest.update(content)
    return digest.hexdigest()


class Model:
    """Trees in this process."""

    def __init__(self, directory: Path) -> None:
        """Raises UnfitModel where a file is missing, unreadable, or made for other features."""
        try:
            self.card = Card.model_validate_json((directory / CARD_FILE).read_bytes())
            contents = [(directory / name).read_bytes() for name in BOOSTER_FILES]
            # XGBoost does not refuse a file that was cut off: it ends the process.
            if version_of(contents) != self.card.version:
                raise UnfitModel(f"{directory}: its files are not those of version {self.card.version}")
            self._alone, self._beside_peers, self._kind, self._severity = map(_booster, contents)
        except (OSError, ValueError, xgboost.core.XGBoostError) as error:
            raise UnfitModel(f"{directory}: {error}") from error
        if (self.card.feature_set_id, self.card.features) != (FEATURE_SET_ID, NAMES):
            raise UnfitModel(f"{directory} was made for features {self.card.feature_set_id}, not {FEATURE_SET_ID}")
        if self.card.kinds != tuple(KINDS):
            raise UnfitModel(f"{directory} knows other kinds of incidents")

    def margins(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The margin of [disk, feature] alone: what risks are made of; the rest is asked of a few disks only."""
        return self._incident(features, output_margin=True)

    def predict(self, features: NDArray[np.float32], *, is_quick: bool = False) -> Raw:
        """What the trees say of [disk, feature].

        Contributions take 55 us a row; the quick ones, only along the path that the row took, 5 us. Both add up to the
        margin.
        """
        contributions = self._incident(features, pred_contribs=True, approx_contribs=is_quick)
        matrix = _matrix(features)
        return Raw(
            margin=contributions.sum(axis=1).astype(np.float64),
            kinds=self._kind.predict(matrix, validate_features=False).astype(np.float64),
            severity=self._severity.predict(matrix, validate_features=False).astype(np.float64),
            contributions=contributions[:, :-1].astype(np.float64),
        )

    def _incident(self, features: NDArray[np.float32], **options: bool) -> NDArray[np.float64]:
        """Each disk's answer by the trees that were fitted on such as it."""
        beside = has_peers(features)
        if beside.all() or not beside.any():
            trees = self._beside_peers if beside.any() else self._alone
            return np.asarray(trees.predict(_matrix(features), validate_features=False, **options), np.float64)
        parts = {mask: self._incident(features[beside == mask], **options) for mask in (False, True)}
        found = np.empty((len(features), *parts[True].shape[1:]))
        found[beside], found[~beside] = parts[True], parts[False]
        return found


def _matrix(features: NDArray[np.float32]) -> xgboost.DMatrix:
    """Without nthread it wakes every core for a few rows, which took 0.5 to 18 ms. The card vouches for the names."""
    return xgboost.DMatrix(features, nthread=1)


def _booster(content: bytes) -> xgboost.Booster:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(content))
    return booster
