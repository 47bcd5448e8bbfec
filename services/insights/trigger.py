"""Which findings are worth a language model's words: those that say something new of a disk that is ill."""

from typing import Final

from iops.contract import INSIGHT_RISK_SCORE
from iops.insight import Finding, PredictionType
from iops.items import Stream

JUMP: Final = 10.0  # points of risk that are news
# Requests take too long: a disk drifts between these as its peers and its demand do. It stays one episode, under the
# first name; its words follow what is known now.
SLOWNESS: Final = frozenset(
    {
        PredictionType.FAIL_SLOW,
        PredictionType.LATENCY_SPIKE,
        PredictionType.PERFORMANCE_DEGRADATION,
        PredictionType.THROUGHPUT_THROTTLING,
    }
)


def should_explain(finding: Finding, previous: Stream) -> bool:
    """At risk 60 or more: a new episode, a jump of 10 since the last insight, or another prediction type.

    A person who asks is always answered, and does not come by here.
    """
    if finding.risk_score < INSIGHT_RISK_SCORE:
        return False
    if not was_ill(previous):
        return True
    has_jumped = finding.risk_score - (previous.insight_risk_score or 0) >= JUMP
    return has_jumped or lasting_type(previous, finding) != previous.insight_type


def was_ill(stream: Stream) -> bool:
    """Its newest insight says so."""
    return (stream.insight_risk_score or 0) >= INSIGHT_RISK_SCORE


def lasting_type(stream: Stream, finding: Finding) -> PredictionType | None:
    """The finding's type, or the type of the running episode where the two name one state of the disk."""
    if was_ill(stream) and stream.insight_type in SLOWNESS and finding.prediction_type in SLOWNESS:
        return stream.insight_type
    return finding.prediction_type
