"""Rows of the daily canary: which day's was sent, and when one last came back."""

from datetime import date, datetime
from typing import Final

from iops import contract
from iops.clock import from_epoch_ms, to_epoch_ms
from iops.items.rows import Item, key_of, number

DAY_TTL_S: Final = 7 * 24 * 3600


def canary_day_put(day: date, sent_at: datetime) -> Item:
    """That day's canary is sent; holds only if nobody sent it."""
    item = key_of(f"canary#{day}", "canary") | {
        contract.TTL_ATTRIBUTE: number(to_epoch_ms(sent_at) // 1000 + DAY_TTL_S)
    }
    return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}


def canary_back_key() -> Item:
    """Where it stands when a canary last came back."""
    return key_of("canary", "back")


def canary_watch_put(began_at: datetime) -> Item:
    """The first watch for canaries began; holds only if nothing is known yet."""
    return {"Item": _back_item(began_at), "ConditionExpression": "attribute_not_exists(entity_id)"}


def canary_back_put(back_at: datetime) -> Item:
    """A canary came back; holds only if none came later."""
    return {
        "Item": _back_item(back_at),
        "ConditionExpression": "attribute_not_exists(back_ms) OR back_ms < :back",
        "ExpressionAttributeValues": {":back": number(to_epoch_ms(back_at))},
    }


def item_to_canary_back(item: Item) -> datetime:
    """When a canary last came back; where none has yet, when the watch began."""
    return from_epoch_ms(int(item["back_ms"]["N"]))


def _back_item(at: datetime) -> Item:
    return canary_back_key() | {"back_ms": number(to_epoch_ms(at))}
