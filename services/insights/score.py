"""Scores one peer group: its windows, its streams' past, the rules, and what of it is written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

import structlog

from iops import items
from iops.bus import ScoringRequest
from iops.clock import Clock, to_epoch_ms
from iops.errors import Conflict
from iops.evidence import Subject, View, view_of
from iops.insight import Finding
from iops.items import Stream
from iops.observability import Metrics
from iops.rules import judge_views
from iops.table import Table
from iops.telemetry import Window
from services.insights.combine import combine
from services.insights.judge import Candidate, ModelJudge
from services.insights.record import Worth, is_worth_a_row, make_insight, weigh, write_insight, write_score
from services.insights.windows import Past, Windows

log = structlog.get_logger()

READS_AT_ONCE: Final = 16
LETTERED_DISK: Final = re.compile(r"(sd|vd|xvd|hd)[a-z]+\d*")  # sda, vdb, xvdf: the driver and a count in letters
CURRENT_MS: Final = 1_800_000  # longer than any sensible batch, shorter than an outage worth a spool
STREAMS_LIMIT: Final = 20_000
STREAM_MAX_AGE_MS: Final = 300_000  # a stream's row is read again after this; a lost race reads it at once


@dataclass(frozen=True, slots=True)
class _Member:
    """A stream of the group that is scored."""

    stream: Stream
    past: Past
    subject: Subject


class Scorer:
    """Scores groups one at a time each; what it remembers of streams is only a cache of the table."""

    def __init__(
        self, table: Table, windows: Windows, clock: Clock, metrics: Metrics, model: ModelJudge | None = None
    ) -> None:
        """Without a `model` the rules score alone."""
        self._model = model
        self._table = table
        self._windows = windows
        self._clock = clock
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._streams: dict[str, tuple[Stream, int]] = {}
        self._groups: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # gone when nobody scores it
        self._scored = metrics.counter("iops_streams_scored", "Streams scored", "scorer")
        self._broken = metrics.counter("iops_model_failures", "Streams that only rules scored because the model broke")
        self._written = metrics.counter("iops_findings_written", "Findings by what was written of them", "worth")
        self._lost_races = metrics.counter("iops_insight_races_lost", "Insights that another scorer had written")

    async def score_group(self, request: ScoringRequest) -> None:
        """Scores every stream of the group that has samples since `since_ms`; idempotent.

        Raises TableUnavailable; what was written until then stays and is not written again.
        """
        lock = self._groups.setdefault(request.peer_group, asyncio.Lock())
        async with lock:
            await self._score_group(request)

    async def _score_group(self, request: ScoringRequest) -> None:
        members = [
            items.item_to_member(row) for row in await self._table.query(items.members_query(request.peer_group))
        ]
        loaded = [
            each for each in await asyncio.gather(*(self._load(stream_id, request) for stream_id in members)) if each
        ]
        findings = await self._judge(loaded)
        written: dict[str, int] = {}
        for member in loaded:
            window, stream = member.past.window, member.stream
            if not self._is_current(window, request.since_ms):
                continue
            worth = await self._write(stream, findings[stream.stream_id], window)
            self._written.labels(worth).inc()
            written[worth] = written.get(worth, 0) + 1
        log.info("group_scored", peer_group=request.peer_group, streams=len(loaded), **written)

    async def _judge(self, loaded: Sequence[_Member]) -> dict[str, Finding]:
        """What the rules and the model say together."""
        views = {member.stream.stream_id: view_of(member.subject) for member in loaded}
        findings = judge_views(views)
        if self._model is not None:
            for kind in {member.subject.device_kind for member in loaded}:
                alike = [member for member in loaded if member.subject.device_kind == kind]
                await self._ask(self._model, alike, views, findings)
        for finding in findings.values():
            self._scored.labels(finding.scored_by).inc()
        return findings

    async def _ask(
        self, model: ModelJudge, alike: Sequence[_Member], views: Mapping[str, View], findings: dict[str, Finding]
    ) -> None:
        """Puts what the model says of some streams into their findings."""
        ids = [member.stream.stream_id for member in alike]
        try:
            said = await model.judge(
                [Candidate(id_, member.past, views[id_]) for id_, member in zip(ids, alike, strict=True)]
            )
        except Exception as error:  # whatever is wrong with a model, the rules must not wait for its repair
            log.exception("model_broke", streams=len(ids))
            self._broken.inc(len(ids))
            why = (f"model: {type(error).__name__}",)
            findings |= {id_: findings[id_].model_copy(update={"asked_before": why}) for id_ in ids}
            return
        for stream_id, by_model in said.items():
            self._windows.note_score(stream_id, minute=by_model.minute, page_score=by_model.page_score)
            findings[stream_id] = combine(findings[stream_id], by_model.finding)

    async def _load(self, stream_id: str, request: ScoringRequest) -> _Member | None:
        async with self._reads:
            past = await self._windows.load(stream_id, since_ms=request.since_ms)
            stream = await self._stream(stream_id, request.peer_group)
        if stream is None:
            return None
        kind = device_kind(stream_id, stream.labels.get("volume_type"))
        limit = stream.provisioned_iops
        return _Member(stream, past, Subject(past.window, past.baseline, provisioned_iops=limit, device_kind=kind))

    async def _stream(self, stream_id: str, peer_group: str) -> Stream | None:
        """None where there is no such stream, or it moved to another group and its old member row outlived that."""
        now_ms = to_epoch_ms(self._clock())
        cached = self._streams.get(stream_id)
        if cached and cached[0].peer_group == peer_group and now_ms - cached[1] < STREAM_MAX_AGE_MS:
            return cached[0]
        row = await self._table.get(items.key_of(stream_id, "stream"))
        stream = items.item_to_stream(row) if row else None
        if stream is None or stream.peer_group != peer_group:
            return None
        if len(self._streams) >= STREAMS_LIMIT:
            self._streams.clear()  # only a cache: it fills again
        self._streams[stream_id] = (stream, now_ms)
        return stream

    def _is_current(self, window: Window, since_ms: int) -> bool:
        """There are new samples, and the newest is of now: what an agent kept for hours says nothing of the present."""
        oldest_ms = max(since_ms, to_epoch_ms(self._clock()) - CURRENT_MS)
        return len(window) > 0 and window.at_ms[-1] >= oldest_ms

    async def _write(self, stream: Stream, finding: Finding, window: Window) -> Worth:
        now_ms = to_epoch_ms(self._clock())
        worth = weigh(stream, finding, now_ms=now_ms)
        moves_row = worth is not Worth.QUIETED or is_worth_a_row(stream, finding, now_ms=now_ms)
        if worth is Worth.NOTHING or not moves_row:
            return worth
        self._streams.pop(stream.stream_id, None)  # whatever comes of it, the row is not what we remember
        if worth in (Worth.SCORE, Worth.QUIETED):
            await write_score(self._table, stream, finding, now_ms=now_ms)
            return worth
        insight = make_insight(stream, finding, window, worth=worth, now_ms=now_ms)
        try:
            await write_insight(self._table, stream, finding, insight)
        except Conflict:
            self._lost_races.inc()
        else:
            log.info(
                "insight_written",
                insight_id=insight.insight_id,
                stream_id=stream.stream_id,
                prediction_type=insight.prediction_type,
                risk_score=insight.risk_score,
            )
        return worth


def device_kind(stream_id: str, volume_type: str | None) -> str:
    """Which devices are alike: by volume type where it is known, else by the kernel's name for the driver.

    >>> device_kind("web-1:nvme0n1", None), device_kind("web-1:sda", None), device_kind("vol-1", "gp3")
    ('nvme', 'sd', 'gp3')
    """
    if volume_type:
        return volume_type
    device = stream_id.rpartition(":")[2]
    lettered = LETTERED_DISK.fullmatch(device)
    return lettered.group(1) if lettered else device.rstrip("0123456789np-")
