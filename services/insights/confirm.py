"""When people are told of a finding at 80 or more: at its second scoring in a row, or at once by a hard rule."""

from __future__ import annotations

from datetime import datetime

from iops import items
from iops.clock import to_epoch_ms
from iops.contract import PAGE_RISK_SCORE
from iops.insight import Finding, Insight
from iops.items import Item, Standing, Stream
from iops.table import Table


def standing_after(stream: Stream, finding: Finding, *, newest_ms: int, page_risk: float = PAGE_RISK_SCORE) -> Standing:
    """The stream's standing after a scoring whose newest sample lies at `newest_ms`; the same samples change nothing.

    What is confirmed stays so until the stream has recovered: alerts holds an episode down to 60 too.
    """
    before = stream.standing
    if finding.risk_score >= page_risk and (finding.is_hard_rule or before.is_confirmed):
        return Standing(is_confirmed=True)
    if before.high_to_ms is not None and newest_ms <= before.high_to_ms:
        return before
    if finding.risk_score < page_risk:
        return Standing(is_confirmed=before.is_confirmed)
    return Standing(newest_ms) if before.high_to_ms is None else Standing(is_confirmed=True)


def confirmed(insight: Insight, finding: Finding, *, page_risk: float = PAGE_RISK_SCORE) -> Insight | None:
    """The stored insight as people are to be told of it, at the risk that it has now; None where it is no page.

    Its words and facts stay together, as of the first scoring. A risk that a model has set stays: below 80 it is none.
    """
    opinion = insight.opinion
    is_theirs = opinion is not None and opinion.risk_score == insight.risk_score
    risk_score = insight.risk_score if is_theirs else finding.risk_score
    if risk_score < page_risk:
        return None
    return insight.model_copy(update={"risk_score": risk_score, "is_confirmed": True})


async def write_confirmation(
    table: Table, stream: Stream, finding: Finding, row: Item, *, standing: Standing, now: datetime
) -> Insight | None:
    """The stream's standing, and with it a second outbox row for its newest insight, whose `row` was just read.

    None where only the standing is written. Raises Conflict where another scorer, or a model's words, came first.
    """
    told = confirmed(items.item_to_insight(row), finding)
    if told is not None:
        told = told.model_copy(update={"sequence": stream.version + 1})
    writes: list[Item] = [{"Update": items.stream_standing_update(stream, finding, standing, now_ms=to_epoch_ms(now))}]
    if told is not None:
        writes.append({"Update": items.confirmed_update(row)})
        writes.append({"Put": {"Item": items.confirmed_outbox_item(told, at=now)}})
    await table.transact(writes)
    return told
