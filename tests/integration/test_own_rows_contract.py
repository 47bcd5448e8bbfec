"""What both tables make of the filter that keeps a caller's own rows."""

from datetime import timedelta

import pytest

from iops import items
from iops import table as tables
from iops.auth import PATTERNS_LIMIT, Caller, Role
from iops.items.own import NAME_OF
from iops.table import Table
from tests.integration.examples import AT, a_batch, an_alert, an_insight

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests

PATTERNS = ("web-1*", "db-7:sda", *(f"none-{number}-*" for number in range(PATTERNS_LIMIT - 2)))
SOMEBODY = Caller("somebody", Role.VIEWER, PATTERNS)
OWN = {"db-7:sda", "web-1:sda", *(f"web-1{number}:sda" for number in range(10))}


async def fill(table: Table) -> None:
    """Two hosts' worth of rows for each instant, forty instants: 80 streams, insights and alerts, 12 of them own."""
    for number in range(40):
        at = AT + timedelta(seconds=number)
        for stream_id in (f"web-{number}:sda", f"db-{number}:sda"):
            seen = items.stream_seen_update(a_batch(stream_id), now_ms=1_000 * int(at.timestamp()))
            await table.update(seen)
            await table.put(items.insight_item(an_insight(stream_id, created_at=at)))
            await table.transact([{"Put": items.alert_put(an_alert(stream_id, updated_at=at))}])


@pytest.mark.parametrize(("rows", "reads"), [(1_000, 20), (4, 2)])
@pytest.mark.parametrize("kind", ["stream", "insight", "alert"])
async def test_all_pages_together_are_the_own_rows_once_each(
    table: Table, kind: str, rows: int, reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(table)
    monkeypatch.setattr(tables, "OWN_READ_ROWS", rows)
    monkeypatch.setattr(tables, "LIST_PAGES_LIMIT", reads)
    where = ("#state = :state", {":state": {"S": "firing"}}) if kind == "alert" else None
    name = NAME_OF[kind]

    found: list[str] = []
    cursor = None
    for _ in range(100):
        page, cursor = await table.list_page(kind, caller=SOMEBODY, limit=5, cursor=cursor, where=where)
        found += [row[name]["S"] for row in page]
        if cursor is None:
            break

    assert cursor is None
    assert set(found) == OWN
    assert len(found) == len(OWN)


async def test_a_row_of_somebody_else_is_none(table: Table) -> None:
    await fill(table)

    assert await table.get_own(items.key_of("db-7:sda", "stream"), SOMEBODY) is not None
    assert await table.get_own(items.key_of("db-8:sda", "stream"), SOMEBODY) is None
