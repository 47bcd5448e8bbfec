"""The table double: its expressions, its faults, and what it refuses. Its answers are held by the contract tests."""

import base64
import json
from typing import Any

import pytest

from bench.expression import Refused, apply_update, read_key_range
from bench.memory_table import MemoryTable
from bench.table_double import Connection, Double, Faults
from iops import contract, items
from iops.contract import TABLE_NAME
from tests.unit.builders import a_batch


def a_double(**faults: float) -> Double:
    return Double(MemoryTable(contract.table_schema()), Faults(**faults), port=4567)  # type: ignore[arg-type]


def call(double: Double, operation: str, **request: Any) -> tuple[int, dict[str, Any]]:
    status, body = double.answer(operation, json.dumps(request).encode())
    return status, json.loads(body)


def a_write(sort_key: str) -> dict[str, Any]:
    data = {"data": {"B": base64.b64encode(b"x").decode()}}
    return {"PutRequest": {"Item": items.key_of("web-1:sda", sort_key) | data}}


def write(double: Double, *sort_keys: str) -> tuple[int, dict[str, Any]]:
    return call(double, "BatchWriteItem", RequestItems={TABLE_NAME: [a_write(key) for key in sort_keys]})


def stored(double: Double) -> list[str]:
    _, answer = call(double, "Scan", TableName=TABLE_NAME)
    return sorted(item["entity_type"]["S"] for item in answer["Items"])


def test_the_update_that_ingest_writes_is_understood() -> None:
    request = items.stream_seen_update(a_batch(peer_group="rack-1"), now_ms=5)
    before = {"first_seen": {"N": "3"}, "provisioned_iops": {"N": "3000"}, "risk_score": {"N": "80"}}

    after = apply_update(
        before,
        request["UpdateExpression"],
        request["ExpressionAttributeNames"],
        request["ExpressionAttributeValues"],
    )

    assert after == {
        "peer_group": {"S": "rack-1"},
        "labels": {"S": "{}"},
        "first_seen": {"N": "3"},
        "timestamp": {"N": "5"},
        "risk_score": {"N": "80"},
    }


@pytest.mark.parametrize(
    "expression", ["ADD hits :one", "SET a = b", "SET a = a + :one", "SET a = :one b", "REMOVE a[0]", "SET a = :none"]
)
def test_an_update_that_the_double_does_not_know_is_refused(expression: str) -> None:
    with pytest.raises(Refused):
        apply_update({}, expression, {}, {":one": {"N": "1"}})


@pytest.mark.parametrize(
    "expression", ["entity_id > :id", "entity_type = :id", "entity_id = :id AND entity_type = :id"]
)
def test_a_query_that_the_double_does_not_know_is_refused(expression: str) -> None:
    with pytest.raises(Refused):
        read_key_range(expression, {":id": {"S": "web-1:sda"}})


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("PutItem", {"Item": {}, "ConditionExpression": "attribute_not_exists(entity_id)"}),
        ("Query", {"IndexName": "EntityTypeIndex"}),
        ("Query", {"FilterExpression": "x = :y"}),
        ("PutItem", {"Item": {"entity_id": {"S": "only half a key"}}}),
        ("TransactWriteItems", {}),
        ("GetItem", {"TableName": "another", "Key": items.key_of("a", "b")}),
    ],
)
def test_what_the_double_cannot_answer_is_an_error(operation: str, more: dict[str, Any]) -> None:
    status, answer = call(a_double(), operation, **{"TableName": TABLE_NAME, **more})

    assert status == 400
    assert "#" in answer["__type"]


def test_a_batch_of_26_items_or_of_one_key_twice_is_refused_whole() -> None:
    double = a_double()

    assert write(double, *(str(number) for number in range(26)))[0] == 400
    assert write(double, "same", "same")[0] == 400
    assert stored(double) == []


def test_what_is_left_over_is_not_stored_and_is_handed_back_as_it_came() -> None:
    double = a_double(unprocessed_ratio=0.5)
    keys = {f"chunk#{number:02}" for number in range(25)}

    status, answer = write(double, *keys)

    left = answer["UnprocessedItems"][TABLE_NAME]
    left_keys = {entry["PutRequest"]["Item"]["entity_type"]["S"] for entry in left}
    assert status == 200
    assert 0 < len(left) < 25
    assert a_write(min(left_keys)) in left
    assert set(stored(double)) == keys - left_keys


def test_a_throttled_call_stores_nothing() -> None:
    double = a_double(throttle_ratio=1.0)

    status, answer = write(double, "chunk#1")

    assert (status, answer["__type"].rpartition("#")[2]) == (400, "ProvisionedThroughputExceededException")


def test_messages_are_taken() -> None:
    double = a_double()

    _, url = call(double, "GetQueueUrl", QueueName="iops-dashboard-scoring")
    _, sent = call(double, "SendMessageBatch", QueueUrl=url["QueueUrl"], Entries=[{"Id": "0", "MessageBody": "{}"}])

    assert url == {"QueueUrl": "http://127.0.0.1:4567/000000000000/iops-dashboard-scoring"}
    assert [entry["Id"] for entry in sent["Successful"]] == ["0"]
    assert sent["Successful"][0]["MD5OfMessageBody"] == "99914b932bd37a50b983c5e7c90ae93b"


class FakeTransport:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.is_aborted = True


def a_connection() -> tuple[Connection, FakeTransport]:
    connection, transport = Connection(a_double()), FakeTransport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    return connection, transport


REQUEST = b"POST / HTTP/1.1\r\nx-amz-target: DynamoDB_20120810.ListTables\r\ncontent-length: 2\r\n\r\n{}"


def test_a_request_in_pieces_and_two_at_once_are_each_answered() -> None:
    connection, transport = a_connection()

    for byte in REQUEST:
        connection.data_received(bytes((byte,)))
    assert transport.written.count(b"HTTP/1.1 200 OK") == 1
    connection.data_received(REQUEST * 2)

    assert transport.written.count(b"HTTP/1.1 200 OK") == 3
    assert transport.written.count(TABLE_NAME.encode()) == 3


@pytest.mark.parametrize(
    "head", [b"content-length: 99999999", b"Transfer-Encoding: chunked", b"x: " + b"y" * 70_000 + b"\r\nz: "]
)
def test_what_no_client_of_ours_sends_ends_the_connection(head: bytes) -> None:
    connection, transport = a_connection()

    connection.data_received(b"POST / HTTP/1.1\r\n" + head + (b"\r\n\r\n" if len(head) < 100 else b""))

    assert transport.is_aborted
