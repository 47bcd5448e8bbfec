"""Whether the table has what was acknowledged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from bench.bodies import Sent
from iops import items
from iops.items.chunks import LAST_INSTANT_MS
from iops.table import Table
from local import resources


async def count_missing(table_url: str, acknowledged: Iterable[Sent]) -> int:
    """How many of the acknowledged samples no chunk of their stream holds; each chunk is read and decoded."""
    wanted: dict[str, set[int]] = {}
    for sent in acknowledged:
        wanted.setdefault(sent.stream_id, set()).update(sent.instants())
    async with opened_table(table_url) as table:
        return sum([len(instants - await _stored(table, stream_id)) for stream_id, instants in wanted.items()])


async def count_stored(table_url: str, stream_ids: Iterable[str]) -> int:
    """How many samples of these streams the table has, each instant once."""
    async with opened_table(table_url) as table:
        return sum([len(await _stored(table, stream_id)) for stream_id in stream_ids])


async def _stored(table: Table, stream_id: str) -> set[int]:
    query = items.chunks_query(stream_id, from_ms=0, to_ms=LAST_INSTANT_MS, is_consistent=True)
    return {at_ms for row in await table.query(query) for at_ms in items.item_to_window(row).at_ms}


@asynccontextmanager
async def opened_table(url: str) -> AsyncIterator[Table]:
    """The table double's, without an account."""
    async with resources.open_client("dynamodb", url) as client:
        yield Table(client)
