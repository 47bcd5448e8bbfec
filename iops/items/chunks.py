"""Chunk rows: samples of one stream, at most one hour of the clock each."""

from typing import Final

from iops import chunk, contract
from iops.errors import DamagedChunk
from iops.items.rows import Item, key_of, key_text, number
from iops.rollup import HOUR_MS
from iops.telemetry import Window

CHUNK_PREFIX: Final = "chunk#"
LAST_INSTANT_MS: Final = 9_999_999_999_999  # all that fits the key's fixed width


def chunk_items(stream_id: str, window: Window, *, counters: bytes | None = None) -> list[Item]:
    """A window as chunk rows. None crosses an hour of the clock, so an hour is read without looking before it.

    `counters`, what the next sample will be computed from, goes with the last row: it is stored if that row is.
    """
    limit = contract.BATCH_SAMPLES_LIMIT
    rows = [
        _chunk_item(stream_id, hour if len(hour) <= limit else hour.cut(start, start + limit))
        for hour in window.parts(HOUR_MS)
        for start in range(0, len(hour), limit)
    ]
    if counters is not None:
        rows[-1]["counters"] = {"B": counters}
    return rows


def item_to_window(item: Item) -> Window:
    """Raises DamagedChunk, naming the key, where the row cannot be read."""
    if "data" not in item:
        raise DamagedChunk(key_text(item), "has no data")
    return chunk.decode(item["data"]["B"], key=key_text(item))


def chunk_hour_ms(item: Item) -> int:
    """The hour of the clock that all samples of a chunk lie in: its first millisecond."""
    return int(item[contract.SORT_KEY]["S"].split("#")[1]) // HOUR_MS * HOUR_MS


def item_to_counters(item: Item) -> bytes | None:
    """What was stored beside a chunk; None where its samples came as samples."""
    if "counters" not in item:
        return None
    stored: bytes = item["counters"]["B"]
    return stored


def chunks_query(stream_id: str, *, from_ms: int, to_ms: int, is_consistent: bool = False) -> Item:
    """Every chunk that may hold a sample in `from_ms` to `to_ms`, both included; oldest first."""
    first_hour_ms, last_ms = (max(0, min(at, LAST_INSTANT_MS)) for at in (from_ms // HOUR_MS * HOUR_MS, to_ms))
    return {
        "KeyConditionExpression": "entity_id = :id AND entity_type BETWEEN :from AND :to",
        "ExpressionAttributeValues": {
            ":id": {"S": stream_id},
            ":from": {"S": f"{CHUNK_PREFIX}{first_hour_ms:013d}"},
            ":to": {"S": f"{CHUNK_PREFIX}{last_ms:013d}~"},
        },
        "ConsistentRead": is_consistent,
    }


def newer_chunks_query(stream_id: str, *, from_ms: int) -> Item:
    """Every chunk whose first sample lies at `from_ms` or later, strongly consistent; oldest first."""
    query = chunks_query(stream_id, from_ms=0, to_ms=LAST_INSTANT_MS, is_consistent=True)
    query["ExpressionAttributeValues"][":from"] = {"S": f"{CHUNK_PREFIX}{from_ms:013d}"}
    return query


def newest_chunk_query(stream_id: str) -> Item:
    """The chunk that begins last; half a read unit."""
    query = chunks_query(stream_id, from_ms=0, to_ms=LAST_INSTANT_MS)
    return query | {"ScanIndexForward": False, "Limit": 1}


def _chunk_item(stream_id: str, window: Window) -> Item:
    content = chunk.columns_of(window)
    key = f"{CHUNK_PREFIX}{window.at_ms[0]:013d}#{chunk.content_digest(content)}"
    return key_of(stream_id, key) | {
        "data": {"B": chunk.pack(content)},
        contract.TTL_ATTRIBUTE: number(window.at_ms[-1] // 1000 + contract.CHUNK_TTL_S),
    }
