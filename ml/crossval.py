"""Machines judged by trees that were not fitted on them, with scales that were not made on them either."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xgboost
from numpy.typing import NDArray

from iops.features import NAMES
from iops.risk import Judgement, Raw, Scale, Scales, page_scores
from iops.risk import judge as read
from ml.hosts import UNKNOWN, Host, features_of
from ml.levels import own_levels
from ml.protocol import Truth, runs
from ml.rows import Rows, join, recorded_rows
from ml.scales import Judged, judged_alone, judged_beside_peers, make_scale
from ml.smd import Machine
from ml.train import Recipe, fit_incident

Array = NDArray[np.float64]

INNER_FOLDS: Final = 4


@dataclass(frozen=True, slots=True)
class Subject:
    """A recorded machine of one disk with what fitting and judging need of it."""

    machine: Machine
    features: NDArray[np.float32]  # [minute, feature]
    rows: Rows
    truth: Truth  # of its judged minutes

    @property
    def name(self) -> str:
        return self.machine.host.name


@dataclass(frozen=True, slots=True)
class Simulated:
    """Simulated hosts: rows to fit on, and other hosts to make the scale of disks with peers on."""

    rows: Rows
    kept: Sequence[tuple[Host, NDArray[np.float32]]]


def subject_of(machine: Machine) -> Subject:
    """Works out the features."""
    features = features_of(machine.host)
    first = int(np.argmax(machine.is_judged))
    incident = machine.host.incident[machine.is_judged, 0]
    truth = Truth(
        target=(incident == 1).astype(np.float64),
        is_ignored=incident < 0,
        events=tuple((begin - first, end - first) for begin, end in machine.events),
    )
    return Subject(machine, features[:, 0], recorded_rows(machine.host, features), truth)


def cross_validated(
    subjects: Sequence[Subject], simulated: Simulated, *, seed: int, recipe: Recipe | None = None
) -> Iterator[tuple[Subject, Judgement]]:
    """Each machine's judged minutes as a model would judge them that has never seen it."""
    for number, held in enumerate(subjects):
        rest = [subject for subject in subjects if subject is not held]
        trees = fit_incident(join([subject.rows for subject in rest]), simulated.rows, seed=seed, recipe=recipe)
        scales = scales_of(rest, simulated, trees, folds=INNER_FOLDS, seed=seed + number, recipe=recipe)
        yield held, judgement_of(held, margins(trees, held.features), scales)


def scales_of(
    subjects: Sequence[Subject],
    simulated: Simulated,
    trees: xgboost.Booster,
    *,
    folds: int,
    seed: int,
    recipe: Recipe | None = None,
) -> Scales:
    """The scales for `trees`, each machine's part of them from trees that were fitted on the others."""
    unseen = dict(_unseen_margins(subjects, simulated, folds=folds, seed=seed, recipe=recipe))
    levels = {subject.name: levels_of(subject, unseen[subject.name]) for subject in subjects}
    usual = float(np.median([level[np.isfinite(level)][0] for level in levels.values() if np.isfinite(level).any()]))
    alone = [
        _judged(subject, unseen[subject.name], np.nan_to_num(levels[subject.name], nan=usual)) for subject in subjects
    ]
    return Scales(alone=make_scale(alone), beside_peers=_peers_scale(trees, simulated.kept), usual_level=usual)


def judgement_of(subject: Subject, margin: Array, scales: Scales) -> Judgement:
    """What people would have seen of the machine's judged minutes."""
    part = subject.machine.is_judged
    raw = Raw(margin[part], np.zeros((part.sum(), 1)), np.zeros(part.sum()), np.zeros((part.sum(), 1)))
    return read(raw, subject.features[part], levels_of(subject, margin)[part], scales)


def levels_of(subject: Subject, margin: Array) -> Array:
    """The machine's own level at each minute; NaN at first."""
    page = page_scores(margin, subject.features)
    return own_levels(page[:, np.newaxis], subject.machine.host.minute)[:, 0]


def margins(trees: xgboost.Booster, features: NDArray[np.float32]) -> Array:
    """What the trees say of [row, feature]."""
    data = xgboost.DMatrix(features, feature_names=list(NAMES))
    return np.asarray(trees.predict(data, output_margin=True), np.float64)


def _unseen_margins(
    subjects: Sequence[Subject], simulated: Simulated, *, folds: int, seed: int, recipe: Recipe | None
) -> Iterator[tuple[str, Array]]:
    order = np.random.default_rng(seed).permutation(len(subjects))
    for fold in range(folds):
        held = set(order[fold::folds].tolist())
        rest = join([subject.rows for place, subject in enumerate(subjects) if place not in held])
        trees = fit_incident(rest, simulated.rows, seed=seed, recipe=recipe)
        yield from ((subjects[place].name, margins(trees, subjects[place].features)) for place in held)


def _judged(subject: Subject, margin: Array, level: Array) -> Judged:
    part = subject.machine.is_judged
    return judged_alone(margin[part], subject.features[part], level[part], subject.truth)


def _peers_scale(trees: xgboost.Booster, kept: Iterable[tuple[Host, NDArray[np.float32]]]) -> Scale:
    judged = []
    for host, features in kept:
        for disk in range(len(host.disks)):
            part = host.incident[:, disk] != UNKNOWN
            column, incident = features[part, disk], host.incident[part, disk]
            if np.isfinite(column[:, NAMES.index("peer_standing")]).any():
                truth = Truth((incident == 1).astype(np.float64), incident < 0, tuple(runs(incident == 1)))
                judged.append(judged_beside_peers(margins(trees, column), column, truth))
    return make_scale(judged)
