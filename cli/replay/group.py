"""One peer group, scored again: what the insights service would have said of its streams at an instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cli.replay.desk import Desk
from cli.replay.options import Trial
from cli.replay.track import Track
from iops.clock import from_epoch_ms, to_epoch_ms
from iops.evidence import Subject, View, view_of
from iops.insight import Finding, Insight
from iops.items import Standing, Stream
from iops.rules import judge_views
from services.insights.combine import combine
from services.insights.confirm import confirmed, standing_after
from services.insights.judge import Candidate, ModelJudge
from services.insights.recall import Around, neighbours_of
from services.insights.record import Worth, evidence_of, make_insight, weigh
from services.insights.score import CURRENT_MS, device_kind


@dataclass(slots=True)
class Member:
    """A stream of the group: what the table would say of it, and its newest insight."""

    stream: Stream
    track: Track
    is_told: bool  # else it is only a peer of those that were asked for
    insight: Insight | None = None

    @property
    def stream_id(self) -> str:
        """Its own."""
        return self.stream.stream_id

    @property
    def kind(self) -> str:
        """Of its device."""
        return device_kind(self.stream.stream_id, self.stream.labels.get("volume_type"))


class Group:
    """Scores as `services.insights.score` and tells as `services.insights.tell`, and writes nothing."""

    def __init__(self, members: Sequence[Member], model: ModelJudge | None, desk: Desk, trial: Trial) -> None:
        """Without a `model` the rules score alone."""
        self._members = members
        self._model = model
        self._desk = desk
        self._trial = trial
        self.scored = 0
        self.insights = 0

    async def step(self, now_ms: int) -> None:
        """Scores the streams that have new samples, and passes the time until then."""
        now = from_epoch_ms(now_ms)
        self._desk.pass_time(now=now)
        new = [member for member in self._members if member.track.advance(now_ms)]
        if not new:
            return
        findings = await self._judge()
        current = {
            member.stream_id: findings[member.stream_id]
            for member in self._members
            if len(member.track.past.window) and member.track.past.window.at_ms[-1] >= now_ms - CURRENT_MS
        }
        self.scored += len(new)
        for member in new:
            if member.is_told:
                self._tell(member, current, now)

    async def _judge(self) -> dict[str, Finding]:
        views = {member.stream_id: _view(member) for member in self._members}
        findings = judge_views(views)
        for kind in sorted({member.kind for member in self._members}) if self._model else ():
            await self._ask([member for member in self._members if member.kind == kind], views, findings)
        return findings

    async def _ask(self, alike: Sequence[Member], views: Mapping[str, View], findings: dict[str, Finding]) -> None:
        assert self._model is not None, "somebody is asked"
        said = await self._model.judge(
            [Candidate(each.stream_id, each.track.past, views[each.stream_id]) for each in alike]
        )
        for member in alike:
            if by_model := said.get(member.stream_id):
                member.track.note_score(minute=by_model.minute, page_score=by_model.page_score)
                findings[member.stream_id] = combine(findings[member.stream_id], by_model.finding)

    def _tell(self, member: Member, findings: Mapping[str, Finding], now: datetime) -> None:
        finding, window = findings[member.stream_id], member.track.past.window
        page_risk = self._trial.rules.page_risk
        standing = self._standing(member.stream, finding, newest_ms=window.at_ms[-1])
        worth = weigh(member.stream, finding, standing, now_ms=to_epoch_ms(now), page_risk=page_risk)
        told: Insight | None = None
        if worth in (Worth.INSIGHT, Worth.RECOVERY):
            standing = Standing() if worth is Worth.RECOVERY else standing
            told = member.insight = self._insight(member, findings, worth=worth, standing=standing, now=now)
            self.insights += 1
        elif worth is Worth.CONFIRMATION and member.insight is not None:
            told = confirmed(member.insight, finding, page_risk=page_risk)
        if worth is not Worth.NOTHING:
            member.stream = _after(member, finding, standing, is_new=worth in (Worth.INSIGHT, Worth.RECOVERY), now=now)
        if told is not None:
            self._desk.take(told, now=now)

    def _standing(self, stream: Stream, finding: Finding, *, newest_ms: int) -> Standing:
        page_risk = self._trial.rules.page_risk
        if self._trial.confirmations == 1 and finding.risk_score >= page_risk:
            return Standing(is_confirmed=True)
        return standing_after(stream, finding, newest_ms=newest_ms, page_risk=page_risk)

    def _insight(
        self, member: Member, findings: Mapping[str, Finding], *, worth: Worth, standing: Standing, now: datetime
    ) -> Insight:
        stream, finding = member.stream, findings[member.stream_id]
        around = Around(peers=len(findings) - 1, neighbours=neighbours_of(stream.stream_id, findings))
        evidence = evidence_of(stream, finding, member.track.past.window, around, now=now)
        page_risk = self._trial.rules.page_risk
        return make_insight(stream, finding, evidence, worth=worth, standing=standing, now=now, page_risk=page_risk)


def _view(member: Member) -> View:
    past, limit = member.track.past, member.stream.provisioned_iops
    return view_of(Subject(past.window, past.baseline, provisioned_iops=limit, device_kind=member.kind))


def _after(member: Member, finding: Finding, standing: Standing, *, is_new: bool, now: datetime) -> Stream:
    """The stream's row as `services.insights.record` would have written it."""
    stream = replace(
        member.stream,
        risk_score=finding.risk_score,
        prediction_type=finding.prediction_type,
        scored_at=now,
        is_warming_up=finding.warming_up,
        standing=standing,
    )
    insight = member.insight
    if not is_new or insight is None:
        return stream
    return replace(
        stream,
        insight_id=insight.insight_id,
        insight_risk_score=insight.risk_score,
        insight_type=insight.prediction_type,
        insight_at=now,
    )
