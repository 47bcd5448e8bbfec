"""Rollup rows, one an hour and stream, and the marks that ask for an hour to be rolled up again."""

from collections.abc import Container, Sequence
from typing import Final

from iops import columns, contract, rollup
from iops.baseline import MINUTE_MS
from iops.errors import DamagedRollup
from iops.items.chunks import LAST_INSTANT_MS
from iops.items.rows import Item, beginning_query, key_of, key_text, number
from iops.rollup import HOUR_MS, Rollup, merge_rollups

ROLLUP_PREFIX: Final = "rollup#"  # then the hour's first epoch ms at fixed width, as a chunk's key has it
LATE_PREFIX: Final = "late#"  # then the hour's first epoch ms, `#`, and the minute in which the mark was set


def rollup_update(stream_id: str, minutes: Rollup) -> Item:
    """Stores an hour; holds only if what is stored of it was not made of more samples.

    So the order in which two replicas write does not matter, and a chunk that has expired takes nothing away.
    """
    hour_ms = minutes.at_ms[0] // HOUR_MS * HOUR_MS
    return {
        "Key": key_of(stream_id, f"{ROLLUP_PREFIX}{hour_ms:013d}"),
        "UpdateExpression": "SET #data = :data, samples = :samples, #ttl = :ttl",
        "ConditionExpression": "attribute_not_exists(samples) OR samples <= :samples",
        "ExpressionAttributeNames": {"#data": "data", "#ttl": contract.TTL_ATTRIBUTE},
        "ExpressionAttributeValues": {
            ":data": {"B": rollup.encode(minutes)},
            ":samples": number(sum(minutes.count["interval_s"])),
            ":ttl": number((hour_ms + HOUR_MS) // 1000 + contract.ROLLUP_TTL_S),
        },
    }


def item_to_rollup(item: Item, *, only: Container[str] | None = None) -> Rollup:
    """Raises DamagedRollup, naming the key, where the row cannot be read."""
    if "data" not in item:
        raise DamagedRollup(key_text(item), "has no data")
    return rollup.decode(item["data"]["B"], key=key_text(item), only=only)


def items_to_rollup(rows: Sequence[Item], *, only: Container[str] | None = None) -> tuple[Rollup, list[DamagedRollup]]:
    """One rollup of many rows, and what is missing in it because it cannot be read."""
    try:
        return rollup.join([row["data"]["B"] for row in rows], only=only), []
    except (KeyError, *columns.DAMAGE):
        rollups, damaged = [], []
    for row in rows:
        try:
            rollups.append(item_to_rollup(row, only=only))
        except DamagedRollup as error:
            damaged.append(error)
    return merge_rollups(rollups), damaged


def is_rollup(item: Item) -> bool:
    """A rollup row, among chunks."""
    return str(item[contract.SORT_KEY]["S"]).startswith(ROLLUP_PREFIX)


def rollup_hour_ms(item: Item) -> int:
    """The first millisecond of a rollup's hour."""
    return int(item[contract.SORT_KEY]["S"].removeprefix(ROLLUP_PREFIX))


def rollups_query(stream_id: str, *, from_ms: int, to_ms: int) -> Item:
    """The rollups of the hours that `from_ms` to `to_ms` touch, both included; oldest first."""
    first_ms, last_ms = (max(0, min(at, LAST_INSTANT_MS)) // HOUR_MS * HOUR_MS for at in (from_ms, to_ms))
    return {
        "KeyConditionExpression": "entity_id = :id AND entity_type BETWEEN :from AND :to",
        "ExpressionAttributeValues": {
            ":id": {"S": stream_id},
            ":from": {"S": f"{ROLLUP_PREFIX}{first_ms:013d}"},
            ":to": {"S": f"{ROLLUP_PREFIX}{last_ms:013d}"},
        },
    }


def newest_rollup_query(stream_id: str) -> Item:
    """The newest rollup; half a read unit."""
    return rollups_query(stream_id, from_ms=0, to_ms=LAST_INSTANT_MS) | {"ScanIndexForward": False, "Limit": 1}


def late_item(stream_id: str, *, since_ms: int, now_ms: int) -> Item:
    """Says that samples of `since_ms` or later came after their hour may have been rolled up; one row a minute."""
    hour_ms, minute_ms = since_ms // HOUR_MS * HOUR_MS, now_ms // MINUTE_MS * MINUTE_MS
    return key_of(stream_id, f"{LATE_PREFIX}{hour_ms:013d}#{minute_ms:013d}") | {
        contract.TTL_ATTRIBUTE: number(now_ms // 1000 + contract.CHUNK_TTL_S)
    }


def late_query(stream_id: str) -> Item:
    """The marks of one stream, strongly consistent; one read unit."""
    return beginning_query(stream_id, LATE_PREFIX)


def item_to_late(item: Item) -> tuple[int, int]:
    """The hour a mark speaks of, and the minute in which it was set, both in epoch ms."""
    _, hour_ms, minute_ms = item[contract.SORT_KEY]["S"].split("#")
    return int(hour_ms), int(minute_ms)
