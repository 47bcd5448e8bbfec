"""Rows of what was found out: baselines, insights, their outbox, feedback, alerts."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from iops import contract
from iops.baseline import Baseline, Usual
from iops.clock import to_epoch_ms
from iops.insight import Feedback, Insight
from iops.items.rows import Item, beginning_query, key_of, number

WORD_PREFIX: Final = "word#"
REWORDED_SUFFIX: Final = "#reworded"
CONFIRMED_SUFFIX: Final = "#confirmed"


def baseline_item(stream_id: str, baseline: Baseline, profile: bytes | None = None) -> Item:
    """The row of a stream's baseline, with its profile where there is one."""
    item = key_of(stream_id, "baseline") | {"doc": {"S": json.dumps(asdict(baseline), allow_nan=False)}}
    return item if profile is None else item | {"profile": {"B": profile}}


def item_to_profile(item: Item) -> bytes | None:
    """A `baseline` row's profile; None where an earlier program wrote it."""
    return bytes(item["profile"]["B"]) if "profile" in item else None


def item_to_baseline(item: Item) -> Baseline:
    """A `baseline` row."""
    document: Item = json.loads(item["doc"]["S"])
    fields: Item = {name: Usual(**value) if isinstance(value, dict) else value for name, value in document.items()}
    return Baseline(**fields)


def insight_item(insight: Insight) -> Item:
    """The row of an insight, which lists it by time and by stream."""
    created_ms = to_epoch_ms(insight.created_at)
    return key_of(f"insight#{insight.insight_id}", "insight") | {
        contract.TIME_KEY: number(created_ms),
        contract.STREAM_KEY: {"S": insight.stream_id},
        "risk_score": number(insight.risk_score),
        contract.TTL_ATTRIBUTE: number(created_ms // 1000 + contract.INSIGHT_TTL_S),
        "doc": {"S": insight.model_dump_json()},
    }


def item_to_insight(item: Item) -> Insight:
    """An `insight` row, or an `outbox` row, which carries the same document."""
    insight = Insight.model_validate_json(item["doc"]["S"])
    return insight.model_copy(update={"is_confirmed": True}) if "confirmed" in item else insight


def outbox_item(insight: Insight, *, reworded_at: datetime | None = None) -> Item:
    """What asks alerts to deal with an insight; written in the same transaction as the insight.

    With `reworded_at` once more, because its risk is another one now: a row of its own, for the first may be under way.
    """
    entity_id = f"insight#{insight.insight_id}" + ("" if reworded_at is None else REWORDED_SUFFIX)
    return key_of(entity_id, "outbox") | {
        contract.TIME_KEY: number(to_epoch_ms(reworded_at or insight.created_at)),
        "doc": {"S": insight.model_dump_json()},
    }


def confirmed_outbox_item(insight: Insight, *, at: datetime) -> Item:
    """What asks alerts to deal with an insight once more, because a second scoring found the same."""
    return key_of(f"insight#{insight.insight_id}{CONFIRMED_SUFFIX}", "outbox") | {
        contract.TIME_KEY: number(to_epoch_ms(at)),
        "doc": {"S": insight.model_dump_json()},
    }


def confirmed_update(row: Item) -> Item:
    """Marks the insight of a row as confirmed, beside its document, which other words may replace at any time.

    Holds only if it was not reworded since the row was read, for a model may have made its risk another one.
    """
    was_reworded = "exists" if "reworded" in row else "not_exists"
    return {
        "Key": key_of(row[contract.PARTITION_KEY]["S"], "insight"),
        "UpdateExpression": "SET confirmed = :yes",
        "ConditionExpression": f"attribute_exists(doc) AND attribute_{was_reworded}(reworded)",
        "ExpressionAttributeValues": {":yes": {"BOOL": True}},
    }


def feedback_item(feedback: Feedback) -> Item:
    """The row of an operator's word on an insight, which lists it by time; kept for good."""
    return key_of(f"feedback#{feedback.feedback_id}", "feedback") | {
        contract.TIME_KEY: number(to_epoch_ms(feedback.created_at)),
        "doc": {"S": feedback.model_dump_json()},
    }


def item_to_feedback(item: Item) -> Feedback:
    """A `feedback` row."""
    return Feedback.model_validate_json(item["doc"]["S"])


@dataclass(frozen=True, slots=True)
class Word:
    """A feedback as its insight lists it, and the key under which its sender would repeat it (None: it gave none)."""

    feedback: Feedback
    request_key: str | None


def word_put(word: Word, place: int) -> Item:
    """Lists a feedback beside its insight; holds only if nobody took that place, so of two at once one succeeds."""
    feedback = word.feedback
    item = key_of(f"insight#{feedback.insight_id}", f"{WORD_PREFIX}{place:04}") | {
        contract.TTL_ATTRIBUTE: number(to_epoch_ms(feedback.created_at) // 1000 + contract.INSIGHT_TTL_S),
        "doc": {"S": feedback.model_dump_json()},
    }
    if word.request_key is not None:
        item["request_key"] = {"S": word.request_key}
    return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}


def words_query(insight_id: str) -> Item:
    """What was said of an insight, oldest first."""
    return beginning_query(f"insight#{insight_id}", WORD_PREFIX)


def item_to_word(item: Item) -> Word:
    """A row that lists a feedback beside its insight."""
    return Word(item_to_feedback(item), item.get("request_key", {}).get("S"))


def insights_of_stream_query(stream_id: str, *, limit: int, min_risk: float = 0, start: Item | None = None) -> Item:
    """Among the `limit` rows of one stream after `start` its insights, newest first, through the index."""
    request: Item = {
        "IndexName": contract.STREAM_INDEX,
        "KeyConditionExpression": "stream_id = :id",
        "FilterExpression": "entity_type = :type AND risk_score >= :min",
        "ExpressionAttributeValues": {
            ":id": {"S": stream_id},
            ":type": {"S": "insight"},
            ":min": {"N": f"{min_risk:.3f}"},
        },
        "ScanIndexForward": False,
        "Limit": limit,
    }
    return request | ({"ExclusiveStartKey": start} if start else {})


def words_update(insight: Insight) -> Item:
    """Replaces the insight with itself in other words; holds once, and only while it is there."""
    return {
        "Key": key_of(f"insight#{insight.insight_id}", "insight"),
        "UpdateExpression": "SET doc = :doc, risk_score = :risk, reworded = :yes",
        "ConditionExpression": "attribute_exists(doc) AND attribute_not_exists(reworded)",
        "ExpressionAttributeValues": {
            ":doc": {"S": insight.model_dump_json()},
            ":risk": number(insight.risk_score),
            ":yes": {"BOOL": True},
        },
    }
