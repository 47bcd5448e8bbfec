"""AWS in memory: the clients that the programs hold, as far as they use them, with faults on demand."""

import asyncio
import operator
import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from functools import cache
from types import CodeType
from typing import Any, Final

from botocore.exceptions import ClientError, EndpointConnectionError

from iops import contract
from iops.bus import EventBus, ScoringQueue
from iops.items import Item
from iops.table import Table

Key = tuple[str, str]
KEY: Final = {contract.PARTITION_KEY, contract.SORT_KEY}
INDEX_KEYS: Final = {contract.ENTITY_TYPE_INDEX: contract.SORT_KEY, contract.STREAM_INDEX: contract.STREAM_KEY}


def aws_error(code: str, *, status: int = 400, **extra: Any) -> ClientError:
    """What the SDK raises when AWS answers with an error."""
    response: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}, **extra}
    return ClientError(response, "Fake")


class _Client:
    """Counts calls and fails on demand: once for each exception in `failures`, always while `is_away`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: defaultdict[str, deque[Exception]] = defaultdict(deque)
        self.is_away = False

    async def _begin(self, call: str) -> None:
        self.calls.append(call)
        await asyncio.sleep(0)  # as a real call, it lets others run
        if self.is_away:
            raise EndpointConnectionError(endpoint_url="http://fake")
        if self.failures[call]:
            raise self.failures[call].popleft()


class FakeTable(_Client):
    """DynamoDB's client: keys, conditions, both indexes, pages and left-over items behave as the real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[Key, Item] = {}
        self.leaves_over: deque[int] = deque()  # items of each BatchWriteItem to come
        self.batches: list[list[Key]] = []
        self.page_limit = 1_000  # rows read for one page

    def table(self) -> Table:
        client: Any = self
        return Table(client)

    def add(self, *items: Item) -> None:
        self.rows |= {_key(item): item for item in items}

    def of_type(self, entity_type: str) -> list[Item]:
        return [row for (_, sort), row in self.rows.items() if sort.split("#")[0] == entity_type]

    async def batch_write_item(self, *, RequestItems: Mapping[str, Sequence[Item]]) -> Item:  # noqa: N803
        requests = RequestItems[contract.TABLE_NAME]
        keys = [_key(request["PutRequest"]["Item"]) for request in requests]
        self.batches.append(keys)
        await self._begin("BatchWriteItem")
        if len(set(keys)) < len(keys) or not 1 <= len(keys) <= 25:
            raise aws_error("ValidationException")
        left = self.leaves_over.popleft() if self.leaves_over else 0
        self.add(*(request["PutRequest"]["Item"] for request in requests[left:]))
        return {"UnprocessedItems": {contract.TABLE_NAME: list(requests[:left])} if left else {}}

    async def put_item(self, *, TableName: str, Item: Item) -> Item:  # noqa: N803
        await self._begin("PutItem")
        self.add(Item)
        return {}

    async def update_item(self, *, TableName: str, **request: Any) -> Item:  # noqa: N803
        await self._begin("UpdateItem")
        before = dict(self.rows.get(_key(request["Key"]), {}))
        self._change({"Update": request})
        return {"Attributes": before} if request.get("ReturnValues") == "ALL_OLD" else {}

    async def delete_item(self, *, TableName: str, Key: Item) -> Item:  # noqa: N803
        await self._begin("DeleteItem")
        self.rows.pop(_key(Key), None)
        return {}

    async def transact_write_items(self, *, TransactItems: Sequence[Item]) -> Item:  # noqa: N803
        await self._begin("TransactWriteItems")
        touched = [_key(request.get("Item") or request["Key"]) for write in TransactItems for request in write.values()]
        if len(set(touched)) < len(touched) or not 1 <= len(touched) <= 100:
            raise aws_error("ValidationException")
        before = dict(self.rows)
        reasons = []
        for write in TransactItems:
            try:
                self._change(write)
                reasons.append({"Code": "None"})
            except ClientError as error:
                reasons.append({"Code": error.response["Error"]["Code"].removesuffix("Exception")})
        if any(reason["Code"] != "None" for reason in reasons):
            self.rows = before
            raise aws_error("TransactionCanceledException", CancellationReasons=reasons)
        return {}

    async def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool = False) -> Item:  # noqa: N803
        await self._begin("GetItem")
        row = self.rows.get(_key(Key))
        return {"Item": dict(row)} if row else {}

    async def query(self, *, TableName: str, **request: Any) -> Item:  # noqa: N803
        await self._begin("Query")
        _refuse_faults(request)
        index = request.get("IndexName")
        by = contract.TIME_KEY if index else contract.SORT_KEY
        needed = {by, INDEX_KEYS[index]} if index else {by}
        rows = [row for row in self.rows.values() if needed <= row.keys()]
        rows = [row for row in rows if _holds(request["KeyConditionExpression"], row, request)]
        rows.sort(key=lambda row: _place(row, by), reverse=not (goes_up := request.get("ScanIndexForward", True)))
        if start := request.get("ExclusiveStartKey"):  # a place, whether there is a row or not
            after = operator.gt if goes_up else operator.lt
            rows = [row for row in rows if after(_place(row, by), _place(start, by))]
        limit = min(request.get("Limit", self.page_limit), self.page_limit)
        page = rows[:limit]
        answer: Item = {"Items": [dict(row) for row in page if _holds(request.get("FilterExpression"), row, request)]}
        if len(page) == limit:
            answer["LastEvaluatedKey"] = {name: page[-1][name] for name in KEY | needed}
        return answer

    async def describe_table(self, *, TableName: str) -> Item:  # noqa: N803
        await self._begin("DescribeTable")
        return {"Table": {"TableStatus": "ACTIVE"}}

    def _change(self, write: Item) -> None:
        ((action, request),) = write.items()
        _refuse_faults(request)
        key = _key(request["Item"] if action == "Put" else request["Key"])
        row = self.rows.get(key, {})
        if not _holds(request.get("ConditionExpression"), row, request):
            raise aws_error("ConditionalCheckFailedException")
        if action == "Delete":
            self.rows.pop(key, None)
        elif action != "ConditionCheck":
            self.rows[key] = request["Item"] if action == "Put" else _updated(row, request)


class FakeQueue(_Client):
    """SQS's client. `sent` tells when each body came; `refuses` how many entries of each batch to come fail."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[float, str]] = []
        self.dead: list[str] = []
        self.deleted: list[str] = []
        self.postponed: list[tuple[str, int]] = []
        self.refuses: deque[int] = deque()
        self.waiting: asyncio.Queue[Item] = asyncio.Queue()

    def queue(self) -> ScoringQueue:
        client: Any = self
        return ScoringQueue(client, url="scoring", dead_letters_url="dead-letters")

    def offer(self, body: str, *, receipt: str = "r1", receive_count: int = 1, sent_ms: int = 0) -> None:
        attributes = {"ApproximateReceiveCount": str(receive_count), "SentTimestamp": str(sent_ms)}
        self.waiting.put_nowait({"Body": body, "ReceiptHandle": receipt, "Attributes": attributes})

    async def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Item]) -> Item:  # noqa: N803
        await self._begin("SendMessageBatch")
        if not 1 <= len(Entries) <= 10:
            raise aws_error("AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
        refused = self.refuses.popleft() if self.refuses else 0
        at_s = asyncio.get_running_loop().time()
        self.sent += [(at_s, entry["MessageBody"]) for entry in Entries[refused:]]
        return {"Failed": [{"Id": entry["Id"]} for entry in Entries[:refused]]}

    async def receive_message(self, **_: Any) -> Item:
        await self._begin("ReceiveMessage")
        return {"Messages": list(filter(None, [await self.waiting.get()]))}  # an empty one: the poll found none

    async def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> Item:  # noqa: N803
        await self._begin("DeleteMessage")
        self.deleted.append(ReceiptHandle)
        return {}

    async def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> Item:  # noqa: N803
        await self._begin("ChangeMessageVisibility")
        self.postponed.append((ReceiptHandle, VisibilityTimeout))
        return {}

    async def send_message(self, *, QueueUrl: str, MessageBody: str) -> Item:  # noqa: N803
        await self._begin("SendMessage")
        assert QueueUrl == "dead-letters"
        self.dead.append(MessageBody)
        return {}


class FakeBus(_Client):
    """EventBridge's client. `accepts` says how many entries of each call to come are taken; then all are."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Item] = []
        self.accepts: deque[int] = deque()

    def bus(self) -> EventBus:
        client: Any = self
        return EventBus(client)

    async def put_events(self, *, Entries: Sequence[Item]) -> Item:  # noqa: N803
        await self._begin("PutEvents")
        assert 1 <= len(Entries) <= 10
        count = self.accepts.popleft() if self.accepts else len(Entries)
        self.entries += Entries[:count]
        results: list[Item] = [{"EventId": "e"}] * count + [{"ErrorCode": "Throttling"}] * (len(Entries) - count)
        return {"FailedEntryCount": len(Entries) - count, "Entries": results}


class _Missing:
    """An attribute that is not there: no comparison with it holds."""

    def _never(self, _: object) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = startswith = _never


MISSING: Final = _Missing()


def _key(item: Item) -> Key:
    return item[contract.PARTITION_KEY]["S"], item[contract.SORT_KEY]["S"]


def _plain(attribute: Item) -> Any:
    ((kind, value),) = attribute.items()
    return float(value) if kind == "N" else value


def _place(row: Item, by: str) -> tuple[Any, Key]:
    return _plain(row[by]), _key(row)


def _holds(expression: str | None, row: Item, request: Item) -> bool:
    """Evaluates a condition by saying it in Python; its words are those that `iops.items` uses."""
    if expression is None:
        return True
    names = request.get("ExpressionAttributeNames", {})
    scope = {
        "values": {name: _plain(value) for name, value in request.get("ExpressionAttributeValues", {}).items()},
        "attribute": lambda name: _plain(row[found]) if (found := names.get(name, name)) in row else MISSING,
        "attribute_exists": lambda value: value is not MISSING,
        "attribute_not_exists": lambda value: value is MISSING,
        "begins_with": lambda text, prefix: text.startswith(prefix),
    }
    return bool(eval(_in_python(expression), scope))


@cache
def _in_python(expression: str) -> CodeType:
    def word(match: re.Match[str]) -> str:
        text = match.group()
        if text in ("AND", "OR"):
            return text.lower()
        if text.startswith(":"):
            return f"values[{text!r}]"
        return text if text in ("attribute_exists", "attribute_not_exists", "begins_with") else f"attribute({text!r})"

    python = re.sub(r"(?<![<>])=", "==", expression).replace("<>", "!=")
    python = re.sub(r"(\S+) BETWEEN (\S+) AND (\S+)", r"(\2 <= \1 AND \1 <= \3)", python)
    return compile(re.sub(r"[:#]?[A-Za-z]\w*", word, python), expression, "eval")


def _updated(row: Item, request: Item) -> Item:
    names, values = request.get("ExpressionAttributeNames", {}), request["ExpressionAttributeValues"]
    update, _, adds = request["UpdateExpression"].partition(" ADD ")
    sets, _, removes = update.removeprefix("SET ").partition(" REMOVE ")
    changed: Item = row | request["Key"]
    for name, value, kept in re.findall(r"(#?\w+) = (?:(:\w+)|if_not_exists\(\w+, (:\w+)\))", sets):
        attribute = names.get(name, name)
        changed[attribute] = values[value] if value else row.get(attribute, values[kept])
    for name in filter(None, removes.split(", ")):
        changed.pop(name, None)
    for name, value in re.findall(r"(\w+) (:\w+)", adds):
        total = int(row[name]["N"] if name in row else 0) + int(values[value]["N"])
        changed[name] = {"N": str(total)}
    return changed


def _refuse_faults(request: Item) -> None:
    """As DynamoDB does."""
    said = " ".join(str(text) for name, text in request.items() if name.endswith("Expression"))
    given = {*request.get("ExpressionAttributeValues", {}), *request.get("ExpressionAttributeNames", {})}
    if set(re.findall(r"[:#]\w+", said)) != given or "((" in said:
        raise aws_error("ValidationException")
