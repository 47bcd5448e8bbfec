"""Fits the three boosters: is it an incident, of which kind, and how much slower does it make requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray

from iops.features import NAMES
from iops.insight import PredictionType
from iops.risk import KINDS, Raw
from ml.hosts import UNKNOWN
from ml.rows import Rows

INCIDENT: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "max_depth": 3,
        "eta": 0.08,
        "subsample": 0.5,
        "colsample_bytree": 0.5,
        "min_child_weight": 30,
        "reg_lambda": 10,
        "max_bin": 64,
    }
)
ROUNDS: Final = 120
TREES_A_ROUND: Final = 2  # as two seeds averaged; each takes half of the step
UNNAMED: Final = KINDS.index(PredictionType.ANOMALY)  # what an incident is that nobody named
# More of these is never better news, whatever the other features are.
WORSE_WHEN_HIGHER: Final = ("peer_ratio_median", "peer_ratio_p10", "peer_standing", "p99_to_await", "errors_or_stall")
KIND_ROUNDS, SEVERITY_ROUNDS = 60, 120


@dataclass(frozen=True, slots=True)
class Trees:
    """The three boosters of one fit."""

    incident: xgboost.Booster
    kind: xgboost.Booster
    severity: xgboost.Booster


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the incident's booster is grown; what `ml tune` searches over."""

    parameters: Mapping[str, Any] = field(default_factory=lambda: dict(INCIDENT))
    rounds: int = ROUNDS
    simulated_ratio: float = 1.0  # what all simulated rows weigh, over what the recorded ones do


def fit(recorded: Rows | None, simulated: Rows | None, *, seed: int, recipe: Recipe | None = None) -> Trees:
    """All three, from either kind of rows or both."""
    incident = fit_incident(recorded, simulated, seed=seed, recipe=recipe)
    parts = [part for part in (recorded, simulated) if part is not None]
    is_felt = [part.where(part.incident) for part in parts]
    return Trees(incident, _fit_kind(is_felt, seed), _fit_severity(parts, seed))


def fit_incident(
    recorded: Rows | None, simulated: Rows | None, *, seed: int, recipe: Recipe | None = None
) -> xgboost.Booster:
    """Whether a minute of a disk is part of an incident."""
    recipe = recipe or Recipe()
    parts = [part for part in (recorded, simulated) if part is not None]
    weight = [part.weight for part in parts]
    if recorded is not None and simulated is not None:
        weight[1] = weight[1] * recipe.simulated_ratio * weight[0].sum() / weight[1].sum()
    data = xgboost.DMatrix(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.incident for part in parts]),
        weight=np.concatenate(weight),
        feature_names=list(NAMES),
    )
    parameters = {
        **recipe.parameters,
        "objective": "binary:logistic",
        "num_parallel_tree": TREES_A_ROUND,
        "monotone_constraints": tuple(int(name in WORSE_WHEN_HIGHER) for name in NAMES),
        "tree_method": "hist",
        "nthread": 1,  # with more, sums are added in another order, and the trees differ from machine to machine
        "seed": seed,
    }
    return xgboost.train(parameters, data, recipe.rounds)


def predict(trees: Trees, features: NDArray[np.float32]) -> Raw:
    """As `iops.model.Model.predict` does, without a way through files."""
    data = xgboost.DMatrix(features, feature_names=list(NAMES))
    return Raw(
        margin=trees.incident.predict(data, output_margin=True).astype(np.float64),
        kinds=trees.kind.predict(data).astype(np.float64),
        severity=trees.severity.predict(data).astype(np.float64),
        contributions=np.zeros((len(features), len(NAMES))),
    )


def _fit_kind(incidents: list[Rows], seed: int) -> xgboost.Booster:
    kind = np.concatenate([part.kind for part in incidents])
    kind = np.where(kind == UNKNOWN, UNNAMED, kind)
    counts = np.bincount(kind, minlength=len(KINDS))
    data = xgboost.DMatrix(
        np.concatenate([part.features for part in incidents]),
        kind,
        weight=1 / np.maximum(counts, 1)[kind] * len(kind) / len(KINDS),
        feature_names=list(NAMES),
    )
    parameters = {
        "objective": "multi:softprob",
        "num_class": len(KINDS),
        "max_depth": 4,
        "eta": 0.15,
        "subsample": 0.7,
        "min_child_weight": 5,
        "tree_method": "hist",
        "max_bin": 64,
        "nthread": 1,
        "seed": seed,
    }
    return xgboost.train(parameters, data, KIND_ROUNDS)


def _fit_severity(parts: list[Rows], seed: int) -> xgboost.Booster:
    known = [part.where(np.isfinite(part.severity)) for part in parts]
    data = xgboost.DMatrix(
        np.concatenate([part.features for part in known]),
        np.concatenate([part.severity for part in known]),
        feature_names=list(NAMES),
    )
    parameters = {
        "objective": "reg:absoluteerror",
        "max_depth": 4,
        "eta": 0.1,
        "subsample": 0.7,
        "min_child_weight": 10,
        "monotone_constraints": tuple(int(name in WORSE_WHEN_HIGHER) for name in NAMES),
        "tree_method": "hist",
        "max_bin": 64,
        "nthread": 1,
        "seed": seed,
    }
    return xgboost.train(parameters, data, SEVERITY_ROUNDS)
