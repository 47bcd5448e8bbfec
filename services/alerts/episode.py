"""What an insight changes about the alerts of its stream; pure decisions, idempotent for an insight seen twice."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE
from iops.insight import Alert, AlertState, Insight, PredictionType


@dataclass(frozen=True, slots=True)
class Decision:
    """The alerts to store (each one version on), and whether the insight goes to the bus."""

    changed: tuple[Alert, ...]
    is_published: bool


def alert_id_of(stream_id: str, prediction_type: PredictionType | None) -> str:
    """The fingerprint of an episode: 16 hex digits, the same for the same stream and type."""
    return hashlib.blake2b(f"{stream_id}\0{prediction_type}".encode(), digest_size=8).hexdigest()


def decide(insight: Insight, alerts: Sequence[Alert]) -> Decision:
    """What becomes of an insight; `alerts` are those of its stream, in any state.

    The bus gets every insight but those that only repeat a page: its rule tells people of what is 80 or more, so an
    episode that goes on at 80 or more stays off the bus.
    """
    alert_id = alert_id_of(insight.stream_id, insight.prediction_type)
    current = next((alert for alert in alerts if alert.alert_id == alert_id), None)
    if insight.risk_score < INSIGHT_RISK_SCORE:
        # A recovery ends all; a model that thinks nothing of one insight ends what that insight told, and no more.
        is_recovery = insight.explained_by == "template"
        told = (alert for alert in alerts if is_recovery or alert.insight_id == insight.insight_id)
        firing = (alert for alert in told if alert.state is AlertState.FIRING)
        return Decision(tuple(_resolved(alert, insight) for alert in firing), is_published=True)
    if current is not None and current.state is AlertState.FIRING:
        # The insight that opened the episode comes again only when its publication was not confirmed.
        is_published = insight.risk_score < PAGE_RISK_SCORE or current.opened_by == insight.insight_id
        changed = () if current.insight_id == insight.insight_id else (_updated(current, insight),)
        return Decision(changed, is_published=is_published)
    if insight.risk_score < PAGE_RISK_SCORE:
        return Decision((), is_published=True)
    return Decision((_opened(alert_id, insight, current),), is_published=True)


def _opened(alert_id: str, insight: Insight, before: Alert | None) -> Alert:
    return Alert(
        alert_id=alert_id,
        stream_id=insight.stream_id,
        peer_group=insight.peer_group,
        prediction_type=insight.prediction_type,
        state=AlertState.FIRING,
        risk_score=insight.risk_score,
        opened_at=insight.created_at,
        updated_at=insight.created_at,
        insight_id=insight.insight_id,
        opened_by=insight.insight_id,
        title=insight.title,
        explanation=insight.explanation,
        recommendations=insight.recommendations,
        facts=insight.facts,
        version=1 if before is None else before.version + 1,
    )


def _updated(alert: Alert, insight: Insight) -> Alert:
    return alert.model_copy(
        update={
            "risk_score": insight.risk_score,
            "updated_at": insight.created_at,
            "insight_id": insight.insight_id,
            "title": insight.title,
            "explanation": insight.explanation,
            "recommendations": insight.recommendations,
            "facts": insight.facts,
            "version": alert.version + 1,
        }
    )


def _resolved(alert: Alert, insight: Insight) -> Alert:
    """Keeps the facts of the illness: they are why people were told."""
    return alert.model_copy(
        update={
            "state": AlertState.RESOLVED,
            "risk_score": insight.risk_score,
            "updated_at": insight.created_at,
            "resolved_at": insight.created_at,
            "insight_id": insight.insight_id,
            "version": alert.version + 1,
        }
    )
