"""The few DynamoDB expressions that ingest's requests use; any other is refused, never half understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from iops.contract import PARTITION_KEY, SORT_KEY
from iops.items import Item

CLAUSE: Final = re.compile(r"(SET|REMOVE)\s+(.+?)\s*(?=SET\s|REMOVE\s|$)")
ASSIGNMENT: Final = re.compile(r"([#\w]+) = (?:(:\w+)|if_not_exists\(([#\w]+), (:\w+)\))")
NAME: Final = re.compile(r"[#\w]+")
KEY_CONDITION: Final = re.compile(
    rf"{PARTITION_KEY} = (?P<id>:\w+)"
    rf"(?: AND (?:{SORT_KEY} BETWEEN (?P<first>:\w+) AND (?P<last>:\w+)"
    rf"|begins_with\({SORT_KEY}, (?P<prefix>:\w+)\)))?"
)


class Refused(Exception):
    """DynamoDB's answer to a request that it does not take; `code` is its name for it."""

    def __init__(self, message: str, *, code: str = "ValidationException") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Which sort keys of one partition: from `first` to `last`, both included."""

    entity_id: str
    first: str
    last: str


LAST_SORT_KEY: Final = "\U0010ffff" * 8  # beyond every key of the contract


def read_key_range(expression: str, values: Mapping[str, Any]) -> KeyRange:
    """What a KeyConditionExpression on the table itself asks for."""
    found = KEY_CONDITION.fullmatch(expression)
    if found is None:
        raise Refused(f"the double does not understand {expression!r}")

    def value(group: str) -> str:
        return str(_value(found[group], values)["S"])

    if found["first"]:
        return KeyRange(value("id"), value("first"), value("last"))
    if found["prefix"]:
        return KeyRange(value("id"), value("prefix"), value("prefix") + LAST_SORT_KEY)
    return KeyRange(value("id"), "", LAST_SORT_KEY)


def apply_update(item: Item, expression: str, names: Mapping[str, str], values: Mapping[str, Any]) -> Item:
    """A copy of `item` after an UpdateExpression of SET and REMOVE clauses, all of which see the item as it was."""
    after = dict(item)
    rest = expression.strip()
    while rest:
        clause = CLAUSE.match(rest)
        if clause is None:
            raise Refused(f"the double does not understand {expression!r}")
        _apply_clause(after, item, clause, lambda name: names[name] if name.startswith("#") else name, values)
        rest = rest[clause.end() :]
    return after


def _apply_clause(
    after: Item, before: Item, clause: re.Match[str], name_of: Callable[[str], str], values: Mapping[str, Any]
) -> None:
    if clause[1] == "REMOVE":
        for name in clause[2].split(", "):
            if NAME.fullmatch(name) is None:
                raise Refused(f"the double does not understand REMOVE {name!r}")
            after.pop(name_of(name), None)
        return
    position = 0
    while position < len(clause[2]):
        found = ASSIGNMENT.match(clause[2], position)
        if found is None or clause[2][found.end() : found.end() + 2] not in ("", ", "):
            raise Refused(f"the double does not understand SET {clause[2]!r}")
        target, plain, existing, default = found.groups()
        after[name_of(target)] = (
            _value(plain, values) if plain else before.get(name_of(existing)) or _value(default, values)
        )
        position = found.end() + 2


def _value(name: str, values: Mapping[str, Any]) -> Any:
    if name not in values:
        raise Refused(f"an expression attribute value used in expression is not defined: {name}")
    return values[name]
