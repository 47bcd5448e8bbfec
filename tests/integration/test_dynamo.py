"""DynamoDB asked by hand: signed as the SDK signs, and every answer read as the SDK would."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from iops.aws import is_passing, naming_failures
from iops.contract import TABLE_NAME
from iops.dynamo import Dynamo
from iops.errors import TableUnavailable

ROW = {"PutRequest": {"Item": {"entity_id": {"S": "web-1:sda"}, "data": {"B": b"\x00\xff"}}}}


class FrozenCredentials:
    async def get_frozen_credentials(self) -> Credentials:
        return Credentials("AKIDEXAMPLE", "secret", "token")


class Endpoint:
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.answer = 200, b'{"UnprocessedItems":{}}'
        self.headers: dict[str, str] = {}
        self.body: dict[str, Any] = {}

    async def handle(self, request: web.Request) -> web.Response:
        self.headers, self.body = dict(request.headers), await request.json()
        return web.Response(body=self.answer, status=self.status)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def dynamo(endpoint: Endpoint) -> AsyncIterator[Dynamo]:
    app = web.Application()
    app.router.add_post("/", endpoint.handle)
    async with TestServer(app, host="127.0.0.1") as server, aiohttp.ClientSession() as session:
        yield Dynamo(session, FrozenCredentials(), endpoint_url=str(server.make_url("/")), region="us-east-1")


async def test_rows_arrive_as_dynamodb_wants_them_and_signed(endpoint: Endpoint, dynamo: Dynamo) -> None:
    assert await dynamo.batch_write_item(RequestItems={TABLE_NAME: [ROW]}) == {"UnprocessedItems": {}}

    (sent,) = endpoint.body["RequestItems"][TABLE_NAME]
    assert base64.b64decode(sent["PutRequest"]["Item"]["data"]["B"]) == b"\x00\xff"
    assert endpoint.headers["X-Amz-Target"] == "DynamoDB_20120810.BatchWriteItem"
    assert endpoint.headers["X-Amz-Security-Token"] == "token"
    assert "/us-east-1/dynamodb/aws4_request" in endpoint.headers["Authorization"]
    assert "x-amz-target" in endpoint.headers["Authorization"], "the target is signed"


async def test_what_is_left_over_can_be_sent_again_as_it_came(endpoint: Endpoint, dynamo: Dynamo) -> None:
    left = {"PutRequest": {"Item": {"entity_id": {"S": "web-1:sda"}, "data": {"B": "AP8="}}}}
    endpoint.answer = json.dumps({"UnprocessedItems": {TABLE_NAME: [left]}}).encode()

    assert await dynamo.batch_write_item(RequestItems={TABLE_NAME: [ROW]}) == {"UnprocessedItems": {TABLE_NAME: [left]}}
    await dynamo.batch_write_item(RequestItems={TABLE_NAME: [left]})
    assert endpoint.body["RequestItems"][TABLE_NAME] == [left]


@pytest.mark.parametrize(
    ("status", "answer", "code", "passes"),
    [
        (400, b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}', "ThrottlingException", True),
        (400, b'{"__type":"ProvisionedThroughputExceededException","message":"slow down"}',
         "ProvisionedThroughputExceededException", True),
        (400, b'{"__type":"com.amazon.coral.validate#ValidationException"}', "ValidationException", False),
        (500, b"", "Unknown", True),
        (503, b"<html>", "Unknown", True),
    ],
)  # fmt: skip
async def test_a_refusal_is_the_error_that_the_sdk_would_raise(
    endpoint: Endpoint, dynamo: Dynamo, status: int, answer: bytes, code: str, passes: bool
) -> None:
    endpoint.status, endpoint.answer = status, answer

    with pytest.raises(ClientError) as caught:
        await dynamo.batch_write_item(RequestItems={TABLE_NAME: [ROW]})

    assert caught.value.response["Error"]["Code"] == code
    assert is_passing(caught.value) is passes


async def test_nobody_there_is_a_table_that_is_away() -> None:
    async with aiohttp.ClientSession() as session:
        dynamo = Dynamo(session, FrozenCredentials(), endpoint_url="http://127.0.0.1:1", region="us-east-1")
        with pytest.raises(TableUnavailable), naming_failures(TableUnavailable, "BatchWriteItem"):
            await dynamo.batch_write_item(RequestItems={TABLE_NAME: [ROW]})


async def test_rows_are_read_as_the_sdk_reads_them(endpoint: Endpoint, dynamo: Dynamo) -> None:
    row = {
        "entity_id": {"S": "web-1:sda"},
        "samples": {"N": "60"},
        "data": {"B": "AP8="},
        "ok": {"BOOL": True},
        "gone": {"NULL": True},
        "deep": {"M": {"list": {"L": [{"N": "1"}, {"B": "AQ=="}]}}},
        "sets": {"BS": ["AQ=="]},
    }
    endpoint.answer = json.dumps({"Items": [row], "LastEvaluatedKey": {"data": {"B": "AP8="}}, "Count": 1}).encode()

    answer = await dynamo.query(TableName=TABLE_NAME, ExclusiveStartKey={"data": {"B": b"\x00\xff"}}, Limit=1)

    read = row | {"data": {"B": b"\x00\xff"}, "sets": {"BS": [b"\x01"]}}
    read["deep"] = {"M": {"list": {"L": [{"N": "1"}, {"B": b"\x01"}]}}}
    assert answer == {"Items": [read], "LastEvaluatedKey": {"data": {"B": b"\x00\xff"}}}
    assert endpoint.headers["X-Amz-Target"] == "DynamoDB_20120810.Query"
    assert endpoint.headers["Accept-Encoding"] == "identity", "nothing here unpacks"
    assert endpoint.body["ExclusiveStartKey"] == {"data": {"B": "AP8="}}


async def test_a_row_that_is_not_there_is_no_item(endpoint: Endpoint, dynamo: Dynamo) -> None:
    endpoint.answer = b"{}"

    assert await dynamo.get_item(TableName=TABLE_NAME, Key={"entity_id": {"S": "a"}}, ConsistentRead=True) == {}


@pytest.mark.parametrize("answer", [b"", b"<html>", b'{"Items": 7}', b'{"Items": [{"data": {"B": "?"}}]}'])
async def test_what_is_no_answer_is_a_table_that_is_away(endpoint: Endpoint, dynamo: Dynamo, answer: bytes) -> None:
    endpoint.answer = answer

    with pytest.raises(TableUnavailable), naming_failures(TableUnavailable, "Query"):
        await dynamo.query(TableName=TABLE_NAME)
