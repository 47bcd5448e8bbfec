"""Risk rows, one an hour and stream: what its risk was, each time that its own row said a new one."""

from __future__ import annotations

from typing import Final, NamedTuple

from iops import contract
from iops.insight import Finding, PredictionType
from iops.items.chunks import LAST_INSTANT_MS
from iops.items.rows import Item, key_of, number
from iops.rollup import HOUR_MS

RISK_PREFIX: Final = "risk#"  # then the hour's first epoch ms at fixed width, as a chunk's key has it
ENTRY_PREFIX: Final = "at_"  # then the millisecond of the hour: an entry written twice is one


class Risk(NamedTuple):
    """What a stream's risk was from an instant on."""

    at_ms: int
    risk_score: float
    prediction_type: PredictionType | None  # None: nothing was wrong


def risk_update(stream_id: str, finding: Finding, *, now_ms: int) -> Item:
    """Adds what was found to its hour; at most 39 bytes, so one write unit while an hour has up to 24 of them."""
    hour_ms = now_ms // HOUR_MS * HOUR_MS
    return {
        "Key": key_of(stream_id, f"{RISK_PREFIX}{hour_ms:013d}"),
        "UpdateExpression": "SET #entry = :entry, #ttl = :ttl",
        "ExpressionAttributeNames": {"#entry": f"{ENTRY_PREFIX}{now_ms - hour_ms}", "#ttl": contract.TTL_ATTRIBUTE},
        "ExpressionAttributeValues": {
            ":entry": {"S": f"{finding.risk_score:.1f} {finding.prediction_type or ''}"},
            ":ttl": number((hour_ms + HOUR_MS) // 1000 + contract.ROLLUP_TTL_S),
        },
    }


def risks_query(stream_id: str, *, from_ms: int, to_ms: int) -> Item:
    """The rows of the hours that `from_ms` to `to_ms` touch, both included; oldest first."""
    first_ms, last_ms = (max(0, min(at, LAST_INSTANT_MS)) // HOUR_MS * HOUR_MS for at in (from_ms, to_ms))
    return {
        "KeyConditionExpression": "entity_id = :id AND entity_type BETWEEN :from AND :to",
        "ExpressionAttributeValues": {
            ":id": {"S": stream_id},
            ":from": {"S": f"{RISK_PREFIX}{first_ms:013d}"},
            ":to": {"S": f"{RISK_PREFIX}{last_ms:013d}"},
        },
    }


def item_to_risks(item: Item) -> list[Risk]:
    """The entries of a risk row, oldest first."""
    hour_ms = int(item[contract.SORT_KEY]["S"].removeprefix(RISK_PREFIX))
    entries = {name: value for name, value in item.items() if name.startswith(ENTRY_PREFIX)}
    return sorted(_entry_to_risk(hour_ms + int(name[len(ENTRY_PREFIX) :]), each["S"]) for name, each in entries.items())


def _entry_to_risk(at_ms: int, entry: str) -> Risk:
    risk_score, _, kind = entry.partition(" ")
    return Risk(at_ms, float(risk_score), PredictionType(kind) if kind else None)
