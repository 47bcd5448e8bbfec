"""Rows of who changed what."""

from iops import contract
from iops.audit import Deed
from iops.clock import to_epoch_ms
from iops.items.rows import Item, key_of, number


def deed_put(deed: Deed) -> Item:
    """Stores a deed; holds only if it is not stored yet. Goes into the transaction of what was done."""
    at_ms = to_epoch_ms(deed.at)
    item = key_of(f"audit#{deed.deed_id}", "audit") | {
        contract.TIME_KEY: number(at_ms),
        contract.TTL_ATTRIBUTE: number(at_ms // 1000 + contract.AUDIT_TTL_S),
        "doc": {"S": deed.model_dump_json()},
    }
    return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}


def item_to_deed(item: Item) -> Deed:
    """An `audit` row."""
    return Deed.model_validate_json(item["doc"]["S"])
