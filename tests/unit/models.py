"""A model that says what a test wants, in place of trees."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from iops.features import NAMES
from iops.insight import PredictionType
from iops.model import Card
from iops.observability import Metrics
from iops.risk import KINDS, Raw
from services.insights.judge import ModelJudge
from services.insights.scorers import LOCAL, Features, Scored
from tests.unit.tiny_model import a_card

SURE = 1_000.0  # a margin that is worth 100 of 100 whatever is added to it


class FakeChain:
    """Says of each disk the margin that is set for it, -SURE where none is; keeps what it was asked."""

    def __init__(self, margins: Mapping[str, float] | None = None, kinds: Sequence[PredictionType] = ()) -> None:
        """`kinds` are the likeliest first."""
        self.margins = margins or {}
        self.kinds = [*kinds, PredictionType.ANOMALY]
        self.asked: dict[str, dict[str, float]] = {}  # by stream, the features of the last time
        self.together: list[list[str]] = []
        self.fell_back_from: str | None = None
        self.failure: Exception | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    async def predict(self, stream_ids: Sequence[str], features: Features) -> Scored:
        self.together.append(list(stream_ids))
        self.meanwhile()
        if self.failure is not None:
            raise self.failure
        for stream_id, row in zip(stream_ids, features.tolist(), strict=True):
            self.asked[stream_id] = dict(zip(NAMES, row, strict=True))
        disks = len(stream_ids)
        likely = [len(self.kinds) - self.kinds.index(kind) if kind in self.kinds else 0 for kind in KINDS]
        raw = Raw(
            margin=np.array([self.margins.get(stream_id, -SURE) for stream_id in stream_ids]),
            kinds=np.tile(np.array(likely, float), (disks, 1)),
            severity=np.zeros(disks),
            contributions=np.where(np.isfinite(features), np.abs(features), 1.0).astype(float),
        )
        return Scored(raw, (LOCAL,) * disks, (self.fell_back_from,) * disks)


def a_judge(chain: FakeChain, metrics: Metrics | None = None, **card: Any) -> ModelJudge:
    """A judge whose risk is 0 or 100, by the margin."""
    return ModelJudge(chain, Card.model_validate(a_card(**card)), metrics or Metrics())
