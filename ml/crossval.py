"""Machines judged by trees that were not fitted on them, with scales that were not made on them either."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xgboost
from numpy.typing import NDArray

from iops.features import NAMES
from iops.risk import KINDS, Judgement, Raw, Scale, Scales, has_peers, page_scores
from iops.risk import judge as read
from ml.hosts import UNKNOWN, Host, features_of
from ml.levels import own_levels
from ml.protocol import Truth, runs
from ml.rows import Rows, join, recorded_rows
from ml.scales import Judged, calmest, judged_alone, judged_beside_peers, make_scale
from ml.smd import Machine
from ml.source import UnreadableData
from ml.train import Recipe, fit_incident

Array = NDArray[np.float64]

INNER_FOLDS: Final = 4
CALM_RATIO: Final = 0.8  # of the hosts; of 1, 0.9, 0.8 and 0.7 this one costs real healthy drives what it promises


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
    subjects: Sequence[Subject], *, seed: int, recipe: Recipe | None = None
) -> Iterator[tuple[Subject, Judgement]]:
    """Each machine's judged minutes as a model would judge them that has never seen it."""
    for number, held in enumerate(subjects):
        rest = [subject for subject in subjects if subject is not held]
        trees = fit_incident(join([subject.rows for subject in rest]), seed=seed, recipe=recipe)
        scale, usual = alone_scale(rest, folds=INNER_FOLDS, seed=seed + number, recipe=recipe)
        scales = Scales(alone=scale, beside_peers=scale, usual_level=usual)
        yield held, judgement_of(held, margins(trees, held.features), scales)


def alone_scale(
    subjects: Sequence[Subject], *, folds: int, seed: int, recipe: Recipe | None = None
) -> tuple[Scale, float]:
    """The scale of disks without peers, and their usual level; each machine by trees fitted on other machines."""
    unseen = dict(_unseen_margins(subjects, folds=folds, seed=seed, recipe=recipe))
    levels = {subject.name: levels_of(subject, unseen[subject.name]) for subject in subjects}
    usual = float(np.median([level[np.isfinite(level)][0] for level in levels.values() if np.isfinite(level).any()]))
    judged = [
        _judged(subject, unseen[subject.name], np.nan_to_num(levels[subject.name], nan=usual)) for subject in subjects
    ]
    return make_scale(judged), usual


def peers_scale(trees: xgboost.Booster, kept: Iterable[tuple[Host, NDArray[np.float32]]]) -> Scale:
    """The scale of disks with peers, from simulated hosts that the trees were not fitted on.

    Pages are budgeted on hosts without a fault, less the noisiest fifth: disks that were never alike are no peers, and
    their few hosts would spend the budget of all.
    """
    hosts, healthy = [], []
    for host, features in kept:
        streams = [_judged_disk(trees, host, features, disk) for disk in range(len(host.disks))]
        known = [stream for stream in streams if stream is not None]
        if known:
            hosts.append(known)
            if not (host.incident == 1).any():
                healthy.append(known)
    if not healthy:
        raise UnreadableData(f"none of {len(hosts)} simulated hosts with peers is without a fault; simulate more")
    return make_scale([each for host in hosts for each in host], budgeted=calmest(healthy, ratio=CALM_RATIO))


def judgement_of(subject: Subject, margin: Array, scales: Scales) -> Judgement:
    """What people would have seen of the machine's judged minutes."""
    part = subject.machine.is_judged
    count = np.count_nonzero(part)
    raw = Raw(margin[part], np.zeros((count, len(KINDS))), np.zeros(count), np.zeros((count, len(NAMES))))
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
    subjects: Sequence[Subject], *, folds: int, seed: int, recipe: Recipe | None
) -> Iterator[tuple[str, Array]]:
    order = np.random.default_rng(seed).permutation(len(subjects))
    for fold in range(folds):
        held = set(order[fold::folds].tolist())
        rest = join([subject.rows for place, subject in enumerate(subjects) if place not in held])
        trees = fit_incident(rest, seed=seed, recipe=recipe)
        yield from ((subjects[place].name, margins(trees, subjects[place].features)) for place in held)


def _judged(subject: Subject, margin: Array, level: Array) -> Judged:
    part = subject.machine.is_judged
    return judged_alone(margin[part], subject.features[part], level[part], subject.truth)


def _judged_disk(trees: xgboost.Booster, host: Host, features: NDArray[np.float32], disk: int) -> Judged | None:
    """None of a disk that cannot be compared with others."""
    part = host.incident[:, disk] != UNKNOWN
    column, incident = features[part, disk], host.incident[part, disk]
    if not has_peers(column).any():
        return None
    truth = Truth((incident == 1).astype(np.float64), incident < 0, tuple(runs(incident == 1)))
    return judged_beside_peers(margins(trees, column), column, truth)
