"""Lists and their cursors in both tables: nothing left out, nothing twice."""

from datetime import datetime, timedelta

import pytest

from iops import items
from iops.errors import InvalidCursor
from iops.table import Table
from services.insights.recent import list_insights_of
from tests.integration.examples import AT, EVERYBODY, an_alert, an_insight

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests


async def put_insights(table: Table, count: int, *, at: datetime = AT) -> list[str]:
    """Insights a second apart whose risk is 60, 61, ... 99, 60, ...; their ids, newest first."""
    made = [
        an_insight(f"web-{index}:sda", created_at=at + timedelta(seconds=index), risk_score=float(60 + index % 40))
        for index in range(count)
    ]
    rows = [items.insight_item(insight) for insight in made]
    for start in range(0, count, 25):
        await table.put_all(rows[start : start + 25], deadline_s=5)
    return [insight.insight_id for insight in reversed(made)]


async def test_a_list_is_newest_first_and_goes_on_from_its_cursor(table: Table) -> None:
    ids = await put_insights(table, 60)

    pages: list[list[str]] = []
    cursor = None
    while True:
        rows, cursor = await table.list_page("insight", caller=EVERYBODY, limit=25, cursor=cursor)
        pages.append([items.item_to_insight(row).insight_id for row in rows])
        if cursor is None:
            break

    assert [len(page) for page in pages] == [25, 25, 10]
    assert [insight_id for page in pages for insight_id in page] == ids


async def test_a_filtered_list_fills_its_page_and_repeats_nothing(table: Table) -> None:
    await put_insights(table, 120)
    where = ("risk_score >= :min", {":min": {"N": "95"}})  # 5 of 40

    found: list[str] = []
    cursor = None
    for _ in range(50):
        rows, cursor = await table.list_page("insight", caller=EVERYBODY, limit=4, cursor=cursor, where=where)
        found += [row["entity_id"]["S"] for row in rows]
        assert all(float(row["risk_score"]["N"]) >= 95 for row in rows)
        if cursor is None:
            break

    assert cursor is None
    assert len(found) == len(set(found)) == 15


async def test_insights_of_one_stream_come_whole_between_its_alerts_and_those_of_others(table: Table) -> None:
    await put_insights(table, 5)
    mine = [an_insight("db-1:sda", created_at=AT + timedelta(seconds=index)) for index in range(12)]
    await table.put_all([items.insight_item(insight) for insight in mine], deadline_s=5)
    for index in range(3):
        alert = an_alert("db-1:sda", alert_id=f"{index}", updated_at=AT + timedelta(seconds=4 * index))
        await table.put(items.alert_put(alert)["Item"])

    found: list[str] = []
    cursor = None
    while True:
        rows, cursor = await list_insights_of(table, "db-1:sda", limit=4, cursor=cursor, min_risk=60)
        found += [items.item_to_insight(row).insight_id for row in rows]
        if cursor is None:
            break

    assert found == [insight.insight_id for insight in reversed(mine)]


async def test_a_list_by_state_uses_a_reserved_word(table: Table) -> None:
    for index, state in enumerate(("firing", "resolved", "firing")):
        await table.transact([{"Put": items.alert_put(an_alert(f"web-{index}:sda", state=state))}])

    rows, _ = await table.list_page(
        "alert", caller=EVERYBODY, limit=10, cursor=None, where=("#state = :state", {":state": {"S": "firing"}})
    )

    assert {items.item_to_alert(row).stream_id for row in rows} == {"web-0:sda", "web-2:sda"}


async def test_rows_of_one_instant_are_all_listed(table: Table) -> None:
    made = [an_insight(f"web-{index}:sda") for index in range(5)]  # all at AT
    await table.put_all([items.insight_item(insight) for insight in made], deadline_s=5)

    found, cursor = await table.list_page("insight", caller=EVERYBODY, limit=2, cursor=None)
    while cursor:
        rows, cursor = await table.list_page("insight", caller=EVERYBODY, limit=2, cursor=cursor)
        found += rows

    assert {items.item_to_insight(row).insight_id for row in found} == {insight.insight_id for insight in made}
    assert len(found) == 5


async def test_a_cursor_of_a_row_that_is_gone_still_goes_on(table: Table) -> None:
    ids = await put_insights(table, 4)
    _, cursor = await table.list_page("insight", caller=EVERYBODY, limit=2, cursor=None)
    await table.delete(items.key_of(f"insight#{ids[1]}", "insight"))

    rows, _ = await table.list_page("insight", caller=EVERYBODY, limit=2, cursor=cursor)

    assert [items.item_to_insight(row).insight_id for row in rows] == ids[2:]


@pytest.mark.parametrize("cursor", ["nonsense", "", "MTc5NTM5OTIwMDAwMA==", "bm90YW51bWJlciB4"])
async def test_a_cursor_that_no_list_answered_is_refused(table: Table, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await table.list_page("insight", caller=EVERYBODY, limit=2, cursor=cursor)


async def test_a_cursor_that_somebody_made_up_is_refused_or_harmless(table: Table) -> None:
    await put_insights(table, 2)
    for start in (
        items.key_of("x" * 1024, "insight") | {"timestamp": {"N": "9" * 15}},
        items.key_of("insight#0", "insight") | {"timestamp": {"N": "-5"}},
        items.key_of("insight#0", "insight") | {"timestamp": {"N": "9" * 40}},
    ):
        cursor = items.start_to_cursor(start)
        try:
            await table.list_page("insight", caller=EVERYBODY, limit=2, cursor=cursor)
        except InvalidCursor:
            continue


async def test_the_outbox_is_read_oldest_first(table: Table) -> None:
    made = [an_insight(created_at=AT + timedelta(seconds=second)) for second in (2, 0, 1)]
    await table.put_all([items.outbox_item(insight) for insight in made], deadline_s=5)

    rows, _ = await table.query_page(items.list_query("outbox", limit=2, oldest_first=True))

    assert [items.item_to_insight(row).insight_id for row in rows] == [made[1].insight_id, made[2].insight_id]
