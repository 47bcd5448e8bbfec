"""Rows of hosts whose agent is silent, so that of several replicas one tells it."""

from dataclasses import dataclass

from iops import contract
from iops.clock import to_epoch_ms
from iops.insight import Insight
from iops.items.rows import Item, key_of, list_query, number

HOSTS_AT_ONCE = 1_000  # a page of the list


@dataclass(frozen=True, slots=True)
class SilentHost:
    """A host that people were told of."""

    host: str
    insight: Insight  # what they were told
    version: int


def host_key(host: str) -> Item:
    """Where it stands what was told of a host."""
    return key_of(f"host#{host}", "host")


def host_put(insight: Insight, *, version: int, is_silent: bool) -> Item:
    """What was told last of the host that the insight is about; holds only if its version is the one before.

    Only a silent one is in the list of hosts.
    """
    created_ms = to_epoch_ms(insight.created_at)
    item = host_key(insight.stream_id) | {
        "version": number(version),
        contract.TTL_ATTRIBUTE: number(created_ms // 1000 + contract.ALERT_TTL_S),
    }
    if is_silent:
        item |= {contract.TIME_KEY: number(created_ms), "doc": {"S": insight.model_dump_json()}}
    if version == 1:
        return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}
    before = {":before": number(version - 1)}
    return {"Item": item, "ConditionExpression": "version = :before", "ExpressionAttributeValues": before}


def silent_hosts_query() -> Item:
    """The hosts that are silent, as they were told."""
    return list_query("host", limit=HOSTS_AT_ONCE)


def item_to_silent_host(item: Item) -> SilentHost:
    """A row of that list."""
    insight = Insight.model_validate_json(item["doc"]["S"])
    return SilentHost(insight.stream_id, insight, item_to_host_version(item))


def item_to_host_version(item: Item | None) -> int:
    """Of a `host` row; 0 where there is none."""
    return int(item["version"]["N"]) if item else 0
