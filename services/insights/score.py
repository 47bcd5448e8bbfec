"""Scores one peer group: its windows, its streams' past, the rules, and what of it is written."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

import structlog

from iops import items
from iops.bus import ScoringRequest
from iops.clock import Clock, to_epoch_ms
from iops.evidence import Subject, View, latency_facts, load_facts, peers_await_ms, view_of
from iops.insight import Fact, Finding
from iops.items import Stream
from iops.observability import Metrics
from iops.rules import judge_views
from iops.table import Table
from iops.telemetry import Window
from services.insights.combine import combine
from services.insights.judge import Candidate, ModelJudge
from services.insights.record import Worth
from services.insights.tell import Teller
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


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of a stream when somebody asks."""

    stream: Stream
    findings: Mapping[str, Finding]  # of its group, its own among them
    window: Window


@dataclass(frozen=True, slots=True)
class _Group:
    """Streams that were judged together."""

    members: Sequence[_Member]
    views: Mapping[str, View]
    findings: Mapping[str, Finding]

    def findings_of(self, members: Sequence[_Member]) -> dict[str, Finding]:
        """Theirs only."""
        return {each.stream.stream_id: self.findings[each.stream.stream_id] for each in members}

    def plain_facts(self, member: _Member) -> tuple[Fact, ...]:
        """The figures of a disk with which nothing is wrong."""
        view = self.views[member.stream.stream_id]
        peers = [other for other in self.views.values() if other is not view]
        return (*latency_facts(view, peers_await_ms(peers)), *load_facts(view))


class Scorer:
    """Scores groups one at a time each; what it remembers of streams is only a cache of the table."""

    def __init__(
        self,
        table: Table,
        windows: Windows,
        teller: Teller,
        clock: Clock,
        metrics: Metrics,
        model: ModelJudge | None = None,
    ) -> None:
        """Without a `model` the rules score alone."""
        self._teller = teller
        self._model = model
        self._table = table
        self._windows = windows
        self._clock = clock
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._streams: dict[str, tuple[Stream, int]] = {}
        self._groups: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # gone when nobody scores it
        self._scored = metrics.counter("iops_streams_scored", "Streams scored", "scorer")
        self._broken = metrics.counter("iops_model_failures", "Streams that only rules scored because the model broke")

    async def score_group(self, request: ScoringRequest) -> None:
        """Scores every stream of the group that has samples since `since_ms`; idempotent.

        Raises TableUnavailable; what was written until then stays and is not written again.
        """
        async with self._lock(request.peer_group):
            await self._score_group(request)

    async def examine(self, stream: Stream) -> Examined | None:
        """What there is to say of one stream now, which is written nowhere; None where it sent nothing of late.

        Raises TableUnavailable.
        """
        async with self._lock(stream.peer_group):
            return await self._examine(stream)

    async def _score_group(self, request: ScoringRequest) -> None:
        group = await self._judge_group(request)
        current = [each for each in group.members if self._is_current(each.past.window, 0)]
        findings = group.findings_of(current)  # also of those whose batch came a message earlier: they are neighbours
        new = [each for each in current if self._is_current(each.past.window, request.since_ms)]
        worths = Counter([await self._tell(member, findings) for member in new])
        log.info("group_scored", peer_group=request.peer_group, streams=len(group.members), **dict(worths))

    async def _examine(self, stream: Stream) -> Examined | None:
        request = ScoringRequest(peer_group=stream.peer_group, since_ms=to_epoch_ms(self._clock()))
        group = await self._judge_group(request)
        current = [each for each in group.members if self._is_current(each.past.window, 0)]
        member = next((each for each in current if each.stream.stream_id == stream.stream_id), None)
        if member is None:
            return None
        findings = group.findings_of(current)
        if not findings[stream.stream_id].facts:
            facts = group.plain_facts(member)
            findings[stream.stream_id] = findings[stream.stream_id].model_copy(update={"facts": facts})
        return Examined(member.stream, findings, member.past.window)

    async def _judge_group(self, request: ScoringRequest) -> _Group:
        rows = await self._table.query(items.members_query(request.peer_group))
        found = await asyncio.gather(*(self._load(items.item_to_member(row), request) for row in rows))
        members = [member for member in found if member is not None]
        views = {member.stream.stream_id: view_of(member.subject) for member in members}
        return _Group(members, views, await self._judge(members, views))

    def _lock(self, peer_group: str) -> asyncio.Lock:
        return self._groups.setdefault(peer_group, asyncio.Lock())

    async def _tell(self, member: _Member, among: Mapping[str, Finding]) -> Worth:
        stream, worth = member.stream, Worth.SCORE
        try:
            worth = await self._teller.tell(stream, among, member.past.window)
        finally:
            if worth is not Worth.NOTHING:  # also where it failed: the row may not be what we remember
                self._streams.pop(stream.stream_id, None)
        return worth

    async def _judge(self, loaded: Sequence[_Member], views: Mapping[str, View]) -> dict[str, Finding]:
        """What the rules and the model say together."""
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
