"""Chunk rows: samples of one stream, at most one hour of the clock each."""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from iops import chunk, columns, contract
from iops.errors import DamagedChunk
from iops.items.rows import Item, key_of, key_text, number
from iops.rollup import HOUR_MS
from iops.telemetry import Window, merge_windows

CHUNK_PREFIX: Final = "chunk#"
LAST_INSTANT_MS: Final = 9_999_999_999_999  # all that fits the key's fixed width


class Arrived(NamedTuple):
    """What is stored of one stream; `counters`, what its next sample will be computed from, go with its last row."""

    stream_id: str
    window: Window
    counters: bytes | None = None


def chunk_items(stream_id: str, window: Window, *, counters: bytes | None = None) -> list[Item]:
    """One window as chunk rows."""
    return chunk_items_of([Arrived(stream_id, window, counters)])


def chunk_items_of(arrived: Iterable[Arrived]) -> list[Item]:
    """Windows as chunk rows. None crosses an hour of the clock, so an hour is read without looking before it."""
    parts = [part for whole in arrived for part in _parts(whole)]
    contents = chunk.contents([part.window for part in parts])
    return [_chunk_item(part, content) for part, content in zip(parts, contents, strict=True)]


def item_to_window(item: Item, *, only: Container[str] | None = None) -> Window:
    """Raises DamagedChunk, naming the key, where the row cannot be read."""
    if "data" not in item:
        raise DamagedChunk(key_text(item), "has no data")
    return chunk.decode(item["data"]["B"], key=key_text(item), only=only)


def items_to_window(rows: Sequence[Item], *, only: Container[str] | None = None) -> tuple[Window, list[DamagedChunk]]:
    """One window of many chunks, and what is missing in it because it cannot be read."""
    try:
        return chunk.join([row["data"]["B"] for row in rows], only=only), []
    except (KeyError, *columns.DAMAGE):  # one is damaged, or they overlap
        windows, damaged = [], []
    for row in rows:
        try:
            windows.append(item_to_window(row, only=only))
        except DamagedChunk as error:
            damaged.append(error)
    return merge_windows(windows), damaged


def chunk_begins_ms(item: Item) -> int:
    """A chunk's first sample."""
    return int(item[contract.SORT_KEY]["S"].split("#")[1])


def chunk_hour_ms(item: Item) -> int:
    """The hour of the clock that all samples of a chunk lie in: its first millisecond."""
    return chunk_begins_ms(item) // HOUR_MS * HOUR_MS


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


def _parts(whole: Arrived) -> Iterator[Arrived]:
    limit = contract.BATCH_SAMPLES_LIMIT
    windows = [
        hour if len(hour) <= limit else hour.cut(start, start + limit)
        for hour in whole.window.parts(HOUR_MS)
        for start in range(0, len(hour), limit)
    ]
    yield from (Arrived(whole.stream_id, window) for window in windows[:-1])
    yield whole._replace(window=windows[-1])


def _chunk_item(part: Arrived, content: bytes) -> Item:
    at_ms = part.window.at_ms
    key = f"{CHUNK_PREFIX}{at_ms[0]:013d}#{chunk.content_digest(content)}"
    item = key_of(part.stream_id, key) | {
        "data": {"B": chunk.pack(content)},
        contract.TTL_ATTRIBUTE: number(at_ms[-1] // 1000 + contract.CHUNK_TTL_S),
    }
    if part.counters is not None:
        item["counters"] = {"B": part.counters}
    return item
