"""Stream rows, and the rows that make a stream a member of its peer group."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from iops import contract
from iops.clock import from_epoch_ms, to_epoch_ms
from iops.insight import Finding, Insight, PredictionType
from iops.items.rows import Item, beginning_query, float_or_none, key_of, number

MEMBER_PREFIX: Final = "member#"
QUIET_PREFIX: Final = "quiet_"  # and a prediction type: at most 8 attributes, each until when


@dataclass(frozen=True, slots=True)
class Standing:
    """How near people are to being told of a stream: it takes two scorings at 80 or more in a row, or a hard rule."""

    high_to_ms: int | None = None  # newest sample of the first such scoring, which waits for a second; None: none does
    is_confirmed: bool = False  # until it has recovered


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
    insight_type: PredictionType | None = None
    insight_at: datetime | None = None
    standing: Standing = Standing()
    version: int = 0  # grows by one with each insight, each quiet, and each change of its standing
    quiet_until: Mapping[PredictionType, datetime] = field(default_factory=dict)  # by dismissed type; may be past

    def is_quiet(self, kind: PredictionType | None, now: datetime) -> bool:
        """An operator dismissed this kind of trouble a short time ago."""
        return kind is not None and kind in self.quiet_until and now < self.quiet_until[kind]


class SeenStream(Protocol):
    """What a batch, or another door's word for it, says of its stream."""

    @property
    def stream_id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def provisioned_iops(self) -> float | None: ...


def stream_seen_update(batch: SeenStream, *, now_ms: int) -> Item:
    """What ingest knows of a stream; keeps what the scorer wrote, and answers with the attributes it replaced."""
    values = {
        ":group": {"S": batch.group},
        ":labels": {"S": json.dumps(dict(batch.labels), sort_keys=True)},
        ":now": number(now_ms),
    }
    update = "SET peer_group = :group, labels = :labels, first_seen = if_not_exists(first_seen, :now), #ts = :now"
    if batch.provisioned_iops is None:
        update += " REMOVE provisioned_iops"
    else:
        update += ", provisioned_iops = :limit"
        values[":limit"] = number(batch.provisioned_iops)
    return {
        "Key": key_of(batch.stream_id, "stream"),
        "UpdateExpression": update,
        "ExpressionAttributeNames": {"#ts": contract.TIME_KEY},
        "ExpressionAttributeValues": values,
        "ReturnValues": "ALL_OLD",
    }


def stream_scored_update(stream: Stream, finding: Finding, *, now_ms: int) -> Item:
    """What the scorer found, where it is not worth an insight.

    Below 80 nothing waits for a second scoring any more, also where `stream` is too old to know that something did.
    """
    request = _scored_update(stream, finding, now_ms)
    if finding.risk_score < contract.PAGE_RISK_SCORE:
        request["UpdateExpression"] += ", high_to = :none"
        request["ExpressionAttributeValues"][":none"] = {"NULL": True}
    return request


def stream_standing_update(stream: Stream, finding: Finding, standing: Standing, *, now_ms: int) -> Item:
    """What the scorer found, and the stream's new standing; holds only if nobody wrote either since it was read."""
    request = _scored_update(stream, finding, now_ms)
    request["UpdateExpression"] += ", high_to = :high_to, confirmed = :confirmed, version = :next"
    request["ExpressionAttributeValues"] |= {
        ":high_to": {"NULL": True} if standing.high_to_ms is None else number(standing.high_to_ms),
        ":confirmed": {"BOOL": standing.is_confirmed},
    }
    return _if_unchanged(request, stream)


def stream_insight_update(stream: Stream, finding: Finding, insight: Insight, standing: Standing = Standing()) -> Item:
    """What the scorer found, with the insight it wrote in the same transaction.

    Holds only if nobody wrote an insight of this stream since `stream` was read: of two scorers that saw the same
    state one succeeds.
    """
    request = stream_standing_update(stream, finding, standing, now_ms=to_epoch_ms(insight.created_at))
    request["UpdateExpression"] += (
        ", insight_id = :insight, insight_risk_score = :risk, insight_type = :insight_type, insight_at = :now"
    )
    values = request["ExpressionAttributeValues"]
    values |= {":insight": {"S": insight.insight_id}, ":insight_type": {"S": insight.prediction_type}}
    return request


def newest_insight_check(insight: Insight) -> Item:
    """Holds only while nothing newer is known of the stream; it writes nothing."""
    return {
        "Key": key_of(insight.stream_id, "stream"),
        "ConditionExpression": "insight_id = :insight",
        "ExpressionAttributeValues": {":insight": {"S": insight.insight_id}},
    }


def stream_forget_update(stream: Stream) -> Item:
    """Makes the stream's newest insight no news any more: what is still found of it is told like something new."""
    request = {
        "Key": key_of(stream.stream_id, "stream"),
        "UpdateExpression": "SET insight_risk_score = :nothing, high_to = :none, confirmed = :no, version = :next",
        "ConditionExpression": "attribute_exists(peer_group)",
        "ExpressionAttributeValues": {":nothing": number(0), ":none": {"NULL": True}, ":no": {"BOOL": False}},
    }
    return _if_unchanged(request, stream)


def stream_quiet_update(stream: Stream, kind: PredictionType, until: datetime | None) -> Item:
    """Quiets a kind of trouble until an instant; with None, ends that.

    It takes the stream's version, so that a scorer that remembers the stream from before cannot write its insight.
    """
    name = QUIET_PREFIX + kind
    change = f"SET version = :next REMOVE {name}" if until is None else f"SET version = :next, {name} = :until"
    request = {
        "Key": key_of(stream.stream_id, "stream"),
        "UpdateExpression": change,
        "ConditionExpression": "attribute_exists(peer_group)",
        "ExpressionAttributeValues": {} if until is None else {":until": number(to_epoch_ms(until))},
    }
    return _if_unchanged(request, stream)


def _if_unchanged(request: Item, stream: Stream) -> Item:
    """The same update, which holds only if the stream's version is still that of `stream`, and sets `:next`."""
    values = request["ExpressionAttributeValues"]
    values[":next"] = number(stream.version + 1)
    if stream.version == 0:
        request["ConditionExpression"] += " AND attribute_not_exists(version)"
    else:
        request["ConditionExpression"] += " AND version = :seen"
        values[":seen"] = number(stream.version)
    if stream.standing.high_to_ms is not None:  # a scoring below 80 may have ended that without a version
        request["ConditionExpression"] += " AND high_to = :high_seen"
        values[":high_seen"] = number(stream.standing.high_to_ms)
    return request


def _scored_update(stream: Stream, finding: Finding, now_ms: int) -> Item:
    update = "SET risk_score = :risk, prediction_type = :type, warming_up = :warming, scored = :now, #ts = :now"
    return {
        "Key": key_of(stream.stream_id, "stream"),
        "UpdateExpression": update,
        "ConditionExpression": "attribute_exists(peer_group)",
        "ExpressionAttributeNames": {"#ts": contract.TIME_KEY},
        "ExpressionAttributeValues": _finding_values(finding, now_ms),
    }


def _finding_values(finding: Finding, now_ms: int) -> Item:
    return {
        ":risk": number(finding.risk_score),
        ":type": {"S": finding.prediction_type} if finding.prediction_type else {"NULL": True},
        ":warming": {"BOOL": finding.warming_up},
        ":now": number(now_ms),
    }


def item_to_stream(item: Item) -> Stream:
    """A `stream` row."""
    return Stream(
        stream_id=item[contract.PARTITION_KEY]["S"],
        peer_group=item["peer_group"]["S"],
        labels=json.loads(item["labels"]["S"]),
        provisioned_iops=float_or_none(item.get("provisioned_iops")),
        first_seen_at=from_epoch_ms(float(item["first_seen"]["N"])),
        risk_score=float_or_none(item.get("risk_score")),
        prediction_type=_type_or_none(item.get("prediction_type")),
        scored_at=_instant_or_none(item.get("scored")),
        is_warming_up=item.get("warming_up", {}).get("BOOL", True),
        insight_id=item.get("insight_id", {}).get("S"),
        insight_risk_score=float_or_none(item.get("insight_risk_score")),
        insight_type=_type_or_none(item.get("insight_type")),
        insight_at=_instant_or_none(item.get("insight_at")),
        standing=_standing_of(item),
        version=int(item.get("version", {}).get("N", "0")),
        quiet_until={
            kind: from_epoch_ms(float(item[QUIET_PREFIX + kind]["N"]))
            for kind in PredictionType
            if QUIET_PREFIX + kind in item
        },
    )


def member_item(peer_group: str, stream_id: str) -> Item:
    """The row that makes a stream a member of its peer group."""
    return key_of(f"group#{peer_group}", MEMBER_PREFIX + stream_id)


def members_query(peer_group: str) -> Item:
    """The members of a peer group."""
    return beginning_query(f"group#{peer_group}", MEMBER_PREFIX, is_consistent=False)


def item_to_member(item: Item) -> str:
    """The stream id of a member row."""
    return str(item[contract.SORT_KEY]["S"])[len(MEMBER_PREFIX) :]


def _standing_of(item: Item) -> Standing:
    high_to = item.get("high_to", {}).get("N")  # NULL where it ended
    return Standing(None if high_to is None else int(high_to), item.get("confirmed", {}).get("BOOL", False))


def _type_or_none(attribute: Item | None) -> PredictionType | None:
    return PredictionType(attribute["S"]) if attribute and "S" in attribute else None


def _instant_or_none(attribute: Item | None) -> datetime | None:
    return from_epoch_ms(float(attribute["N"])) if attribute else None
