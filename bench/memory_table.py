"""The table in memory: DynamoDB's answers to the requests that ingest writes, at little cost; no I/O.

An item stays the JSON it came as. Only its key is looked at, so that a write costs a microsecond or two; the rest is
decoded where an update needs it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from bench.expression import Refused, apply_update, read_key_range
from iops.contract import PARTITION_KEY, SORT_KEY, TABLE_NAME
from iops.items import Item

BATCH_LIMIT: Final = 25  # items, DynamoDB's limit for BatchWriteItem
PAGE_LIMIT_BYTES: Final = 1024 * 1024  # of JSON, so a page of binary data is a quarter shorter than DynamoDB's
KEY_LIMITS_BYTES: Final = (2048, 1024)
ITEM_LIMIT_BYTES: Final = 400 * 1024

Key = tuple[str, str]


class _Text(msgspec.Struct):
    S: str


class _Keys(msgspec.Struct):
    entity_id: _Text
    entity_type: _Text


class _Put(msgspec.Struct):
    Item: msgspec.Raw


class _Delete(msgspec.Struct):
    Key: msgspec.Raw


class Write(msgspec.Struct):
    """One entry of a BatchWriteItem."""

    PutRequest: _Put | None = None
    DeleteRequest: _Delete | None = None


DECODE_KEYS: Final = msgspec.json.Decoder(_Keys)
ENCODE: Final = msgspec.json.Encoder().encode


class Partition:
    """The items of one partition key, in the order of their sort keys."""

    def __init__(self) -> None:
        self.items: dict[str, bytes] = {}
        self._order: list[str] | None = None  # made when somebody asks, gone when a key comes or goes

    def put(self, sort_key: str, item: bytes) -> None:
        if sort_key not in self.items:
            self._order = None
        self.items[sort_key] = item

    def delete(self, sort_key: str) -> None:
        if self.items.pop(sort_key, None) is not None:
            self._order = None

    def keys_between(self, first: str, last: str) -> list[str]:
        """Code points sort as UTF-8's bytes do, which is DynamoDB's order."""
        if self._order is None:
            self._order = sorted(self.items)
        return self._order[bisect_left(self._order, first) : bisect_right(self._order, last)]


class MemoryTable:
    """The table of the contract; `schema` is what CreateTable was told, None where there is no table."""

    def __init__(self, schema: Item | None = None) -> None:
        self.schema = schema
        self._partitions: dict[str, Partition] = {}

    def create(self, schema: Item) -> None:
        if self.schema is not None:
            raise Refused("the table exists", code="ResourceInUseException")
        if schema["TableName"] != TABLE_NAME:
            raise Refused("the double has one table, that of the contract")
        self.schema = schema

    def drop(self) -> None:
        self.schema = None
        self._partitions.clear()

    def check(self, name: str) -> None:
        if self.schema is None or name != TABLE_NAME:
            raise Refused("Cannot do operations on a non-existent table", code="ResourceNotFoundException")

    def put(self, item: bytes) -> None:
        entity_id, entity_type = key_of(item)
        if len(item) > 2 * ITEM_LIMIT_BYTES:  # binary data is a third longer as JSON; 400 KB exactly is AWS's business
            raise Refused("Item size has exceeded the maximum allowed size")
        self._partition(entity_id).put(entity_type, item)

    def write_all(self, writes: Iterable[Write]) -> None:
        """All of a BatchWriteItem, or nothing where it is against the rules."""
        entries = [(write.PutRequest, _written(write)) for write in writes]
        keys = [key_of(raw) for _, raw in entries]
        if not 1 <= len(keys) <= BATCH_LIMIT:
            raise Refused(f"a batch has 1 to {BATCH_LIMIT} items, not {len(keys)}")
        if len(set(keys)) != len(keys):
            raise Refused("Provided list of item keys contains duplicates")
        for (put, raw), (entity_id, entity_type) in zip(entries, keys, strict=True):
            if put:
                self._partition(entity_id).put(entity_type, raw)
            else:
                self.delete(raw)

    def get(self, key: bytes) -> bytes | None:
        entity_id, entity_type = key_of(key)
        partition = self._partitions.get(entity_id)
        return partition.items.get(entity_type) if partition else None

    def delete(self, key: bytes) -> None:
        entity_id, entity_type = key_of(key)
        if (partition := self._partitions.get(entity_id)) is not None:
            partition.delete(entity_type)

    def update(self, request: Item) -> Item:
        """Changes an item, or makes it; answers with the attributes it had."""
        raw_key = ENCODE(request["Key"])
        stored = self.get(raw_key)
        before: Item = msgspec.json.decode(stored) if stored else {}
        names, values = request.get("ExpressionAttributeNames", {}), request["ExpressionAttributeValues"]
        after = apply_update(before or request["Key"], request["UpdateExpression"], names, values)
        self.put(ENCODE(after))
        return before

    def query(self, request: Item) -> bytes:
        """A page of items, as the JSON of the answer."""
        wanted = read_key_range(request["KeyConditionExpression"], request["ExpressionAttributeValues"])
        partition = self._partitions.get(wanted.entity_id, Partition())
        keys = partition.keys_between(wanted.first, wanted.last)
        if not request.get("ScanIndexForward", True):
            keys.reverse()
        if start := request.get("ExclusiveStartKey"):
            keys = _after(keys, start[SORT_KEY]["S"], is_forward=request.get("ScanIndexForward", True))
        page = _fill_page(partition, keys, request.get("Limit", len(keys)))
        items = b",".join(partition.items[key] for key in page)
        answer = b'{"Count":%d,"ScannedCount":%d,"Items":[%b]' % (len(page), len(page), items)
        if page and (len(page) < len(keys) or len(page) == request.get("Limit")):
            last = {PARTITION_KEY: {"S": wanted.entity_id}, SORT_KEY: {"S": page[-1]}}
            answer += b',"LastEvaluatedKey":' + ENCODE(last)
        return answer + b"}"

    def scan(self) -> bytes:
        """Everything at once, for tests."""
        items = [item for partition in self._partitions.values() for item in partition.items.values()]
        return b'{"Count":%d,"Items":[%b]}' % (len(items), b",".join(items))

    def _partition(self, entity_id: str) -> Partition:
        partition = self._partitions.get(entity_id)
        if partition is None:
            partition = self._partitions[entity_id] = Partition()
        return partition


def key_of(raw: bytes | msgspec.Raw) -> Key:
    """The key of an item, or of a key, in DynamoDB's JSON."""
    try:
        keys = DECODE_KEYS.decode(raw)
    except msgspec.ValidationError as error:
        raise Refused(f"One or more parameter values were invalid: {error}") from error
    key = keys.entity_id.S, keys.entity_type.S
    if not all(1 <= len(part) <= limit for part, limit in zip(key, KEY_LIMITS_BYTES, strict=True)):
        raise Refused("One or more parameter values are not valid: a key of no or too many characters")
    return key


def _written(write: Write) -> bytes:
    if write.PutRequest is not None:
        return bytes(write.PutRequest.Item)  # a copy: the view would keep the whole request in memory
    if write.DeleteRequest is not None:
        return bytes(write.DeleteRequest.Key)
    raise Refused("a write must have a PutRequest or a DeleteRequest")


def _after(keys: list[str], start: str, *, is_forward: bool) -> list[str]:
    return [key for key in keys if (key > start if is_forward else key < start)]


def _fill_page(partition: Partition, keys: list[str], limit: int) -> list[str]:
    page: list[str] = []
    size_bytes = 0
    for key in keys[:limit]:
        if page and size_bytes + len(partition.items[key]) > PAGE_LIMIT_BYTES:
            break
        page.append(key)
        size_bytes += len(partition.items[key])
    return page


def describe(schema: Item) -> dict[str, Any]:
    """What DescribeTable answers."""
    described = {**schema, "TableStatus": "ACTIVE"}
    described["BillingModeSummary"] = {"BillingMode": described.pop("BillingMode")}
    return {"Table": described}
