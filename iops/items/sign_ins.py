"""Rows of what waits while somebody signs in. None is in an index: whoever has no code finds nothing."""

from iops import contract
from iops.clock import to_epoch_ms
from iops.items.rows import Item, key_of, number
from iops.sign_in import Device, Link


def link_key(code_hash: str) -> Item:
    """Where a link lies, by the hash of its code."""
    return key_of(f"link#{code_hash}", "link")


def link_put(code_hash: str, link: Link) -> Item:
    """Stores a new link."""
    item = link_key(code_hash) | {
        contract.TTL_ATTRIBUTE: number(to_epoch_ms(link.expires_at) // 1000),
        "doc": {"S": link.model_dump_json()},
    }
    return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}


def item_to_link(item: Item) -> Link:
    """A `link` row."""
    return Link.model_validate_json(item["doc"]["S"])


def device_key(user_code: str) -> Item:
    """Where a machine that waits lies."""
    return key_of(f"device#{user_code}", "device")


def device_put(device: Device, *, replaces: Device | None) -> Item:
    """Stores a machine that waits; holds only if it is as `replaces` says, or new where that is None."""
    item = device_key(device.user_code) | {
        contract.TTL_ATTRIBUTE: number(to_epoch_ms(device.expires_at) // 1000),
        "doc": {"S": device.model_dump_json()},
    }
    if replaces is None:
        return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}
    return {"Item": item, **_as_it_was(replaces)}


def device_take(device: Device) -> Item:
    """Deletes it; holds only if it is as it was read, so of two who take it one does."""
    return {"Key": device_key(device.user_code), **_as_it_was(device)}


def item_to_device(item: Item) -> Device:
    """A `device` row."""
    return Device.model_validate_json(item["doc"]["S"])


def _as_it_was(device: Device) -> Item:
    return {
        "ConditionExpression": "doc = :before",
        "ExpressionAttributeValues": {":before": {"S": device.model_dump_json()}},
    }
