"""What a finding is seen beside: the peers that are ill too, and what was said of the like before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from iops import items
from iops.contract import INSIGHT_RISK_SCORE
from iops.insight import Earlier, Finding, Insight, Neighbour, PredictionType
from iops.table import Table, readable
from services.insights.hear import read_words

NEIGHBOURS_LIMIT: Final = 5  # named; more would not fit a mail
INSIGHTS_LOOKED_AT: Final = 25  # of the stream, the newest; older ones are another story


@dataclass(frozen=True, slots=True)
class Around:
    """What evidence holds beside the stream's own numbers."""

    peers: int
    neighbours: tuple[Neighbour, ...] = ()
    earlier: Earlier | None = None


def neighbours_of(stream_id: str, findings: Mapping[str, Finding]) -> tuple[Neighbour, ...]:
    """The other streams of the group that are at risk 60 or more, the worst first."""
    ill = [
        Neighbour(stream_id=other, risk_score=found.risk_score, prediction_type=found.prediction_type)
        for other, found in findings.items()
        if other != stream_id and found.prediction_type is not None and found.risk_score >= INSIGHT_RISK_SCORE
    ]
    return tuple(sorted(ill, key=lambda each: (-each.risk_score, each.stream_id))[:NEIGHBOURS_LIMIT])


async def recall(table: Table, stream_id: str, kind: PredictionType | None) -> Earlier | None:
    """The stream's last insight of this type; None where there is none, or nothing is wrong. Raises TableUnavailable.

    The index may lag by a moment, so that an insight of a second ago is not found.
    """
    if kind is None:
        return None
    rows, _ = await table.query_page(items.insights_of_stream_query(stream_id, limit=INSIGHTS_LOOKED_AT))
    alike = (each for each in readable(rows, items.item_to_insight) if _is_alike(each, kind))
    insight = next(alike, None)
    return None if insight is None else await _with_last_word(table, insight)


def _is_alike(insight: Insight, kind: PredictionType) -> bool:
    is_told = not insight.is_asked_for  # a question is no episode, and nobody judged it as one
    return is_told and insight.prediction_type is kind and insight.risk_score >= INSIGHT_RISK_SCORE


async def _with_last_word(table: Table, insight: Insight) -> Earlier:
    words = await read_words(table, insight.insight_id)
    last = words[-1].feedback if words else None
    return Earlier(
        insight_id=insight.insight_id,
        created_at=insight.created_at,
        risk_score=insight.risk_score,
        verdict=last.verdict if last else None,
        prediction_type=last.prediction_type if last else None,
        text=last.text if last else None,
    )
