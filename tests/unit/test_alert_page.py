"""The page of one alert: what to do, what the disk did, and what people were told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iops import items
from iops.alert import EventKind, Telling
from tests.unit.builders import AT, a_window
from tests.unit.tenants import House
from tests.unit.test_alerts_page import add, over, page_of


@pytest.fixture
def house() -> House:
    return House()


async def test_an_alert_says_what_to_do_before_all_else(house: House) -> None:
    things = await house.move_in("web-1")

    page = await page_of(house, f"/ui/alerts/{things.alert_id}")
    parts = ["has stalled", "What to do", "Why Requests", "Told together", "What the mail said", "What happened"]

    places = [page.said.index(part) for part in parts]
    assert places == sorted(places)
    assert "nothing completed for 20 s" in page.said
    assert f"/ui/insights/{things.insight_id}" in page.links
    assert "/ui/streams/web-1%3Asda" in page.links
    assert "The mail has not gone out." in page.said
    assert "bus has not taken it yet" in page.said


async def test_an_alert_shows_what_the_disk_did_from_before_it_to_its_end(house: House) -> None:
    opened_at, resolved_at = AT - timedelta(minutes=20), AT - timedelta(minutes=10)
    add(house, over("web-1:sda", opened_at=opened_at, resolved_at=resolved_at))
    await house.add_stream("web-1:sda")
    for minutes, await_ms in ((53, 900.0), (12, 8.0), (2, 900.0)):
        window = a_window(10, end=AT - timedelta(minutes=minutes), read_await_ms=await_ms)
        house.table.add(*items.chunk_items("web-1:sda", window))

    page = await page_of(house, "/ui/alerts/web-1-sda")

    assert "Latency lowest 8 ms, median 8 ms, highest 8 ms, newest 8 ms" in page.said
    assert "2026-11-23 01:10:00 UTC to 2026-11-23 01:55:10 UTC" in page.said


async def test_an_alert_has_the_mail_word_for_word(house: House) -> None:
    things = await house.move_in("web-1")
    (page_row,) = house.table.of_type("page")
    lines = ("web-1:sda has stalled", "Where: web-1:sda", "http://iops/ui/alerts/1")
    told = Telling(event_id="01E", kind=EventKind.OPENED, at=AT, target="bus", taken_at=AT, lines=lines)
    house.table.add(items.telling_item(items.item_to_page(page_row).page_id, told))

    page = await page_of(house, f"/ui/alerts/{things.alert_id}")

    assert "web-1:sda has stalled\nWhere: web-1:sda\nhttp://iops/ui/alerts/1\n" in "".join(page.texts)
    assert "bus took it 2026-11-23 02:00:00 UTC" in page.said


async def test_an_alert_that_is_over_offers_no_deed_and_still_its_page(house: House) -> None:
    things = await house.move_in("web-1")
    await house.ask("POST", f"/alerts/{things.alert_id}/resolve", body={"reason": "replaced"})

    page = await page_of(house, f"/ui/alerts/{things.alert_id}")

    assert page.forms == []
    assert "Resolved by web team: replaced" in page.said
    assert "1 stream of web-1" in page.said
