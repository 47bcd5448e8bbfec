"""The table: the only place that speaks to DynamoDB."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
import structlog
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from iops import contract, items
from iops.auth import Caller
from iops.aws import CONNECTIONS, naming_failures, open_client
from iops.dynamo import Dynamo, open_credentials
from iops.errors import DamagedRow, TableUnavailable
from iops.items import Item, Where
from iops.settings import ServiceSettings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

WRITE_LIMIT: Final = 25  # items, DynamoDB's limit for BatchWriteItem
LIST_PAGES_LIMIT: Final = 20  # reads for one page of a filtered list
# Of a list that is filtered by whose rows they are: more of one instant, all of them others', would be a list's end.
OWN_READ_ROWS: Final = 1_000
READ_ATTEMPTS: Final = 4
READ_DEADLINE_S: Final = 5.0
RESEND_FIRST_WAIT_S: Final = 0.05
RESEND_LONGEST_WAIT_S: Final = 1.0

Result = TypeVar("Result")
log = structlog.get_logger()


class Table:
    """Reads and writes items; raises Conflict where a condition does not hold, TableUnavailable where AWS fails.

    Reads are repeated with jitter, at most 4 times in 5 s. Writes are not, but for `put_all`: their callers own a
    deadline and know whether repeating is safe.
    """

    def __init__(self, client: "DynamoDBClient", dynamo: Dynamo | None = None) -> None:
        """`dynamo` is asked what is asked all the time; without one, that goes through the client too."""
        self._client = client
        self._dynamo = dynamo or client

    async def put_all(self, items: Sequence[Item], *, deadline_s: float) -> None:
        """Stores up to 25 items of different keys, resending what DynamoDB leaves over until `deadline_s` has passed.

        When it raises, some of the items may be stored: writing them again must be harmless.
        """
        left: list[Any] = [{"PutRequest": {"Item": item}} for item in items]
        wait_s = RESEND_FIRST_WAIT_S
        give_up_at = asyncio.get_running_loop().time() + deadline_s
        while True:
            failure: TableUnavailable | None = None
            try:
                left = await self._write_once(left)
            except TableUnavailable as error:
                failure = error
            if not left:
                return
            pause_s = random.uniform(0, wait_s)  # noqa: S311 - jitter, not a secret
            if asyncio.get_running_loop().time() + pause_s >= give_up_at:
                raise failure or TableUnavailable("the table is throttling writes")
            await asyncio.sleep(pause_s)
            wait_s = min(2 * wait_s, RESEND_LONGEST_WAIT_S)

    async def put(self, item: Item) -> None:
        """Stores one item, whatever was there."""
        with naming_failures(TableUnavailable, "PutItem"):
            await self._client.put_item(TableName=contract.TABLE_NAME, Item=item)

    async def update(self, request: Item) -> Item:
        """One UpdateItem, written by `iops.items`; answers with the attributes it was asked to return."""
        with naming_failures(TableUnavailable, "UpdateItem"):
            reply = await self._client.update_item(TableName=contract.TABLE_NAME, **request)
        return dict(reply.get("Attributes", {}))

    async def delete(self, key: Item) -> None:
        """Removes one item; no error where there is none."""
        with naming_failures(TableUnavailable, "DeleteItem"):
            await self._client.delete_item(TableName=contract.TABLE_NAME, Key=key)

    async def transact(self, writes: Sequence[Item]) -> None:
        """All of the writes, or none and a Conflict."""
        named = [
            {action: {"TableName": contract.TABLE_NAME, **request} for action, request in write.items()}
            for write in writes
        ]
        with naming_failures(TableUnavailable, "TransactWriteItems"):
            await self._client.transact_write_items(TransactItems=named)  # type: ignore[arg-type]

    async def get(self, key: Item) -> Item | None:
        """One item, strongly consistent; None where there is none."""

        async def read() -> Item | None:
            with naming_failures(TableUnavailable, "GetItem"):
                reply = await self._dynamo.get_item(TableName=contract.TABLE_NAME, Key=key, ConsistentRead=True)
            return dict(reply["Item"]) if "Item" in reply else None

        return await _repeating(read)

    async def get_readable(self, key: Item, read: Callable[[Item], Result]) -> Result | None:
        """What one item says; None also where it is damaged, which is logged."""
        row = await self.get(key)
        return next(iter(readable([row], read)), None) if row else None

    async def get_own(self, key: Item, caller: Caller) -> Item | None:
        """The same of what is the caller's; None also where it is another's, as if there were none."""
        row = await self.get(key)
        return row if row is not None and items.is_own(row, caller) else None

    async def query_page(self, request: Item) -> tuple[list[Item], Item | None]:
        """One page of a Query written by `iops.items`, and the key to go on from (None at the end)."""

        async def read() -> tuple[list[Item], Item | None]:
            with naming_failures(TableUnavailable, "Query"):
                reply = await self._dynamo.query(TableName=contract.TABLE_NAME, **request)
            return [dict(item) for item in reply["Items"]], reply.get("LastEvaluatedKey")

        return await _repeating(read)

    async def query(self, request: Item) -> list[Item]:
        """Every item of a Query, page after page."""
        return [item async for page in self.pages(request) for item in page]

    async def pages(self, request: Item) -> AsyncIterator[list[Item]]:
        """The items of a Query as DynamoDB's pages of up to 1 MB, for what need not be in memory at once."""
        start: Item | None = None
        while True:
            page, start = await self.query_page(request | ({"ExclusiveStartKey": start} if start else {}))
            yield page
            if start is None:
                return

    async def list_page(
        self, entity_type: str, *, caller: Caller, limit: int, cursor: str | None, where: Where | None = None
    ) -> tuple[list[Item], str | None]:
        """Up to `limit` of the caller's rows of one kind, newest first, that satisfy `where`; and the next page's
        cursor, which names no row of others.

        Raises InvalidCursor. Reads a bounded number of pages, so a rare match may leave the page short but the cursor
        goes on.
        """
        found: list[Item] = []
        kept = items.where_all(where, items.where_own(entity_type, caller))
        start = items.cursor_to_start(cursor, entity_type)
        for _ in range(LIST_PAGES_LIMIT):
            read = limit - len(found) if caller.sees_all else OWN_READ_ROWS
            request = items.list_query(entity_type, limit=read, start=start)
            page, start = await self.query_page(items.only_where(request, *kept) if kept else request)
            found += page
            if start is None or len(found) >= limit:
                break
        if start is not None and (caller.sees_all or not found):
            return found, items.start_to_cursor(start) if caller.sees_all else items.instant_to_cursor(start)
        if start is None and len(found) <= limit:
            return found, None
        return found[:limit], items.start_to_cursor(found[:limit][-1])

    async def check(self) -> None:
        """Raises TableUnavailable unless the table answers and is active."""
        with naming_failures(TableUnavailable, "DescribeTable"):
            reply = await self._client.describe_table(TableName=contract.TABLE_NAME)
        if reply["Table"]["TableStatus"] not in ("ACTIVE", "UPDATING"):
            raise TableUnavailable(f"the table is {reply['Table']['TableStatus']}")

    async def _write_once(self, left: list[Any]) -> list[Any]:
        with naming_failures(TableUnavailable, "BatchWriteItem"):
            reply = await self._dynamo.batch_write_item(RequestItems={contract.TABLE_NAME: left})
        return list(reply.get("UnprocessedItems", {}).get(contract.TABLE_NAME, []))


@asynccontextmanager
async def open_table(settings: ServiceSettings) -> AsyncIterator[Table]:
    """The table through one long-lived client, and a leaner one for what is asked all the time."""
    timeout = aiohttp.ClientTimeout(
        total=2 * settings.aws_timeout_s, connect=settings.aws_timeout_s, sock_read=settings.aws_timeout_s
    )
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with (
        open_client("dynamodb", settings) as client,
        aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session,
    ):
        url = settings.aws_endpoint_url or client.meta.endpoint_url
        credentials = await open_credentials()
        yield Table(client, Dynamo(session, credentials, endpoint_url=url, region=settings.aws_region))


def readable(rows: Iterable[Item], read: Callable[[Item], Result]) -> list[Result]:
    """What the rows say. One that is damaged, or of a newer program, is logged and hides no other."""
    found = []
    for row in rows:
        try:
            found.append(read(row))
        except items.UNREADABLE as error:
            log.warning("row_unreadable", key=items.key_text(row), reason=type(error).__name__)
    return found


def read_row(row: Item, read: Callable[[Item], Result]) -> Result:
    """What the one row says that somebody asked for. Raises DamagedRow."""
    try:
        return read(row)
    except items.UNREADABLE as error:
        reason = "it is damaged, or of a newer version of this program"
        raise DamagedRow(items.key_text(row), reason) from error


async def _repeating(read: Callable[[], Awaitable[Result]]) -> Result:
    return await AsyncRetrying(
        retry=retry_if_exception_type(TableUnavailable),
        stop=stop_after_attempt(READ_ATTEMPTS) | stop_after_delay(READ_DEADLINE_S),
        wait=wait_random_exponential(multiplier=0.05, max=1),
        reraise=True,
    )(read)
