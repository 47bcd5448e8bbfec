"""Rows of API keys."""

from datetime import datetime, timedelta
from typing import Final

from iops import contract
from iops.clock import from_epoch_ms, to_epoch_ms
from iops.items.rows import Item, key_of, number
from iops.keys import ApiKey

LAST_USED: Final = "last_used"  # beside the document, so that noting a use cannot undo a change of the key


def api_key_key(key_id: str) -> Item:
    """Where a key lies."""
    return key_of(f"apikey#{key_id}", "apikey")


def api_key_put(key: ApiKey, *, replaces: ApiKey | None) -> Item:
    """Stores a key; holds only if it is as `replaces` says, or new where that is None.

    The version tells, not the document: a newer program may write more into that than an older one reads.
    """
    item = api_key_key(key.key_id) | {
        contract.TIME_KEY: number(to_epoch_ms(key.created_at)),
        "version": number(key.version),
        "doc": {"S": key.model_dump_json(exclude={"last_used_at"})},
    }
    if key.last_used_at is not None:
        item[LAST_USED] = number(to_epoch_ms(key.last_used_at))
    if key.ended_at is not None:
        kept_until = key.ended_at + timedelta(seconds=contract.AUDIT_TTL_S)
        item[contract.TTL_ATTRIBUTE] = number(to_epoch_ms(kept_until) // 1000)
    if replaces is None:
        return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}
    return {
        "Item": item,
        "ConditionExpression": "version = :before",
        "ExpressionAttributeValues": {":before": number(replaces.version)},
    }


def item_to_api_key(item: Item) -> ApiKey:
    """An `apikey` row."""
    key = ApiKey.model_validate_json(item["doc"]["S"])
    used = item.get(LAST_USED)
    return key.model_copy(update={"last_used_at": from_epoch_ms(float(used["N"]))}) if used else key


def api_key_used_update(key_id: str, at: datetime, *, unless_since: datetime) -> Item:
    """Notes that a key is in use; holds only if that was not noted since then, and the key is still there."""
    return {
        "Key": api_key_key(key_id),
        "UpdateExpression": "SET #used = :at",
        "ConditionExpression": "attribute_exists(doc) AND (attribute_not_exists(#used) OR #used < :since)",
        "ExpressionAttributeNames": {"#used": LAST_USED},
        "ExpressionAttributeValues": {
            ":at": number(to_epoch_ms(at)),
            ":since": number(to_epoch_ms(unless_since)),
        },
    }
