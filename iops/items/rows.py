"""What every row has: a key, numbers in DynamoDB's notation, a place in a list."""

import base64
import binascii
from typing import Any

from iops import contract
from iops.errors import InvalidCursor

Item = dict[str, Any]  # in DynamoDB's own notation: {"entity_id": {"S": "web-1:nvme0n1"}, ...}

NO_ROW = "-"  # the name in a cursor that stands for an instant
# Of a damaged row; pydantic's refusal is a ValueError, an instant beyond all calendars an OverflowError.
UNREADABLE = (ValueError, LookupError, TypeError, OverflowError)


def key_of(entity_id: str, entity_type: str) -> Item:
    """A table key."""
    return {contract.PARTITION_KEY: {"S": entity_id}, contract.SORT_KEY: {"S": entity_type}}


def key_text(item: Item) -> str:
    """A row's key as an error or a log line names it."""
    return f"{item[contract.PARTITION_KEY]['S']} {item[contract.SORT_KEY]['S']}"


def list_query(entity_type: str, *, limit: int, start: Item | None = None, oldest_first: bool = False) -> Item:
    """A page of one kind of row by time, through the index."""
    request: Item = {
        "IndexName": contract.ENTITY_TYPE_INDEX,
        "KeyConditionExpression": "entity_type = :type",
        "ExpressionAttributeValues": {":type": {"S": entity_type}},
        "ScanIndexForward": oldest_first,
        "Limit": limit,
    }
    return request | ({"ExclusiveStartKey": start} if start else {})


def beginning_query(entity_id: str, prefix: str, *, is_consistent: bool = True, newest: int | None = None) -> Item:
    """What lies under one name and begins with `prefix`: all in order, or only the `newest` so many, newest first."""
    request: Item = {
        "KeyConditionExpression": "entity_id = :id AND begins_with(entity_type, :prefix)",
        "ExpressionAttributeValues": {":id": {"S": entity_id}, ":prefix": {"S": prefix}},
        "ConsistentRead": is_consistent,
    }
    return request if newest is None else request | {"ScanIndexForward": False, "Limit": newest}


def newer_query(entity_type: str, *, after_ms: int) -> Item:
    """One kind of row, those whose time is after an instant, the oldest first, through the index."""
    return {
        "IndexName": contract.ENTITY_TYPE_INDEX,
        "KeyConditionExpression": "entity_type = :type AND #ts > :after",
        "ExpressionAttributeNames": {"#ts": contract.TIME_KEY},
        "ExpressionAttributeValues": {":type": {"S": entity_type}, ":after": number(after_ms)},
    }


def only_where(request: Item, expression: str, values: Item) -> Item:
    """The same query, filtered after the read: it costs the same and answers with less.

    `expression` may call the attribute `state`, a reserved word, `#state`.
    """
    names = {"ExpressionAttributeNames": {"#state": "state"}} if "#state" in expression else {}
    return (
        request
        | names
        | {
            "FilterExpression": expression,
            "ExpressionAttributeValues": request["ExpressionAttributeValues"] | values,
        }
    )


def start_to_cursor(start: Item) -> str:
    """Where a list goes on, as a caller may hold it: after a row, whose name it has."""
    text = f"{start[contract.TIME_KEY]['N']} {start[contract.PARTITION_KEY]['S']}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def instant_to_cursor(start: Item) -> str:
    """The same without the name of the row, which is somebody else's: from just before all rows of its instant."""
    return start_to_cursor({**key_of(NO_ROW, ""), contract.TIME_KEY: number(int(start[contract.TIME_KEY]["N"]) + 1)})


def cursor_to_start(cursor: str | None, entity_type: str) -> Item | None:
    """The key that a cursor stands for; raises InvalidCursor for what no list has answered."""
    if cursor is None:
        return None
    try:
        at, entity_id = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().split(" ", 1)
        at_ms = int(at)
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor("cursor: take it from the `cursor` of the page before") from error
    if not 0 <= at_ms < 10**13 or not 1 <= len(entity_id) <= 1024:
        raise InvalidCursor("cursor: take it from the `cursor` of the page before")
    return key_of(entity_id, entity_type) | {contract.TIME_KEY: number(at_ms)}


def number(value: float) -> Item:
    return {"N": f"{value:.15g}"}


def float_or_none(attribute: Item | None) -> float | None:
    return float(attribute["N"]) if attribute else None
