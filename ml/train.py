"""Fits the boosters: is it an incident (of a disk alone, beside peers), of which kind, how much slower is it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import xgboost

from iops.features import NAMES
from iops.insight import PredictionType
from iops.risk import KINDS
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
SEVERITY_LIMIT: Final = 5.0  # logarithm: 150 times slower; a stall has no end


@dataclass(frozen=True, slots=True)
class Trees:
    """The four boosters of one fit."""

    alone: xgboost.Booster
    beside_peers: xgboost.Booster
    kind: xgboost.Booster
    severity: xgboost.Booster


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the boosters that say whether it is an incident are grown; what `ml tune` searches over."""

    parameters: Mapping[str, Any] = field(default_factory=lambda: dict(INCIDENT))
    rounds: int = ROUNDS


def fit(recorded: Rows, simulated: Rows, *, seed: int, recipe: Recipe | None = None) -> Trees:
    """Disks alone learn from recorded machines, which had one each; disks beside peers from simulated hosts.

    One set of trees for both is worse at the former: what is odd beside peers is not what is odd alone, and benign
    events, which only the simulated hosts have labelled, look like the recorded incidents to who sees no peers.
    """
    incidents = [part.where(part.incident) for part in (recorded, simulated)]
    return Trees(
        alone=fit_incident(recorded, seed=seed, recipe=recipe),
        beside_peers=fit_incident(simulated, seed=seed, recipe=recipe),
        kind=_fit_kind(incidents, seed),
        severity=_fit_severity(simulated, seed),
    )


def fit_incident(rows: Rows, *, seed: int, recipe: Recipe | None = None) -> xgboost.Booster:
    """Whether a minute of a disk is part of an incident."""
    recipe = recipe or Recipe()
    data = xgboost.DMatrix(rows.features, rows.incident, weight=rows.weight, feature_names=list(NAMES), nthread=1)
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


def _fit_kind(incidents: list[Rows], seed: int) -> xgboost.Booster:
    kind = np.concatenate([part.kind for part in incidents])
    kind = np.where(kind == UNKNOWN, UNNAMED, kind)
    counts = np.bincount(kind, minlength=len(KINDS))
    data = xgboost.DMatrix(
        np.concatenate([part.features for part in incidents]),
        kind,
        weight=1 / np.maximum(counts, 1)[kind] * len(kind) / len(KINDS),
        feature_names=list(NAMES),
        nthread=1,
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


def _fit_severity(rows: Rows, seed: int) -> xgboost.Booster:
    rows = rows.where(np.isfinite(rows.severity))
    data = xgboost.DMatrix(
        rows.features, np.minimum(rows.severity, SEVERITY_LIMIT), feature_names=list(NAMES), nthread=1
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
