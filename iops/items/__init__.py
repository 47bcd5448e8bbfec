"""Rows of the table in DynamoDB's own notation, both ways, and the requests that read and change them; no I/O."""

from iops.items.chunks import (
    chunk_items,
    chunks_query,
    item_to_counters,
    item_to_window,
    newer_chunks_query,
    newest_chunk_query,
)
from iops.items.findings import (
    alert_put,
    alerts_of_stream_query,
    baseline_item,
    claim_update,
    insight_item,
    item_to_alert,
    item_to_baseline,
    item_to_insight,
    outbox_item,
)
from iops.items.rows import Item, cursor_to_start, key_of, list_query, only_where, start_to_cursor
from iops.items.streams import (
    Stream,
    item_to_member,
    item_to_stream,
    member_item,
    members_query,
    stream_insight_update,
    stream_scored_update,
    stream_seen_update,
)

__all__ = [
    "Item",
    "Stream",
    "alert_put",
    "alerts_of_stream_query",
    "baseline_item",
    "chunk_items",
    "chunks_query",
    "claim_update",
    "cursor_to_start",
    "insight_item",
    "item_to_alert",
    "item_to_baseline",
    "item_to_counters",
    "item_to_insight",
    "item_to_member",
    "item_to_stream",
    "item_to_window",
    "key_of",
    "list_query",
    "member_item",
    "members_query",
    "newer_chunks_query",
    "newest_chunk_query",
    "only_where",
    "outbox_item",
    "start_to_cursor",
    "stream_insight_update",
    "stream_scored_update",
    "stream_seen_update",
]
