"""A server that speaks DynamoDB's JSON protocol, and as much of SQS as ingest asks, from memory and at little cost.

`python -m bench.table_double --port 4567` on 127.0.0.1 only. It can be told to be slow, to throttle and to leave items
unprocessed. What it does not understand it refuses as DynamoDB refuses a bad request; it never guesses.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import uvloop

from bench.expression import Refused
from bench.memory_table import BATCH_LIMIT, ENCODE, MemoryTable, Write, describe
from iops import contract
from iops.items import Item

HOST: Final = "127.0.0.1"
ACCOUNT_ID: Final = "000000000000"
HEAD_LIMIT_BYTES: Final = 64 * 1024
BODY_LIMIT_BYTES: Final = 16 * 1024 * 1024  # DynamoDB's limit for BatchWriteItem
TARGET: Final = re.compile(rb"\r\nx-amz-target:[ \t]*[^.\r]*\.(\w+)", re.IGNORECASE)
LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
THROTTLED: Final = "ProvisionedThroughputExceededException"
REASONS: Final = {200: b"OK", 400: b"Bad Request", 413: b"Content Too Large"}
TIME_TO_LIVE: Final = {"TimeToLiveStatus": "ENABLED", "AttributeName": contract.TTL_ATTRIBUTE}


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on purpose; the ratios are shares of calls and of a batch's items."""

    latency_s: float = 0.0
    throttle_ratio: float = 0.0
    unprocessed_ratio: float = 0.0
    seed: int = 7


class _PutItem(msgspec.Struct):
    TableName: str
    Item: msgspec.Raw
    ConditionExpression: str | None = None


class _BatchWrite(msgspec.Struct):
    RequestItems: dict[str, list[msgspec.Raw]]


class _ByKey(msgspec.Struct):
    TableName: str
    Key: msgspec.Raw
    ConditionExpression: str | None = None


DECODE_PUT: Final = msgspec.json.Decoder(_PutItem).decode
DECODE_BATCH: Final = msgspec.json.Decoder(_BatchWrite).decode
DECODE_WRITE: Final = msgspec.json.Decoder(Write).decode
DECODE_BY_KEY: Final = msgspec.json.Decoder(_ByKey).decode


class Double:
    """Answers calls by name."""

    def __init__(self, table: MemoryTable, faults: Faults, *, port: int) -> None:
        self._table = table
        self._faults = faults
        self._port = port
        self._rng = random.Random(faults.seed)
        self._calls: dict[str, Callable[[bytes], bytes]] = {
            "PutItem": self._put_item,
            "BatchWriteItem": self._batch_write,
            "GetItem": self._get_item,
            "DeleteItem": self._delete_item,
            "UpdateItem": self._on_table(self._update_item),
            "Query": self._on_table(self._query),
            "Scan": self._on_table(self._scan),
            "DescribeTable": self._on_table(lambda _: ENCODE(describe(self._table.schema or {}))),
            "DescribeTimeToLive": self._on_table(lambda _: ENCODE({"TimeToLiveDescription": TIME_TO_LIVE})),
            "UpdateTimeToLive": self._on_table(lambda _: b"{}"),
            "CreateTable": self._create_table,
            "DeleteTable": self._on_table(self._delete_table),
            "ListTables": lambda _: ENCODE({"TableNames": [contract.TABLE_NAME] if self._table.schema else []}),
            "GetQueueUrl": self._queue_url,
            "SendMessageBatch": _take_messages,
        }

    @property
    def latency_s(self) -> float:
        return self._faults.latency_s

    def answer(self, operation: str, body: bytes) -> tuple[int, bytes]:
        """The status and the JSON of the answer."""
        try:
            return 200, self._calls.get(operation, _refuse_operation)(body)
        except Refused as refusal:
            return 400, ENCODE({"__type": f"com.amazonaws.dynamodb.v20120810#{refusal.code}", "message": str(refusal)})
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            return 400, ENCODE({"__type": "com.amazon.coral.service#SerializationException", "message": repr(error)})

    def _put_item(self, body: bytes) -> bytes:
        request = DECODE_PUT(body)
        self._check(request.TableName, condition=request.ConditionExpression)
        self._table.put(bytes(request.Item))
        return b"{}"

    def _batch_write(self, body: bytes) -> bytes:
        request = DECODE_BATCH(body)
        if list(request.RequestItems) != [contract.TABLE_NAME]:
            raise Refused("the double has one table", code="ResourceNotFoundException")
        self._check(contract.TABLE_NAME)
        left: list[msgspec.Raw] = []
        entries = request.RequestItems[contract.TABLE_NAME]
        if self._faults.unprocessed_ratio and len(entries) <= BATCH_LIMIT:
            kept, left = self._leave_over(entries)
            if not kept:
                return _unprocessed(left)
            entries = kept
        self._table.write_all(DECODE_WRITE(entry) for entry in entries)
        return _unprocessed(left)

    def _leave_over(self, entries: list[msgspec.Raw]) -> tuple[list[msgspec.Raw], list[msgspec.Raw]]:
        parts: tuple[list[msgspec.Raw], list[msgspec.Raw]] = [], []
        for entry in entries:
            parts[self._rng.random() < self._faults.unprocessed_ratio].append(entry)
        return parts

    def _get_item(self, body: bytes) -> bytes:
        request = DECODE_BY_KEY(body)
        self._check(request.TableName)
        item = self._table.get(bytes(request.Key))
        return b"{}" if item is None else b'{"Item":%b}' % item

    def _delete_item(self, body: bytes) -> bytes:
        request = DECODE_BY_KEY(body)
        self._check(request.TableName, condition=request.ConditionExpression)
        self._table.delete(bytes(request.Key))
        return b"{}"

    def _update_item(self, request: Item) -> bytes:
        before = self._table.update(request)
        return ENCODE({"Attributes": before}) if before and request.get("ReturnValues") == "ALL_OLD" else b"{}"

    def _query(self, request: Item) -> bytes:
        if "IndexName" in request or "FilterExpression" in request:
            raise Refused("the double has no indexes and no filters")
        return self._table.query(request)

    def _scan(self, request: Item) -> bytes:
        if "IndexName" in request or "FilterExpression" in request:
            raise Refused("the double has no indexes and no filters")
        return self._table.scan()

    def _create_table(self, body: bytes) -> bytes:
        schema = msgspec.json.decode(body)
        self._table.create(schema)
        return ENCODE({"TableDescription": describe(schema)["Table"]})

    def _delete_table(self, request: Item) -> bytes:
        self._table.drop()
        return ENCODE({"TableDescription": {"TableName": request["TableName"], "TableStatus": "DELETING"}})

    def _queue_url(self, body: bytes) -> bytes:
        name = msgspec.json.decode(body)["QueueName"]
        return ENCODE({"QueueUrl": f"http://{HOST}:{self._port}/{ACCOUNT_ID}/{name}"})

    def _on_table(self, call: Callable[[Item], bytes]) -> Callable[[bytes], bytes]:
        def checked(body: bytes) -> bytes:
            request: Item = msgspec.json.decode(body)
            self._check(request["TableName"], condition=request.get("ConditionExpression"))
            return call(request)

        return checked

    def _check(self, table_name: str, *, condition: str | None = None) -> None:
        if condition is not None:
            raise Refused("the double knows no conditions")
        if self._faults.throttle_ratio and self._rng.random() < self._faults.throttle_ratio:
            raise Refused("the level of configured provisioned throughput was exceeded", code=THROTTLED)
        self._table.check(table_name)


class Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection; the next request waits until this one is answered."""

    def __init__(self, double: Double) -> None:
        self._double = double
        self._received = bytearray()
        self._is_answering = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_answering:
            self._answer_next()

    def _answer_next(self) -> None:
        self._is_answering = False
        while not self._is_answering and (request := self._take_request()) is not None:
            target, body = request
            status, answer = self._double.answer(target, body) if target else (200, b"{}")  # no target: are you there?
            reply = b"HTTP/1.1 %d %b\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%b" % (
                *(status, REASONS[status]),
                *(len(answer), answer),
            )
            if not self._double.latency_s:
                self._transport.write(reply)
                continue
            self._is_answering = True
            asyncio.get_running_loop().call_later(self._double.latency_s, self._send_late, reply)

    def _send_late(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)
            self._answer_next()

    def _take_request(self) -> tuple[str, bytes] | None:
        """The operation and the body of the next request, once it is whole."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > HEAD_LIMIT_BYTES:
                self._transport.abort()
            return None
        head = bytes(self._received[:end])
        declared = LENGTH.search(head)
        length = int(declared[1]) if declared else 0
        if length > BODY_LIMIT_BYTES or b"\r\ntransfer-encoding:" in head.lower():
            self._transport.abort()  # nobody whom this double serves sends such a thing
            return None
        start = end + 4
        if len(self._received) < start + length:
            return None
        body = bytes(self._received[start : start + length])
        del self._received[: start + length]
        target = TARGET.search(head)
        return target[1].decode() if target else "", body


def _refuse_operation(_: bytes) -> bytes:
    raise Refused("the double does not know this operation", code="UnknownOperationException")


def _unprocessed(left: list[msgspec.Raw]) -> bytes:
    if not left:
        return b'{"UnprocessedItems":{}}'
    return ENCODE({"UnprocessedItems": {contract.TABLE_NAME: left}})


def _take_messages(body: bytes) -> bytes:
    """Taken, and forgotten: nobody reads this queue."""
    entries = msgspec.json.decode(body)["Entries"]
    taken = [
        {
            "Id": entry["Id"],
            "MessageId": f"{index:032x}",
            "MD5OfMessageBody": hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest(),
        }
        for index, entry in enumerate(entries)
    ]
    return ENCODE({"Successful": taken, "Failed": []})


async def serve(port: int, faults: Faults) -> None:
    """Until SIGTERM or SIGINT."""
    double = Double(MemoryTable(contract.table_schema(has_stream=False)), faults, port=port)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: Connection(double), HOST, port)
    await stopped.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--throttle-ratio", type=float, default=0.0, help="of the calls to the table")
    parser.add_argument("--unprocessed-ratio", type=float, default=0.0, help="of the items of a BatchWriteItem")
    told = parser.parse_args()
    faults = Faults(told.latency_ms / 1000, told.throttle_ratio, told.unprocessed_ratio)
    uvloop.run(serve(told.port, faults))


if __name__ == "__main__":
    main()
