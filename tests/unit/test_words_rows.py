"""Rows of an insight that gets other words, and how the insights of one stream are found."""

from datetime import timedelta

import pytest

from iops import contract, items
from iops.errors import Conflict
from iops.items import Item
from tests.unit.builders import AT, AT_MS, DISK, an_alert, an_insight
from tests.unit.fakes import FakeTable

LATER = AT + timedelta(seconds=5)


async def test_words_are_replaced_once_and_the_row_stays_in_its_lists() -> None:
    fake, before = FakeTable(), an_insight()
    row = items.insight_item(before)
    fake.add(row)
    after = before.model_copy(update={"explanation": "Other words.", "risk_score": 55.5})

    await fake.table().update(items.words_update(after))

    (stored,) = fake.of_type("insight")
    assert items.item_to_insight(stored) == after
    assert stored == row | {"doc": stored["doc"], "risk_score": {"N": "55.5"}, "reworded": {"BOOL": True}}
    with pytest.raises(Conflict):
        await fake.table().update(items.words_update(before))
    assert items.item_to_insight(fake.of_type("insight")[0]) == after


async def test_words_bring_no_insight_back_that_has_expired() -> None:
    fake = FakeTable()

    with pytest.raises(Conflict):
        await fake.table().update(items.words_update(an_insight()))

    assert fake.rows == {}


def test_an_insight_that_is_told_again_has_a_row_of_its_own_with_its_time() -> None:
    insight = an_insight(insight_id="01")

    first, again = items.outbox_item(insight), items.outbox_item(insight, reworded_at=LATER)

    assert (first["entity_id"], again["entity_id"]) == ({"S": "insight#01"}, {"S": "insight#01#reworded"})
    assert (first["timestamp"], again["timestamp"]) == ({"N": str(AT_MS)}, {"N": str(AT_MS + 5_000)})
    assert items.item_to_insight(first) == items.item_to_insight(again) == insight
    assert contract.TTL_ATTRIBUTE not in again


async def test_insights_of_one_stream_come_newest_first_and_without_alerts_or_outbox_rows() -> None:
    fake = FakeTable()
    mine = [an_insight(created_at=AT + timedelta(minutes=minute)) for minute in range(3)]
    fake.add(*map(items.insight_item, mine), *map(items.outbox_item, mine))
    fake.add(items.insight_item(an_insight("web-2:sda")), items.alert_put(an_alert())["Item"])

    assert await ids_of(fake, items.insights_of_stream_query(DISK, limit=25)) == [
        mine[2].insight_id,
        mine[1].insight_id,
        mine[0].insight_id,
    ]
    assert await ids_of(fake, items.insights_of_stream_query(DISK, limit=1)) == [mine[2].insight_id]


async def ids_of(fake: FakeTable, query: Item) -> list[str]:
    rows, _ = await fake.table().query_page(query)
    return [items.item_to_insight(row).insight_id for row in rows]
