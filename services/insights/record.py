"""What a finding is worth: an insight, a new risk in the stream's row, or nothing."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from ulid import ULID

from iops import items
from iops.clock import from_epoch_ms
from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE
from iops.insight import Evidence, Finding, Insight
from iops.items import Standing, Stream
from iops.table import Table
from iops.telemetry import Window
from services.insights.recall import Around
from services.insights.template import Explanation, explain, explain_recovery
from services.insights.trigger import lasting_type, should_explain, was_ill

MOVE: Final = 5.0  # points of risk that are worth the three writes of an index row
LOUD_RISK: Final = 95.0  # from here on nothing is quieted, nor is a hard rule
REFRESH: Final = timedelta(hours=1)
RECOVERY_MIN_AGE: Final = timedelta(seconds=60)  # an insight is not taken back within the minute it was written


class Worth(StrEnum):
    """What is to be written."""

    INSIGHT = "insight"
    RECOVERY = "recovery"
    CONFIRMATION = "confirmation"  # of the newest insight, by a second scoring
    QUIETED = "quieted"  # would be an insight, had not an operator dismissed the like
    SCORE = "score"
    NOTHING = "nothing"


def weigh(
    stream: Stream, finding: Finding, standing: Standing, *, now_ms: int, page_risk: float = PAGE_RISK_SCORE
) -> Worth:
    """Decides by what the table already says of the stream, and the standing it has from now on."""
    is_ill = finding.risk_score >= INSIGHT_RISK_SCORE
    now = from_epoch_ms(now_ms)
    is_confirmed_now = standing.is_confirmed and not stream.standing.is_confirmed
    is_news = should_explain(finding, stream) or _is_worth_a_page_now(stream, finding, page_risk)
    if is_news or (is_confirmed_now and finding.is_hard_rule):
        return Worth.QUIETED if _is_quieted(stream, finding, now) else Worth.INSIGHT
    if is_confirmed_now:
        return Worth.QUIETED if _is_quieted(stream, finding, now) else Worth.CONFIRMATION
    if was_ill(stream) and not is_ill and (stream.insight_at is None or now - stream.insight_at >= RECOVERY_MIN_AGE):
        return Worth.RECOVERY
    is_new = standing != stream.standing or is_worth_a_row(stream, finding, now_ms=now_ms)
    return Worth.SCORE if is_new else Worth.NOTHING


def is_worth_a_row(stream: Stream, finding: Finding, *, now_ms: int) -> bool:
    """The stream's row should say the new risk."""
    has_moved = stream.risk_score is None or abs(finding.risk_score - stream.risk_score) >= MOVE
    has_warmed_up = stream.is_warming_up != finding.warming_up
    is_old = stream.scored_at is None or from_epoch_ms(now_ms) - stream.scored_at >= REFRESH
    return has_moved or has_warmed_up or is_old


def evidence_of(stream: Stream, finding: Finding, window: Window, around: Around, *, now: datetime) -> Evidence:
    """What is known, of a finding as it is."""
    return Evidence(
        stream_id=stream.stream_id,
        peer_group=stream.peer_group,
        labels=dict(stream.labels),
        provisioned_iops=stream.provisioned_iops,
        prediction_type=finding.prediction_type,
        risk_score=finding.risk_score,
        confidence=finding.confidence,
        facts=finding.facts,
        window_from=from_epoch_ms(window.at_ms[0]),
        window_to=from_epoch_ms(window.at_ms[-1]),
        began_at=finding.began_at or now,
        is_hard_rule=finding.is_hard_rule,
        warming_up=finding.warming_up,
        peers=around.peers,
        neighbours=around.neighbours,
        earlier=around.earlier,
    )


def make_insight(
    stream: Stream,
    finding: Finding,
    evidence: Evidence,
    *,
    worth: Worth,
    standing: Standing,
    now: datetime,
    page_risk: float = PAGE_RISK_SCORE,
) -> Insight:
    """The insight of a finding in the template's words, under the name of the episode it opens, goes on or ends."""
    kind = stream.insight_type if worth is Worth.RECOVERY else lasting_type(stream, finding)
    assert kind is not None, "an insight has a type: its own, or that of the episode it ends"
    named = evidence.model_copy(update={"prediction_type": kind})
    words = explain_recovery(named) if worth is Worth.RECOVERY else explain(evidence)
    is_confirmed = standing.is_confirmed or finding.risk_score < page_risk
    told = {"is_confirmed": is_confirmed, "sequence": stream.version + 1}
    return worded(finding, named, words, now=now).model_copy(update=told)


def worded(finding: Finding, evidence: Evidence, words: Explanation, *, now: datetime) -> Insight:
    """A new insight, which nobody has stored yet."""
    return Insight(
        **dict(evidence),
        insight_id=str(ULID.from_datetime(now)),
        created_at=now,
        title=words.title,
        explanation=words.explanation,
        recommendations=words.recommendations,
        scored_by=finding.scored_by,
        asked_before=finding.asked_before,
        explained_by="template",
    )


async def write_insight(table: Table, stream: Stream, finding: Finding, insight: Insight, standing: Standing) -> None:
    """The insight, its outbox row and the stream's new state, all or none.

    Raises Conflict where another scorer was faster, TableUnavailable where nothing is known of the outcome.
    """
    await table.transact(
        [
            {"Put": {"Item": items.insight_item(insight)}},
            {"Put": {"Item": items.outbox_item(insight)}},
            {"Update": items.stream_insight_update(stream, finding, insight, standing)},
        ]
    )


async def write_score(table: Table, stream: Stream, finding: Finding, standing: Standing, *, now_ms: int) -> None:
    """The stream's new risk, and its standing where that is another one.

    Raises Conflict where another scorer wrote since `stream` was read, TableUnavailable.
    """
    if standing == stream.standing:
        await table.update(items.stream_scored_update(stream, finding, now_ms=now_ms))
    else:
        await table.update(items.stream_standing_update(stream, finding, standing, now_ms=now_ms))


def _is_quieted(stream: Stream, finding: Finding, now: datetime) -> bool:
    is_loud = finding.is_hard_rule or finding.risk_score >= LOUD_RISK
    return not is_loud and stream.is_quiet(lasting_type(stream, finding), now)


def _is_worth_a_page_now(stream: Stream, finding: Finding, page_risk: float) -> bool:
    """A step from 79 to 85 is no jump, and people are told of it."""
    return (stream.insight_risk_score or 0) < page_risk <= finding.risk_score
