"""BatchWriteItem without the SDK's request machinery, which costs ten times what the call itself does."""

from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec
from aiobotocore.session import AioSession
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, NoCredentialsError

from iops import contract
from iops.items import Item

HEADERS: Final = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
}
JSON: Final = msgspec.json.Encoder()  # bytes become base64, as DynamoDB wants a B


class BatchWriter:
    """Signs and posts BatchWriteItem by itself; credentials come from wherever the SDK finds them, and are renewed."""

    def __init__(self, session: aiohttp.ClientSession, credentials: Any, *, endpoint_url: str, region: str) -> None:
        self._session = session
        self._credentials = credentials
        self._url = endpoint_url.rstrip("/") + "/"
        self._region = region

    async def write(self, requests: Sequence[Item]) -> list[Item]:
        """One call with up to 25 put requests; answers with those that DynamoDB left over.

        Raises what the SDK would: ClientError, or aiohttp's errors where nobody answers.
        """
        body = JSON.encode({"RequestItems": {contract.TABLE_NAME: requests}})
        signed = AWSRequest("POST", self._url, headers=HEADERS, data=body)
        frozen = await self._credentials.get_frozen_credentials()
        SigV4Auth(frozen, "dynamodb", self._region).add_auth(signed)
        async with self._session.post(self._url, data=body, headers=dict(signed.headers.items())) as response:
            answer = await response.read()
        if response.status != 200:
            raise _client_error(response.status, answer)
        if answer == b'{"UnprocessedItems":{}}':
            return []
        left = msgspec.json.decode(answer).get("UnprocessedItems", {})
        return list(left.get(contract.TABLE_NAME, []))


async def open_credentials() -> Any:
    """The credentials of the environment, the task's role, or the profile; raises NoCredentialsError."""
    credentials = await AioSession().get_credentials()
    if credentials is None:
        raise NoCredentialsError
    return credentials


def _client_error(status: int, answer: bytes) -> ClientError:
    try:
        problem = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError:
        problem = {}
    code = str(problem.get("__type", "Unknown")).rpartition("#")[2]
    message = str(problem.get("message") or problem.get("Message") or "")
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "BatchWriteItem",
    )
