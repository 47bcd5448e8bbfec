"""Rows of the table in DynamoDB's own notation, both ways, and the requests that read and change them; no I/O."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from iops import chunk, contract
from iops.baseline import Baseline, Usual
from iops.clock import from_epoch_ms, to_epoch_ms
from iops.errors import DamagedChunk
from iops.insight import Alert, Finding, Insight, PredictionType
from iops.telemetry import Batch, Window

Item = dict[str, Any]

HOUR_MS: Final = 3_600_000
CHUNK_PREFIX: Final = "chunk#"
MEMBER_PREFIX: Final = "member#"


@dataclass(frozen=True, slots=True)
class Stream:
    """What the table knows of a stream beside its samples."""

    stream_id: str
    peer_group: str
    labels: Mapping[str, str]
    provisioned_iops: float | None
    first_seen_at: datetime
    risk_score: float | None = None  # None: not scored yet
    prediction_type: PredictionType | None = None
    scored_at: datetime | None = None
    is_warming_up: bool = True
    insight_id: str | None = None  # its newest insight
    insight_risk_score: float | None = None
    version: int = 0  # of what the scorer wrote; grows by one with each insight


def key_of(entity_id: str, entity_type: str) -> Item:
    """A table key."""
    return {contract.PARTITION_KEY: {"S": entity_id}, contract.SORT_KEY: {"S": entity_type}}


# Chunks.


def chunk_items(stream_id: str, window: Window) -> list[Item]:
    """A window as chunk rows. None crosses an hour of the clock, so an hour is read without looking before it."""
    return [_chunk_item(stream_id, part) for part in _hours_of(window)]


def item_to_window(item: Item) -> Window:
    """Raises DamagedChunk, naming the key, where the row cannot be read."""
    key = f"{item[contract.PARTITION_KEY]['S']} {item[contract.SORT_KEY]['S']}"
    if "data" not in item:
        raise DamagedChunk(key, "has no data")
    return chunk.decode(item["data"]["B"], key=key)


def chunks_query(stream_id: str, *, from_ms: int, to_ms: int, is_consistent: bool = False) -> Item:
    """Every chunk that may hold a sample in `from_ms` to `to_ms`, both included; oldest first."""
    first_hour_ms = from_ms // HOUR_MS * HOUR_MS
    return {
        "KeyConditionExpression": "entity_id = :id AND entity_type BETWEEN :from AND :to",
        "ExpressionAttributeValues": {
            ":id": {"S": stream_id},
            ":from": {"S": f"{CHUNK_PREFIX}{first_hour_ms:013d}"},
            ":to": {"S": f"{CHUNK_PREFIX}{to_ms:013d}~"},
        },
        "ConsistentRead": is_consistent,
    }


def newer_chunks_query(stream_id: str, *, from_ms: int) -> Item:
    """Every chunk whose first sample lies at `from_ms` or later, strongly consistent; oldest first."""
    query = chunks_query(stream_id, from_ms=0, to_ms=9_999_999_999_999, is_consistent=True)
    query["ExpressionAttributeValues"][":from"] = {"S": f"{CHUNK_PREFIX}{from_ms:013d}"}
    return query


def newest_chunk_query(stream_id: str) -> Item:
    """The chunk that begins last; half a read unit."""
    query = chunks_query(stream_id, from_ms=0, to_ms=9_999_999_999_999)
    return query | {"ScanIndexForward": False, "Limit": 1}


def _chunk_item(stream_id: str, window: Window) -> Item:
    content = chunk.columns_of(window)
    key = f"{CHUNK_PREFIX}{window.at_ms[0]:013d}#{chunk.content_digest(content)}"
    return key_of(stream_id, key) | {
        "data": {"B": chunk.pack(content)},
        contract.TTL_ATTRIBUTE: _number(window.at_ms[-1] // 1000 + contract.CHUNK_TTL_S),
    }


def _hours_of(window: Window) -> Iterator[Window]:
    start = 0
    for index in range(1, len(window) + 1):
        if index == len(window) or window.at_ms[index] // HOUR_MS != window.at_ms[start] // HOUR_MS:
            yield window.cut(start, index)
            start = index


# Streams and their groups.


def stream_seen_update(batch: Batch, *, first_at_ms: int, now_ms: int) -> Item:
    """What ingest knows of a stream; keeps what the scorer wrote, and answers with the attributes it replaced."""
    values = {
        ":group": {"S": batch.group},
        ":labels": {"S": json.dumps(batch.labels, sort_keys=True)},
        ":first": _number(first_at_ms),
        ":now": _number(now_ms),
    }
    update = "SET peer_group = :group, labels = :labels, first_seen = if_not_exists(first_seen, :first), #ts = :now"
    if batch.provisioned_iops is None:
        update += " REMOVE provisioned_iops"
    else:
        update += ", provisioned_iops = :limit"
        values[":limit"] = _number(batch.provisioned_iops)
    return {
        "Key": key_of(batch.stream_id, "stream"),
        "UpdateExpression": update,
        "ExpressionAttributeNames": {"#ts": contract.TIME_KEY},
        "ExpressionAttributeValues": values,
        "ReturnValues": "ALL_OLD",
    }


def stream_scored_update(stream: Stream, finding: Finding, *, now_ms: int, insight_id: str | None = None) -> Item:
    """What the scorer found; holds only if nobody wrote an insight of this stream since `stream` was read.

    With `insight_id` the version grows, so that of two scorers that saw the same state one writes an insight.
    """
    values = {
        ":risk": _number(finding.risk_score),
        ":type": {"S": finding.prediction_type} if finding.prediction_type else {"NULL": True},
        ":warming": {"BOOL": finding.warming_up},
        ":now": _number(now_ms),
        ":seen": _number(stream.version),
    }
    update = "SET risk_score = :risk, prediction_type = :type, warming_up = :warming, scored = :now, #ts = :now"
    if insight_id is not None:
        update += ", insight_id = :insight, insight_risk_score = :risk, version = :next"
        values |= {":insight": {"S": insight_id}, ":next": _number(stream.version + 1)}
    is_unchanged = "attribute_not_exists(version)" if stream.version == 0 else "version = :seen"
    if stream.version == 0:
        del values[":seen"]
    return {
        "Key": key_of(stream.stream_id, "stream"),
        "UpdateExpression": update,
        "ConditionExpression": f"attribute_exists(peer_group) AND {is_unchanged}",
        "ExpressionAttributeNames": {"#ts": contract.TIME_KEY},
        "ExpressionAttributeValues": values,
    }


def item_to_stream(item: Item) -> Stream:
    """A `stream` row."""
    kind = item.get("prediction_type", {}).get("S")
    scored = item.get("scored")
    return Stream(
        stream_id=item[contract.PARTITION_KEY]["S"],
        peer_group=item["peer_group"]["S"],
        labels=json.loads(item["labels"]["S"]),
        provisioned_iops=_float_or_none(item.get("provisioned_iops")),
        first_seen_at=from_epoch_ms(float(item["first_seen"]["N"])),
        risk_score=_float_or_none(item.get("risk_score")),
        prediction_type=PredictionType(kind) if kind else None,
        scored_at=from_epoch_ms(float(scored["N"])) if scored else None,
        is_warming_up=item.get("warming_up", {}).get("BOOL", True),
        insight_id=item.get("insight_id", {}).get("S"),
        insight_risk_score=_float_or_none(item.get("insight_risk_score")),
        version=int(item.get("version", {}).get("N", "0")),
    )


def member_item(peer_group: str, stream_id: str) -> Item:
    """The row that makes a stream a member of its peer group."""
    return key_of(f"group#{peer_group}", MEMBER_PREFIX + stream_id)


def members_query(peer_group: str) -> Item:
    """The members of a peer group."""
    return {
        "KeyConditionExpression": "entity_id = :id AND begins_with(entity_type, :prefix)",
        "ExpressionAttributeValues": {":id": {"S": f"group#{peer_group}"}, ":prefix": {"S": MEMBER_PREFIX}},
    }


def item_to_member(item: Item) -> str:
    """The stream id of a member row."""
    return str(item[contract.SORT_KEY]["S"])[len(MEMBER_PREFIX) :]


# Baselines.


def baseline_item(stream_id: str, baseline: Baseline) -> Item:
    """The row of a stream's baseline."""
    return key_of(stream_id, "baseline") | {"doc": {"S": json.dumps(asdict(baseline), allow_nan=False)}}


def item_to_baseline(item: Item) -> Baseline:
    """A `baseline` row."""
    fields: Item = json.loads(item["doc"]["S"])
    return Baseline(**{name: Usual(**value) if isinstance(value, dict) else value for name, value in fields.items()})


# Insights, their outbox, and alerts.


def insight_item(insight: Insight) -> Item:
    """The row of an insight, which lists it by time and by stream."""
    created_ms = to_epoch_ms(insight.created_at)
    return key_of(f"insight#{insight.insight_id}", "insight") | {
        contract.TIME_KEY: _number(created_ms),
        contract.STREAM_KEY: {"S": insight.stream_id},
        "risk_score": _number(insight.risk_score),
        contract.TTL_ATTRIBUTE: _number(created_ms // 1000 + contract.INSIGHT_TTL_S),
        "doc": {"S": insight.model_dump_json()},
    }


def item_to_insight(item: Item) -> Insight:
    """An `insight` row, or an `outbox` row, which carries the same document."""
    return Insight.model_validate_json(item["doc"]["S"])


def outbox_item(insight: Insight) -> Item:
    """What asks alerts to deal with an insight; written in the same transaction as the insight."""
    return key_of(f"insight#{insight.insight_id}", "outbox") | {
        contract.TIME_KEY: _number(to_epoch_ms(insight.created_at)),
        "doc": {"S": insight.model_dump_json()},
    }


def claim_update(outbox_key: Item, *, owner: str, now_ms: int, lease_ms: int) -> Item:
    """Takes an outbox row for `lease_ms`; holds only if nobody else's lease is running."""
    return {
        "Key": outbox_key,
        "UpdateExpression": "SET lease_owner = :owner, lease_until = :until",
        "ConditionExpression": "attribute_exists(doc) AND (attribute_not_exists(lease_until) OR lease_until < :now)",
        "ExpressionAttributeValues": {
            ":owner": {"S": owner},
            ":until": _number(now_ms + lease_ms),
            ":now": _number(now_ms),
        },
    }


def alert_put(alert: Alert) -> Item:
    """Stores an alert; holds only if its last version is still the one before."""
    item = key_of(f"alert#{alert.alert_id}", "alert") | {
        contract.TIME_KEY: _number(to_epoch_ms(alert.updated_at)),
        contract.STREAM_KEY: {"S": alert.stream_id},
        "state": {"S": alert.state},
        "version": _number(alert.version),
        "doc": {"S": alert.model_dump_json()},
    }
    if alert.resolved_at is not None:
        item[contract.TTL_ATTRIBUTE] = _number(to_epoch_ms(alert.resolved_at) // 1000 + contract.ALERT_TTL_S)
    if alert.version == 1:
        return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}
    return {
        "Item": item,
        "ConditionExpression": "version = :before",
        "ExpressionAttributeValues": {":before": _number(alert.version - 1)},
    }


def item_to_alert(item: Item) -> Alert:
    """An `alert` row."""
    return Alert.model_validate_json(item["doc"]["S"])


# Lists.


def list_query(entity_type: str, *, limit: int, start: Item | None = None, oldest_first: bool = False) -> Item:
    """A page of one kind of row by time, through the index."""
    request: Item = {
        "IndexName": contract.ENTITY_TYPE_INDEX,
        "KeyConditionExpression": "entity_type = :type",
        "ExpressionAttributeValues": {":type": {"S": entity_type}},
        "ScanIndexForward": oldest_first,
        "Limit": limit,
    }
    return request | ({"ExclusiveStartKey": start} if start else {})


def only_where(request: Item, expression: str, values: Item) -> Item:
    """The same query, filtered after the read: it costs the same and answers with less."""
    return request | {
        "FilterExpression": expression,
        "ExpressionAttributeValues": request["ExpressionAttributeValues"] | values,
    }


def _number(value: float) -> Item:
    return {"N": f"{value:.15g}"}


def _float_or_none(attribute: Item | None) -> float | None:
    return float(attribute["N"]) if attribute else None
