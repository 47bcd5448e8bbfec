"""What DynamoDB is asked all the time, without the SDK's machinery, which costs most of what such a call does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypedDict

import aiohttp
import msgspec
from aiobotocore.session import AioSession
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, NoCredentialsError

from iops.items import Item

HEADERS: Final = {"Content-Type": "application/x-amz-json-1.0", "Accept-Encoding": "identity"}
JSON: Final = msgspec.json.Encoder()  # bytes become base64, as DynamoDB wants a B


class Value(TypedDict, total=False):
    """An attribute in DynamoDB's notation; here base64 becomes bytes."""

    S: str
    N: str
    B: bytes
    BOOL: bool
    NULL: bool
    M: dict[str, Value]
    L: list[Value]
    SS: list[str]
    NS: list[str]
    BS: list[bytes]


class Answer(TypedDict, total=False):
    """What is read of the answers; left-over requests are sent again as they came."""

    Item: dict[str, Value]
    Items: list[dict[str, Value]]
    LastEvaluatedKey: dict[str, Value]
    UnprocessedItems: dict[str, list[Any]]


ANSWER: Final = msgspec.json.Decoder(Answer)


class Dynamo:
    """The SDK's client for three calls: asked, answering and raising as that does, or aiohttp's errors where nobody
    answers. It signs by itself; credentials come from wherever the SDK finds them, and are renewed."""

    def __init__(self, session: aiohttp.ClientSession, credentials: Any, *, endpoint_url: str, region: str) -> None:
        self._session = session
        self._credentials = credentials
        self._url = endpoint_url.rstrip("/") + "/"
        self._region = region

    async def get_item(self, **request: Any) -> Item:
        """GetItem."""
        return await self._call("GetItem", request)

    async def query(self, **request: Any) -> Item:
        """Query."""
        return await self._call("Query", request)

    async def batch_write_item(self, *, RequestItems: dict[str, Sequence[Item]]) -> Item:  # noqa: N803 -- the SDK's
        """BatchWriteItem."""
        return await self._call("BatchWriteItem", {"RequestItems": RequestItems})

    async def _call(self, action: str, request: Item) -> Item:
        body = JSON.encode(request)
        headers = HEADERS | {"X-Amz-Target": f"DynamoDB_20120810.{action}"}
        signed = AWSRequest("POST", self._url, headers=headers, data=body)
        frozen = await self._credentials.get_frozen_credentials()
        SigV4Auth(frozen, "dynamodb", self._region).add_auth(signed)
        async with self._session.post(self._url, data=body, headers=dict(signed.headers.items())) as response:
            answer = await response.read()
        if response.status != 200:
            raise _client_error(action, response.status, answer)
        try:
            return dict(ANSWER.decode(answer))
        except msgspec.DecodeError as error:
            raise aiohttp.ClientPayloadError(f"{action} was answered with what is no answer") from error


async def open_credentials() -> Any:
    """The credentials of the environment, the task's role, or the profile; raises NoCredentialsError."""
    credentials = await AioSession().get_credentials()
    if credentials is None:
        raise NoCredentialsError
    return credentials


def _client_error(action: str, status: int, answer: bytes) -> ClientError:
    try:
        problem = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError:
        problem = {}
    code = str(problem.get("__type", "Unknown")).rpartition("#")[2]
    message = str(problem.get("message") or problem.get("Message") or "")
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        action,
    )
