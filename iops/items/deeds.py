"""Rows of who changed what."""

from typing import Final

from iops import contract
from iops.audit import Deed
from iops.clock import to_epoch_ms
from iops.items.rows import Item, key_of, number

SEEN_FLAGS_KEY: Final = key_of("audit#flags", "newest")


def deed_put(deed: Deed) -> Item:
    """Stores a deed; holds only if it is not stored yet. Goes into the transaction of what was done."""
    at_ms = to_epoch_ms(deed.at)
    item = key_of(f"audit#{deed.deed_id}", "audit") | {
        contract.TIME_KEY: number(at_ms),
        contract.TTL_ATTRIBUTE: number(at_ms // 1000 + contract.AUDIT_TTL_S),
        "deed_kind": {"S": deed.kind},  # these three are what a list asks for
        "deed_about": {"S": deed.about},
        "deed_by": {"S": deed.by},
        "doc": {"S": deed.model_dump_json()},
    }
    return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}


def deeds_where(*, kind: str | None, about: str | None, by: str | None) -> tuple[str, Item] | None:
    """What `only_where` takes for a list of these; None where all are wanted."""
    wanted = {"deed_kind": kind, "deed_about": about, "deed_by": by}
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        return None
    return " AND ".join(f"{name} = :{name}" for name in given), {
        f":{name}": {"S": value} for name, value in given.items()
    }


def item_to_deed(item: Item) -> Deed:
    """An `audit` row."""
    return Deed.model_validate_json(item["doc"]["S"])


def seen_flags_put(document: str, *, version: int) -> Item:
    """Remembers the flags that the audit saw last; holds only if it is one version on from what is stored."""
    item = SEEN_FLAGS_KEY | {"version": number(version), "doc": {"S": document}}
    return {
        "Item": item,
        "ConditionExpression": "version = :before OR attribute_not_exists(version)",
        "ExpressionAttributeValues": {":before": number(version - 1)},
    }
