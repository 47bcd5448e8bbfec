"""Whose rows are whose: the stream that a row is about, as DynamoDB's filter and as a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from iops import contract
from iops.auth import Caller
from iops.items.rows import Item

Where = tuple[str, Item]  # a filter expression, and its values

ABOUT: Final = "about"  # of a silence: the stream or the group whose name it has; of a whole type there is none
# By kind of row, the attribute with the name that patterns fit. What is not here is only for who sees all.
NAME_OF: Final[Mapping[str, str]] = {
    "stream": contract.PARTITION_KEY,
    "insight": contract.STREAM_KEY,
    "alert": contract.STREAM_KEY,
    "silence": ABOUT,
}


def where_own(entity_type: str, caller: Caller) -> Where | None:
    """Keeps the caller's rows of a list, at most 20 conditions; None where they see all.

    >>> from iops.auth import Role
    >>> where_own("insight", Caller("web", Role.VIEWER, ("web-*", "db-1:sda")))[0]
    'begins_with(stream_id, :own0) OR stream_id = :own1'
    """
    if caller.sees_all:
        return None
    name = NAME_OF[entity_type]
    conditions, values = [], {}
    for index, pattern in enumerate(caller.streams):
        value = f":own{index}"
        conditions.append(f"begins_with({name}, {value})" if pattern.endswith("*") else f"{name} = {value}")
        values[value] = {"S": pattern.removesuffix("*")}
    return " OR ".join(conditions), values


def where_all(*parts: Where | None) -> Where | None:
    """Keeps what every part keeps; None where none says anything. DynamoDB refuses parentheses around parentheses."""
    said = [part for part in parts if part is not None]
    if len(said) <= 1:
        return said[0] if said else None
    values: Item = {}
    for _, each in said:
        values |= each
    return " AND ".join(f"({expression})" for expression, _ in said), values


def is_own(row: Item, caller: Caller) -> bool:
    """Whether the row is about what the caller may see. Its document is not looked at: that takes time to tell by."""
    name = row.get(NAME_OF[row[contract.SORT_KEY]["S"]])
    return caller.sees_all or (name is not None and caller.may_see(name["S"]))
