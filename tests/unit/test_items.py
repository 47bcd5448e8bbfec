"""Rows of the table, both ways, and cursors that callers may tamper with."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iops import contract, items
from iops.alert import AlertState
from iops.errors import DamagedChunk, DamagedRollup, InvalidCursor
from iops.insight import PredictionType
from iops.items import Item
from iops.rollup import roll_up
from iops.telemetry import merge_windows
from tests.unit.builders import (
    AT,
    AT_MS,
    DISK,
    EVERYBODY,
    a_baseline,
    a_batch,
    a_finding,
    a_window,
    an_alert,
    an_insight,
)
from tests.unit.fakes import FakeTable

HOUR = timedelta(hours=1)


def sort_key(item: Item) -> str:
    return str(item["entity_type"]["S"])


def test_a_chunk_row_is_in_no_index_and_expires_after_8_days() -> None:
    (row,) = items.chunk_items(DISK, a_window(1))

    assert contract.TIME_KEY not in row
    assert contract.STREAM_KEY not in row
    assert row["ttl"]["N"] == str(AT_MS // 1000 + 8 * 86_400)


def test_no_chunk_crosses_an_hour_of_the_clock() -> None:
    window = a_window(100, end=AT + timedelta(seconds=49))  # AT is a full hour

    before, after = items.chunk_items(DISK, window)

    assert [len(items.item_to_window(row)) for row in (before, after)] == [50, 50]
    assert sort_key(after).startswith(f"chunk#{AT_MS}#")


def test_the_same_samples_are_the_same_row_and_others_are_not() -> None:
    one, again, other = (
        items.chunk_items(DISK, window)[0] for window in (a_window(1), a_window(1), a_window(1, in_flight=1))
    )

    assert one == again
    assert sort_key(one) != sort_key(other)


def test_a_damaged_row_names_its_key() -> None:
    (row,) = items.chunk_items(DISK, a_window(1))
    key = f"chunk {DISK} {sort_key(row)}: "

    for damaged in (row | {"data": {"B": row["data"]["B"][:-1]}}, {name: row[name] for name in row if name != "data"}):
        with pytest.raises(DamagedChunk) as error:
            items.item_to_window(damaged)
        assert error.value.detail.startswith(key)


def test_a_rollup_is_in_no_index_and_expires_after_90_days() -> None:
    update = items.rollup_update(DISK, roll_up(a_window(60, end=AT - timedelta(seconds=1))))

    assert update["Key"] == items.key_of(DISK, f"rollup#{AT_MS - 3_600_000}")
    assert update["ExpressionAttributeValues"][":ttl"] == {"N": str(AT_MS // 1000 + 90 * 86_400)}
    assert contract.TIME_KEY not in update["ExpressionAttributeNames"].values()


def test_a_damaged_rollup_row_names_its_key() -> None:
    row = items.key_of(DISK, f"rollup#{AT_MS}")

    for damaged in (row, row | {"data": {"B": b""}}):
        with pytest.raises(DamagedRollup, match=f"rollup {DISK} rollup#{AT_MS}: "):
            items.item_to_rollup(damaged)


def test_the_marks_of_one_minute_are_one_row_and_those_of_the_next_another() -> None:
    one, again, other = (
        items.late_item(DISK, since_ms=AT_MS + 61_000, now_ms=AT_MS + later_ms) for later_ms in (0, 59_999, 60_000)
    )

    assert sort_key(one) == sort_key(again) != sort_key(other)
    assert items.item_to_late(other) == (AT_MS, AT_MS + 60_000)


async def found(fake: FakeTable, request: Item) -> list[int]:
    windows = [items.item_to_window(row) for row in await fake.table().query(request)]
    return list(merge_windows(windows).at_ms)


@settings(max_examples=30)
@given(st.integers(-5_000, 5_000), st.integers(0, 9_000))
async def test_a_range_of_time_finds_every_sample_in_it(from_s: int, length_s: int) -> None:
    fake = FakeTable()
    every = a_window(200, end=AT + HOUR, interval_s=45.0)
    for start in range(0, 200, 7):
        fake.add(*items.chunk_items(DISK, every.cut(start, start + 7)))
    from_ms, to_ms = AT_MS + from_s * 1000, AT_MS + (from_s + length_s) * 1000

    at_ms = await found(fake, items.chunks_query(DISK, from_ms=from_ms, to_ms=to_ms))

    assert {at for at in every.at_ms if from_ms <= at <= to_ms} <= set(at_ms)


@pytest.mark.parametrize("from_ms", [-62_135_596_800_000, -1, 0, AT_MS, 9_999_999_999_000])
@pytest.mark.parametrize("length_ms", [0, 3_600_000, 7 * 86_400_000])
def test_the_bounds_of_a_range_are_in_order_whenever_it_is(from_ms: int, length_ms: int) -> None:
    values = items.chunks_query(DISK, from_ms=from_ms, to_ms=from_ms + length_ms)["ExpressionAttributeValues"]

    assert values[":from"]["S"] <= values[":to"]["S"], "DynamoDB refuses a BETWEEN whose bounds are not in order"


async def test_newer_chunks_begin_at_or_after_the_instant() -> None:
    fake = FakeTable()
    for minute in range(3):
        fake.add(*items.chunk_items(DISK, a_window(2, end=AT + timedelta(minutes=minute, seconds=1))))
        fake.add(*items.chunk_items("web-1:nvme0n10", a_window(2, end=AT + timedelta(minutes=minute))))

    assert await found(fake, items.newer_chunks_query(DISK, from_ms=AT_MS + 60_000)) == [
        AT_MS + offset_ms for offset_ms in (60_000, 61_000, 120_000, 121_000)
    ]
    assert await found(fake, items.newest_chunk_query(DISK) | {"Limit": 1_000}) != []


def test_findings_come_back_as_they_were() -> None:
    insight, alert, baseline = an_insight(risk_score=87.5), an_alert(risk_score=87.5), a_baseline()

    assert items.item_to_insight(items.insight_item(insight)) == insight
    assert items.item_to_insight(items.outbox_item(insight)) == insight
    assert items.item_to_alert(items.alert_put(alert)["Item"]) == alert
    assert items.item_to_baseline(items.baseline_item(DISK, baseline)) == baseline
    idle = a_baseline(read_iops=0.0, read_await_ms=None)
    assert items.item_to_baseline(items.baseline_item(DISK, idle)) == idle


def test_insights_and_alerts_are_in_both_indexes_and_an_outbox_row_is_in_one() -> None:
    both = {contract.TIME_KEY, contract.STREAM_KEY}

    assert both <= items.insight_item(an_insight()).keys()
    assert both <= items.alert_put(an_alert())["Item"].keys()
    assert both & items.outbox_item(an_insight()).keys() == {contract.TIME_KEY}


def test_an_alert_expires_90_days_after_it_is_resolved_and_not_before() -> None:
    resolved = an_alert(state=AlertState.RESOLVED, resolved_at=AT)

    assert items.alert_put(resolved)["Item"]["ttl"]["N"] == str(AT_MS // 1000 + 90 * 86_400)
    assert "ttl" not in items.alert_put(an_alert())["Item"]


async def stored_stream(fake: FakeTable) -> items.Stream:
    row = await fake.table().get(items.key_of(DISK, "stream"))
    assert row is not None
    return items.item_to_stream(row)


async def test_what_ingest_and_the_scorer_know_of_a_stream_stands_side_by_side() -> None:
    fake = FakeTable()
    table = fake.table()
    await table.update(items.stream_seen_update(a_batch(labels={"rack": "7"}), now_ms=AT_MS))
    fresh = await stored_stream(fake)
    assert (fresh.risk_score, fresh.is_warming_up, fresh.version, fresh.labels) == (None, True, 0, {"rack": "7"})

    insight = an_insight(insight_id="01")
    finding = a_finding(90, PredictionType.STALL)
    await table.transact([{"Update": items.stream_insight_update(fresh, finding, insight)}])
    later = a_batch(provisioned_iops=3_000.0)
    await table.update(items.stream_seen_update(later, now_ms=AT_MS + 9))

    stream = await stored_stream(fake)
    assert (stream.risk_score, stream.insight_id, stream.insight_type) == (90, "01", PredictionType.STALL)
    assert (stream.first_seen_at, stream.provisioned_iops, stream.labels, stream.version) == (AT, 3_000, {}, 1)

    await table.update(items.stream_seen_update(a_batch(), now_ms=AT_MS))
    assert (await stored_stream(fake)).provisioned_iops is None


def test_a_member_row_is_read_back_whatever_the_stream_is_called() -> None:
    assert items.item_to_member(items.member_item("web-1", "a:b@c+d=e")) == "a:b@c+d=e"


def a_cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def test_a_cursor_leads_back_to_where_it_was_taken() -> None:
    start = items.key_of("insight#01", "insight") | {"timestamp": {"N": str(AT_MS)}}

    assert items.cursor_to_start(items.start_to_cursor(start), "insight") == start
    assert items.cursor_to_start(None, "insight") is None


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "%%%", "é", "\0", a_cursor(""), a_cursor("1"), a_cursor("1 "), a_cursor("one x"), a_cursor("1.5 x"),
     a_cursor("-1 x"), a_cursor("9" * 14 + " x"), a_cursor("9" * 400 + " x"), a_cursor("9" * 1_400 + " x"),
     a_cursor("nan x"), a_cursor("1 " + "x" * 1_025), base64.urlsafe_b64encode(b"1 \xff\xfe").decode()],
)  # fmt: skip
def test_a_cursor_that_no_list_has_given_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        items.cursor_to_start(cursor, "insight")


@given(st.text(max_size=60))
def test_no_text_makes_a_cursor_do_more_than_be_refused(text: str) -> None:
    for cursor in (text, base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode()):
        try:
            start = items.cursor_to_start(cursor, "alert")
        except InvalidCursor:
            continue
        assert start is not None
        assert 0 <= int(start["timestamp"]["N"]) < 10**13


async def test_a_filtered_list_goes_on_where_its_page_ended() -> None:
    fake = FakeTable()
    for number in range(30):
        row = items.insight_item(an_insight(insight_id=f"{number:02}", created_at=AT + timedelta(seconds=number)))
        fake.add(row | {"risk_score": {"N": str(number)}})
    fake.page_limit = 4
    where: tuple[str, Any] = ("risk_score >= :min", {":min": {"N": "10"}})

    listed: list[str] = []
    cursor: str | None = None
    for _ in range(30):
        rows, cursor = await fake.table().list_page("insight", caller=EVERYBODY, limit=3, cursor=cursor, where=where)
        assert len(rows) <= 3
        listed += [json.loads(row["doc"]["S"])["insight_id"] for row in rows]
        if cursor is None:
            break

    assert listed == [f"{number:02}" for number in range(29, 9, -1)]
