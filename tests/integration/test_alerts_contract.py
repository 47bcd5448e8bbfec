"""Alerts, their history, pages, timers and silences in both tables: what holds, and what is found when."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.alert import Change, Event, EventKind, Page, Silence, SilenceScope
from iops.clock import to_epoch_ms
from iops.errors import Conflict, TableUnavailable
from iops.insight import PredictionType
from iops.items import Item
from iops.table import Table
from tests.integration.examples import AT, an_alert, an_insight

AT_MS = to_epoch_ms(AT)

pytestmark = pytest.mark.asyncio(loop_scope="module")  # a client takes 0.2 s to make: one for all tests


def a_change(**fields: Any) -> Change:
    usual = {"alert_id": "a", "version": 1, "at": AT, "what": "opened", "by": "scorer", "risk_score": 90}
    return Change(**usual | fields)


def a_page(**fields: Any) -> Page:
    usual = {
        "page_id": "p",
        "peer_group": "web-1",
        "prediction_type": PredictionType.STALL,
        "lead_alert_id": "a",
        "opened_at": AT,
        "told_at": AT,
        "streams": ("web-1:a",),
        "streams_total": 1,
        "open_alerts": ("a",),
        "version": 1,
    }
    return Page(**usual | fields)


async def holds(table: Table, *writes: Item) -> bool:
    try:
        await table.transact(list(writes))
    except Conflict:
        return False
    return True


async def test_a_line_of_the_history_is_written_once_or_after_it_expired(table: Table) -> None:
    assert await holds(table, {"Put": items.change_put(a_change())})
    assert not await holds(table, {"Put": items.change_put(a_change(what="told"))})
    assert not await holds(table, {"Put": items.change_put(a_change(at=AT + timedelta(days=89)))})
    assert await holds(table, {"Put": items.change_put(a_change(at=AT + timedelta(days=90)))})


async def test_the_history_is_listed_newest_first_without_the_alert_and_its_timer(table: Table) -> None:
    await table.transact([{"Put": items.alert_put(an_alert().model_copy(update={"alert_id": "a"}))}])
    await table.put(items.due_item("alert#a", AT))
    for version in range(1, 12):
        await table.transact([{"Put": items.change_put(a_change(version=version))}])

    rows = await table.query_page(items.changes_query("a", limit=3))

    assert [items.item_to_change(row).version for row in rows[0]] == [11, 10, 9]


async def test_a_page_and_which_is_the_newest_go_one_version_on(table: Table) -> None:
    def writes(page: Page, newest: int) -> list[Item]:
        return [{"Put": items.page_put(page)}, {"Put": items.newest_page_put("k", page, version=newest)}]

    assert await holds(table, *writes(a_page(), 1))
    assert not await holds(table, *writes(a_page(page_id="q"), 1))
    assert await table.get(items.key_of("page#q", "page")) is None
    assert not await holds(table, *writes(a_page(version=3), 2))
    assert await holds(table, *writes(a_page(version=2, resolved_at=AT), 2))

    row = await table.get(items.key_of("page#p", "page"))
    assert row is not None
    assert items.item_to_page(row) == a_page(version=2, resolved_at=AT)
    assert row["ttl"] == {"N": str(AT_MS // 1000 + 90 * 24 * 3600)}


async def test_timers_and_deliveries_are_listed_when_their_time_has_come(table: Table) -> None:
    event = Event(event_id="e", kind=EventKind.OPENED, at=AT)
    for seconds in (0, 2, 1, 3):
        at = AT + timedelta(seconds=seconds)
        await table.put(items.due_item(f"alert#{seconds}", at))
        await table.put(items.delivery_item(event.model_copy(update={"event_id": f"{seconds}"}), "bus", not_before=at))
        await table.put(items.delivery_item(event, f"hook-{seconds}", not_before=AT))

    async def listed(entity_type: str) -> list[str]:
        rows, _ = await table.query_page(items.overdue_query(entity_type, now_ms=AT_MS + 2_000, limit=3))
        return [row["entity_id"]["S"] for row in rows]

    assert await listed("due") == ["alert#0", "alert#1", "alert#2"]
    assert await listed("delivery#bus") == ["event#0", "event#1", "event#2"]


async def test_silences_are_listed_until_they_end(table: Table) -> None:
    for hours in (-1, 0, 1):
        silence = Silence(
            silence_id=f"{hours}",
            scope=SilenceScope.STREAM,
            value="web-1:a",
            begins_at=AT - timedelta(hours=2),
            ends_at=AT + timedelta(hours=hours),
            reason="",
            created_by="ann",
        )
        await table.put(items.silence_item(silence))

    rows = await table.query(items.silences_query(now_ms=AT_MS))

    assert [items.item_to_silence(row).silence_id for row in rows] == ["1"]


async def test_of_two_that_take_an_outbox_row_one_changes_the_alert(table: Table) -> None:
    row = items.outbox_item(an_insight())
    key = items.key_of(row["entity_id"]["S"], "outbox")
    await table.put(row)

    def writes(alert_id: str) -> list[Item]:
        alert = an_alert().model_copy(update={"alert_id": alert_id})
        due = {"Put": {"Item": items.due_item(f"alert#{alert_id}", AT)}}
        return [{"Put": items.alert_put(alert)}, due, {"Delete": items.delete_present(key)}]

    outcomes = await asyncio.gather(*(table.transact(writes(name)) for name in "ab"), return_exceptions=True)
    failed = [outcome for outcome in outcomes if outcome is not None]
    assert len(failed) == 1
    assert isinstance(failed[0], Conflict | TableUnavailable)  # DynamoDB may also cancel the loser for being there
    assert await table.get(key) is None
    assert not await holds(table, *writes("c"))
    rows = await table.query_page(items.overdue_query("due", now_ms=AT_MS, limit=9))
    assert len(rows[0]) == 1


async def test_a_timer_is_put_right_only_while_what_it_belongs_to_stays_as_it_is(table: Table) -> None:
    alert = an_alert().model_copy(update={"alert_id": "a"})

    def timer(version: int | None) -> list[Item]:
        check = {"ConditionCheck": items.version_check("alert#a", "alert", version)}
        return [{"Put": {"Item": items.due_item("alert#a", AT)}}, check]

    assert await holds(table, *timer(None))
    assert not await holds(table, *timer(1))
    await table.transact([{"Put": items.alert_put(alert)}, {"Delete": {"Key": items.due_key("alert#a")}}])
    assert await holds(table, *timer(1))
    assert not await holds(table, *timer(2))
    assert not await holds(table, *timer(None))
