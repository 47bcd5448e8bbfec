"""Who answers for the model: the trees here, or for a share of the streams those behind an endpoint."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from iops.model import Model
from iops.observability import Metrics
from iops.risk import KINDS, Raw, highest_risks

Features = NDArray[np.float32]  # [disk, feature]
Mask = NDArray[np.bool_]  # [disk]
Percent = Callable[[], float]  # a flag, which may change at any time

# Why an endpoint did not answer: it said so, it took too long, it could not be reached, what it said is of no use, it
# serves other trees than those that the calibration here was made with, it failed just now and is left in peace, or
# there is none.
Reason = Literal[
    "throttled", "refused", "timed_out", "unreachable", "garbled", "other_model", "resting", "not_configured"
]
LOCAL: Final = "local"
SAGEMAKER: Final = "sagemaker"


class ScorerUnavailable(Exception):
    """A scorer that did not answer; somebody else has to."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class Scorer(Protocol):
    """Whoever can answer for the trees."""

    async def predict(self, features: Features) -> Raw:
        """What the trees say of [disk, feature], at least one disk. Raises ScorerUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """What the trees say of N streams, and who said it."""

    raw: Raw
    scored_by: tuple[str, ...]  # LOCAL or SAGEMAKER, by stream
    fell_back_from: tuple[str | None, ...]  # who was asked before and why it did not answer; None where nobody was


class Chain(Protocol):
    """What the scoring of a group asks."""

    async def predict(self, stream_ids: Sequence[str], features: Features) -> Scored:
        """Always answers."""
        ...


class LocalScorer:
    """Trees in this process. Explaining a disk takes ten times as long as scoring it, and leaves the event loop."""

    def __init__(self, model: Model, *, least_risk: float = 0.0) -> None:
        """Disks whose risk cannot reach `least_risk` get their margin only; all else of them is 0."""
        self._model = model
        self._least_risk = least_risk

    async def predict(self, features: Features) -> Raw:
        """Never raises ScorerUnavailable."""
        if self._least_risk <= 0:
            return await asyncio.to_thread(self._model.predict, features)
        margin = self._model.margins(features)  # 0.2 ms for 24 disks, less than a thread is worth
        disks, told = len(features), highest_risks(margin, features, self._model.card.scales) >= self._least_risk
        whole = Raw(margin, np.zeros((disks, len(KINDS))), np.zeros(disks), np.zeros(features.shape))
        if not told.any():
            return whole
        return merge(told, await asyncio.to_thread(self._model.predict, features[told]), take(whole, ~told))


class Canary:
    """A share of the streams is scored by the endpoint; where it does not answer, and for all others, the trees here.

    The endpoint is asked once for all its streams of a group.
    """

    def __init__(self, local: Scorer, remote: Scorer | None, percent: Percent, metrics: Metrics) -> None:
        """`remote` is None where no endpoint is configured: a share of the streams then falls back, and says so."""
        self._local = local
        self._remote = remote
        self._percent = percent
        self._fallbacks = metrics.counter("iops_scorer_fallbacks", "Streams that another scorer had to score", "reason")

    async def predict(self, stream_ids: Sequence[str], features: Features) -> Scored:
        """Always answers."""
        chosen = in_share(stream_ids, self._percent())
        there: Raw | None = None
        why: str | None = None
        if chosen.any():
            try:
                there = await self._ask(features[chosen])
            except ScorerUnavailable as error:
                why = f"{SAGEMAKER}: {error.reason}"
                self._fallbacks.labels(error.reason).inc(int(chosen.sum()))
        if there is None:
            raw = await self._local.predict(features)
            return Scored(raw, (LOCAL,) * len(stream_ids), tuple(why if is_chosen else None for is_chosen in chosen))
        here = None if chosen.all() else await self._local.predict(features[~chosen])
        scored_by = tuple(SAGEMAKER if is_chosen else LOCAL for is_chosen in chosen)
        return Scored(merge(chosen, there, here), scored_by, (None,) * len(stream_ids))

    async def _ask(self, features: Features) -> Raw:
        if self._remote is None:
            raise ScorerUnavailable("not_configured", "no endpoint is set")
        return await self._remote.predict(features)


def in_share(stream_ids: Sequence[str], percent: float) -> Mask:
    """Which streams belong to the first `percent` of all: always the same ones, and with more percent they stay."""
    if percent <= 0 or percent >= 100:
        return np.full(len(stream_ids), percent > 0)
    return np.array([_place(stream_id) < percent / 100 for stream_id in stream_ids], np.bool_)


def take(raw: Raw, chosen: Mask) -> Raw:
    """The rows that the mask marks."""
    return Raw(**{field.name: getattr(raw, field.name)[chosen] for field in fields(Raw)})


def merge(chosen: Mask, there: Raw, here: Raw | None) -> Raw:
    """The rows of both in the order of the mask; `here` is None where all are chosen."""
    if here is None:
        return there
    parts = {}
    for field in fields(Raw):
        ours, theirs = getattr(here, field.name), getattr(there, field.name)
        whole = np.empty((len(chosen), *ours.shape[1:]), ours.dtype)
        whole[chosen], whole[~chosen] = theirs, ours
        parts[field.name] = whole
    return Raw(**parts)


def _place(stream_id: str) -> float:
    """0-1, the same in every process."""
    return int.from_bytes(hashlib.blake2b(stream_id.encode(), digest_size=8).digest(), "big") / 2**64
