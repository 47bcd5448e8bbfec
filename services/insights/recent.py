"""Insights of one stream, page by page."""

from __future__ import annotations

from typing import Final

from iops import items
from iops.contract import STREAM_KEY
from iops.items import Item
from iops.table import Table

READS: Final = 20  # for one page: a rare match leaves it short


async def list_insights_of(
    table: Table, stream_id: str, *, limit: int, cursor: str | None = None, min_risk: float = 0
) -> tuple[list[Item], str | None]:
    """Up to `limit` rows, newest first, and the next page's cursor. Raises InvalidCursor, TableUnavailable."""
    start = items.cursor_to_start(cursor, "insight")
    if start is not None:
        start[STREAM_KEY] = {"S": stream_id}
    found: list[Item] = []
    for _ in range(READS):
        request = items.insights_of_stream_query(stream_id, limit=limit - len(found), min_risk=min_risk, start=start)
        page, start = await table.query_page(request)
        found += page
        if start is None or len(found) >= limit:
            break
    return found, items.start_to_cursor(start) if start else None
