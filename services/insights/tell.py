"""Writes what a finding is worth, and has what is new put into a language model's words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import structlog

from iops import items
from iops.clock import Clock, from_epoch_ms, to_epoch_ms
from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE
from iops.errors import Conflict, TableUnavailable
from iops.insight import Evidence, Finding, Insight
from iops.items import Standing, Stream
from iops.observability import Metrics
from iops.table import Table
from iops.telemetry import Window
from services.insights.confirm import standing_after, write_confirmation
from services.insights.improve import Improver
from services.insights.recall import Around, neighbours_of, recall
from services.insights.record import (
    Worth,
    evidence_of,
    is_worth_a_row,
    make_insight,
    weigh,
    write_insight,
    write_score,
)
from services.insights.trigger import should_explain

log = structlog.get_logger()


class Teller:
    """What becomes of findings. An insight is stored in the template's words; better ones come when they come."""

    def __init__(self, table: Table, clock: Clock, metrics: Metrics, improver: Improver) -> None:
        self._table = table
        self._clock = clock
        self._improver = improver
        self._written = metrics.counter("iops_findings_written", "Findings by what was written of them", "worth")
        self._lost_races = metrics.counter("iops_insight_races_lost", "Findings that another scorer was faster with")
        self._risks_lost = metrics.counter("iops_risk_points_lost", "Points of a risk's history that were not stored")
        self._ill = metrics.counter("iops_findings_ill", "Findings at risk 60 or more, by who is to word them", "words")
        self.findings_ill = 0  # since the start, at risk 60 or more
        self.findings_for_a_model = 0  # of those, the ones that a language model is to word where one may be asked

    async def tell(self, stream: Stream, findings: Mapping[str, Finding], window: Window) -> Worth:
        """Of `stream`, whose finding is one of those of its group. Raises TableUnavailable."""
        finding, now = findings[stream.stream_id], from_epoch_ms(to_epoch_ms(self._clock()))
        now_ms = to_epoch_ms(now)
        standing = standing_after(stream, finding, newest_ms=window.at_ms[-1])
        worth = weigh(stream, finding, standing, now_ms=now_ms)
        if finding.risk_score >= INSIGHT_RISK_SCORE:
            self._count(is_for_a_model=_is_for_a_model(worth, finding, stream))
        if worth is Worth.QUIETED and finding.risk_score >= PAGE_RISK_SCORE:
            standing = stream.standing  # what nobody is to be told of confirms nothing
        is_new = standing != stream.standing or is_worth_a_row(stream, finding, now_ms=now_ms)
        writes_row = is_new if worth is Worth.QUIETED else worth is not Worth.NOTHING
        try:
            if worth in (Worth.INSIGHT, Worth.RECOVERY):
                await self._write(stream, findings, window, worth=worth, standing=standing, now=now)
            elif worth is Worth.CONFIRMATION:
                await self._confirm(stream, findings, window, standing=standing, now=now)
            elif writes_row:
                await write_score(self._table, stream, finding, standing, now_ms=now_ms)
        except Conflict:  # another scorer was faster; the next scoring sees what it wrote
            self._lost_races.inc()
        else:
            if writes_row:
                await self._keep_risk(stream, finding, now_ms)
        self._written.labels(worth).inc()
        return worth

    async def gather(
        self, stream: Stream, findings: Mapping[str, Finding], window: Window, *, now: datetime
    ) -> Evidence:
        """All that is known of a stream's finding. Raises TableUnavailable."""
        finding = findings[stream.stream_id]
        around = Around(
            peers=len(findings) - 1,
            neighbours=neighbours_of(stream.stream_id, findings),
            earlier=await recall(self._table, stream.stream_id, finding.prediction_type),
        )
        return evidence_of(stream, finding, window, around, now=now)

    def _count(self, *, is_for_a_model: bool) -> None:
        self.findings_ill += 1
        self.findings_for_a_model += is_for_a_model
        self._ill.labels("model" if is_for_a_model else "template").inc()

    async def _keep_risk(self, stream: Stream, finding: Finding, now_ms: int) -> None:
        """One more point of its history, which only charts read: where it fails, that point is missing."""
        try:
            await self._table.update(items.risk_update(stream.stream_id, finding, now_ms=now_ms))
        except TableUnavailable as error:
            self._risks_lost.inc()
            log.warning("risk_not_kept", stream_id=stream.stream_id, reason=error.detail)

    async def _confirm(
        self, stream: Stream, findings: Mapping[str, Finding], window: Window, *, standing: Standing, now: datetime
    ) -> None:
        row = await self._table.get(items.key_of(f"insight#{stream.insight_id}", "insight"))
        if row is None:  # 90 days have passed
            await self._write(stream, findings, window, worth=Worth.INSIGHT, standing=standing, now=now)
            return
        finding = findings[stream.stream_id]
        told = await write_confirmation(self._table, stream, finding, row, standing=standing, now=now)
        if told is not None:
            log.info("insight_confirmed", insight_id=told.insight_id, stream_id=told.stream_id)

    async def _write(
        self,
        stream: Stream,
        findings: Mapping[str, Finding],
        window: Window,
        *,
        worth: Worth,
        standing: Standing,
        now: datetime,
    ) -> None:
        finding = findings[stream.stream_id]
        evidence = await self.gather(stream, findings, window, now=now)
        if worth is Worth.RECOVERY:
            standing = Standing()
        insight = make_insight(stream, finding, evidence, worth=worth, standing=standing, now=now)
        is_for_a_model = _is_for_a_model(worth, finding, stream)
        if is_for_a_model:
            insight = self._improver.announce(insight)
        await write_insight(self._table, stream, finding, insight, standing)
        if is_for_a_model:
            self._improver.begin(insight, evidence)
        _log(insight)


def _is_for_a_model(worth: Worth, finding: Finding, stream: Stream) -> bool:
    return worth is Worth.INSIGHT and should_explain(finding, stream)


def _log(insight: Insight) -> None:
    log.info(
        "insight_written",
        insight_id=insight.insight_id,
        stream_id=insight.stream_id,
        prediction_type=insight.prediction_type,
        risk_score=insight.risk_score,
    )
