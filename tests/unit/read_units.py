"""A meter at a table in memory: the read units that DynamoDB would ask for."""

from __future__ import annotations

import math
from typing import Any, Final

from iops.items import Item
from tests.unit.fakes import FakeTable

UNIT_BYTES: Final = 4096
KEYS: Final = "KeyConditionExpression"


class Meter:
    """Counts from where it is put on."""

    def __init__(self, fake: FakeTable) -> None:
        self.units = 0.0
        self._get, self._query = fake.get_item, fake.query
        fake.get_item, fake.query = self._count_get, self._count_query  # type: ignore[method-assign]

    async def _count_get(self, **request: Any) -> Item:
        reply = await self._get(**request)
        self._count([reply["Item"]] if "Item" in reply else [], request)
        return reply

    async def _count_query(self, **request: Any) -> Item:
        """What a filter leaves out was read too."""
        self._count((await self._query(**_unfiltered(request)))["Items"], request)
        return await self._query(**request)

    def _count(self, rows: list[Item], request: Item) -> None:
        whole = max(1, math.ceil(sum(map(size_bytes, rows)) / UNIT_BYTES))
        self.units += whole if request.get("ConsistentRead") else whole / 2


def _unfiltered(request: Item) -> Item:
    """Without its filter, and what only that names: DynamoDB refuses what is not used."""
    kept = {name: value for name, value in request.items() if name != "FilterExpression"}
    for names in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        used = {name: value for name, value in request.get(names, {}).items() if name in request[KEYS]}
        kept |= {names: used}
    return {name: value for name, value in kept.items() if value != {}}


def size_bytes(row: Item) -> int:
    """Names and values, about as DynamoDB counts them."""
    return sum(len(name) + _value_bytes(next(iter(value.values()))) for name, value in row.items())


def _value_bytes(value: Any) -> int:
    if isinstance(value, bytes):
        return len(value)
    return len(str(value).encode())
