"""Asks the endpoint what it would have said, serves what the trees here say, and tells how far they agree."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import compress
from types import TracebackType
from typing import Final, Self

import numpy as np
import structlog

from iops.observability import Metrics
from iops.risk import KINDS, Raw
from services.insights.scorers import LOCAL, Features, Percent, Scored, Scorer, ScorerUnavailable, in_share, take

log = structlog.get_logger()

COMPARISONS_LIMIT: Final = 8  # under way at once; a group more is not compared, and counted
# Of a log-odds: rounding, what nobody sees in a risk score, what moves it by points, and what is another model.
DIFFERENCE_BUCKETS: Final = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
TOLD: Final = 5  # streams of a comparison whose scores stand in its log line


class Shadow:
    """A context. Nobody waits for the endpoint: comparisons run beside the scoring and end with the context."""

    def __init__(self, local: Scorer, remote: Scorer, percent: Percent, metrics: Metrics) -> None:
        self._local = local
        self._remote = remote
        self._percent = percent
        self._under_way: set[asyncio.Task[None]] = set()
        self._compared = metrics.counter("iops_shadow_compared", "Streams that both scorers scored")
        self._missed = metrics.counter("iops_shadow_missed", "Streams that were not compared", "reason")
        self._kinds_differ = metrics.counter("iops_shadow_kinds_differ", "Streams whose kinds of incident differ")
        self._difference = metrics.histogram(
            "iops_shadow_margin_difference", "Difference of the two log-odds of a stream", buckets=DIFFERENCE_BUCKETS
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def predict(self, stream_ids: Sequence[str], features: Features) -> Scored:
        """What the trees here say; always answers."""
        raw = await self._local.predict(features)
        chosen = in_share(stream_ids, self._percent())
        if chosen.any():
            asked = list(compress(stream_ids, chosen))
            self._begin(asked, features[chosen], take(raw, chosen))
        return Scored(raw, (LOCAL,) * len(stream_ids), (None,) * len(stream_ids))

    def _begin(self, stream_ids: Sequence[str], features: Features, local: Raw) -> None:
        if len(self._under_way) >= COMPARISONS_LIMIT:
            self._missed.labels("busy").inc(len(stream_ids))
            return
        task = asyncio.create_task(self._compare(stream_ids, features, local))
        self._under_way.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("comparison_broke", error=repr(error))

    async def _compare(self, stream_ids: Sequence[str], features: Features, local: Raw) -> None:
        try:
            remote = await self._remote.predict(features)
        except ScorerUnavailable as error:
            self._missed.labels(error.reason).inc(len(stream_ids))
            return
        difference = np.abs(remote.margin - local.margin)
        local_kind, remote_kind = np.argmax(local.kinds, axis=1), np.argmax(remote.kinds, axis=1)
        self._compared.inc(len(stream_ids))
        self._kinds_differ.inc(int(np.count_nonzero(local_kind != remote_kind)))
        for value in difference.tolist():
            self._difference.observe(value)
        widest = np.argsort(-difference, kind="stable")[:TOLD].tolist()
        log.info(
            "scores_compared",
            streams=len(stream_ids),
            widest=[
                {
                    "stream_id": stream_ids[place],
                    "local_margin": round(float(local.margin[place]), 6),
                    "sagemaker_margin": round(float(remote.margin[place]), 6),
                    "local_kind": KINDS[local_kind[place]],
                    "sagemaker_kind": KINDS[remote_kind[place]],
                }
                for place in widest
            ],
        )
