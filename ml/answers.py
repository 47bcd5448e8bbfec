"""What a model says of a host, whoever was asked: the one that ships, a file, or models that never saw the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iops.model import Model
from iops.risk import Judgement
from ml.hosts import Host
from ml.score import score_host
from ml.smd import Machine
from ml.source import UnreadableData, columns_of, numbers, read_groups, whole_numbers

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of a host, [minute, disk], however it was asked; NaN where it was not."""

    p_incident: Array
    risk_score: Array
    margin: Array
    kind: NDArray[np.intp] | None  # place in KINDS; None where nobody wrote it down


Scorer = Callable[[Host, NDArray[np.float32]], Answer]


def answers_of(model: Model) -> Scorer:
    """The model as it ships."""

    def answer(host: Host, features: NDArray[np.float32]) -> Answer:
        scores = score_host(model, host, features)
        return Answer(scores.p_incident, scores.risk_score, scores.margin, scores.kind)

    return answer


def answers_of_file(path: Path) -> Scorer:
    """What somebody wrote down: machine, minute, p_incident, risk_score and perhaps margin."""
    known = columns_of(path, ("machine", "minute", "p_incident", "risk_score"))
    names = [name for name in ("minute", "p_incident", "risk_score", "margin") if name in known]
    tables = dict(read_groups(path, "machine", names))

    def answer(host: Host, _features: NDArray[np.float32]) -> Answer:
        if host.name not in tables:
            raise UnreadableData(f"{path}: does not score machine {host.name!r}")
        table = tables[host.name]
        p_incident, risk_score = (_by_minute(path, table, name, host) for name in ("p_incident", "risk_score"))
        margin = _by_minute(path, table, "margin", host) if "margin" in names else np.full_like(p_incident, np.nan)
        return Answer(p_incident, risk_score, margin, kind=None)

    return answer


def answers_of_folds(judged: Iterable[tuple[Machine, Judgement]]) -> Scorer:
    """What `ml.crossval` says of the judged minutes of each machine."""
    answers: dict[str, Answer] = {}
    for machine, judgement in judged:
        p_incident, risk_score = np.full((2, *machine.host.incident.shape), np.nan)
        p_incident[machine.is_judged, 0] = judgement.p_incident
        risk_score[machine.is_judged, 0] = judgement.risk_score
        answers[machine.host.name] = Answer(p_incident, risk_score, np.full_like(p_incident, np.nan), kind=None)
    return lambda host, _features: answers[host.name]


def _by_minute(path: Path, table: pa.Table, name: str, host: Host) -> Array:
    found = np.full((len(host.minute), 1), np.nan)
    minute = whole_numbers(path, table, "minute")
    place = np.searchsorted(host.minute, minute)
    if (place >= len(host.minute)).any() or (host.minute[np.minimum(place, len(host.minute) - 1)] != minute).any():
        raise UnreadableData(f"{path}: scores minutes that machine {host.name!r} does not have")
    found[place, 0] = numbers(path, table, name)
    return found
