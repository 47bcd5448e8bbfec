"""From what a model says of a disk to the risk that people see: blend, calibration, and what a page costs.

A model's margin alone forgets what needs no training: how far above usual a disk is as a whole, and how it stands
beside its peers. Both are added to it. Disks with peers and disks without have a scale each: they err differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from iops.features import NAMES
from iops.insight import DISK_TROUBLES, PredictionType
from iops.level import LOWEST

Array = NDArray[np.float64]

KINDS: Final = DISK_TROUBLES  # in the order of a model's classes
STALL, IO_ERRORS, FAIL_SLOW = (
    KINDS.index(kind) for kind in (PredictionType.STALL, PredictionType.IO_ERRORS, PredictionType.FAIL_SLOW)
)
STANDING_LIMIT: Final = 3.0  # units; more does not make a disk more conspicuous
STANDING_WEIGHT: Final = 2.0  # of a unit, beside the trees' margin
INCIDENT_WEIGHT, PAGE_WEIGHT = 2.0, 3.0  # of the logarithms of how far above usual a disk without peers is
OWN_LEVEL_RATIO: Final = 0.5  # how much of a disk's own usual page score is forgiven
MOST_ODDS: Final = 30.0  # logarithm; more is certain
LEAST_Z: Final = 0.3  # added before the logarithm, so that 0 is small and not infinite


class Scale(BaseModel):
    """How one population's scores are read; made on machines that the model was not fitted on."""

    model_config = ConfigDict(frozen=True)

    slope: float  # p = 1 / (1 + exp(-(slope * score + intercept)))
    intercept: float
    knots: Annotated[tuple[tuple[float, float], ...], Field(min_length=2)]  # page score and risk, both ascending


class Scales(BaseModel):
    """Of disks with enough peers, and of the others."""

    model_config = ConfigDict(frozen=True)

    alone: Scale
    beside_peers: Scale
    usual_level: float  # of a disk whose own level is not known yet


@dataclass(frozen=True, slots=True)
class Raw:
    """What the trees say of N disks."""

    margin: Array  # [disk]: the logarithm of the odds of an incident
    kinds: Array  # [disk, one of KINDS]: which kind an incident would be
    severity: Array  # [disk]: the logarithm of await over what it would be without the incident
    contributions: Array  # [disk, feature]: to the margin (TreeSHAP)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What people see of N disks."""

    p_incident: Array  # 0-1
    risk_score: Array  # 0-100
    page_score: Array  # what the own level is made of
    kind: NDArray[np.intp]  # place in KINDS


def judge(raw: Raw, features: NDArray[np.float32], own_level: Array, scales: Scales) -> Judgement:
    """Reads the trees' answer to [disk, feature]; `own_level` is each disk's usual page score, NaN where unknown."""
    is_beside = has_peers(features)
    page = page_scores(raw.margin, features)
    relative = page - OWN_LEVEL_RATIO * np.where(np.isfinite(own_level), own_level, scales.usual_level)
    beside = peer_scores(raw.margin, features)
    alone = _probability(incident_scores(raw.margin, features), scales.alone)
    is_known = (is_beside | np.isfinite(_column(features, "mean_z_3_day"))).astype(np.float64)  # of others: nothing
    return Judgement(
        p_incident=is_known * np.where(is_beside, _probability(beside, scales.beside_peers), alone),
        risk_score=is_known * np.where(is_beside, _risk(beside, scales.beside_peers), _risk(relative, scales.alone)),
        page_score=page,
        kind=np.argmax(likely_kinds(raw.kinds, features), axis=1),
    )


def likely_kinds(kinds: Array, features: NDArray[np.float32]) -> Array:
    """[disk, one of KINDS], with those ruled out that need what was not seen: trouble for errors and stalls, peers."""
    likely = kinds.copy()
    has_trouble = _known(features, "errors_or_stall") > 0
    for kind, may_be in ((STALL, has_trouble), (IO_ERRORS, has_trouble), (FAIL_SLOW, has_peers(features))):
        likely[~may_be, kind] = -np.inf
    return likely


def has_peers(features: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which disks of [disk, feature] can be compared with others."""
    return np.isfinite(features[:, NAMES.index("peer_standing")])


def highest_risks(margin: Array, features: NDArray[np.float32], scales: Scales) -> Array:
    """What the risk of [disk, feature] may be at most, whatever the disk's own level is."""
    page = page_scores(margin, features) - OWN_LEVEL_RATIO * LOWEST
    beside = has_peers(features)
    return np.where(beside, _risk(peer_scores(margin, features), scales.beside_peers), _risk(page, scales.alone))


def contributions(raw: Raw, features: NDArray[np.float32]) -> Array:
    """What each feature adds to what the risk is made of: the trees' part, and the blend's over a calm disk."""
    added = raw.contributions.copy()
    beside = has_peers(features)
    added[:, NAMES.index("peer_standing")] += np.where(beside, peer_scores(0.0, features), 0.0)
    for name in ("mean_z_3_day", "mean_z_3_week"):
        over_calm = PAGE_WEIGHT * (_log_z(features, name) - np.log(LEAST_Z))
        added[:, NAMES.index(name)] += np.where(beside, 0.0, over_calm)
    return added


def incident_scores(margin: Array, features: NDArray[np.float32]) -> Array:
    """What the probability of a disk without peers is made of."""
    week = sum(_known(features, f"mean_z_{span}_week") for span in (3, 15, 60))
    return np.asarray(margin + INCIDENT_WEIGHT * np.log(LEAST_Z + week))


def page_scores(margin: Array, features: NDArray[np.float32]) -> Array:
    """What the risk of a disk without peers is made of: more of what is so now, because a page has to be in time."""
    return margin + PAGE_WEIGHT * (_log_z(features, "mean_z_3_day") + _log_z(features, "mean_z_3_week"))


def peer_scores(margin: Array | float, features: NDArray[np.float32]) -> Array:
    """What probability and risk of a disk with peers are made of."""
    return margin + STANDING_WEIGHT * np.clip(_known(features, "peer_standing"), 0, STANDING_LIMIT)


def _probability(score: Array, scale: Scale) -> Array:
    log_odds = np.clip(scale.slope * score + scale.intercept, -MOST_ODDS, MOST_ODDS)
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def _risk(score: Array, scale: Scale) -> Array:
    at, risk = zip(*scale.knots, strict=True)
    return np.asarray(np.interp(score, at, risk))


def _log_z(features: NDArray[np.float32], name: str) -> Array:
    return np.log(LEAST_Z + _known(features, name))


def _known(features: NDArray[np.float32], name: str) -> Array:
    return np.nan_to_num(_column(features, name))


def _column(features: NDArray[np.float32], name: str) -> Array:
    return features[:, NAMES.index(name)].astype(np.float64)
