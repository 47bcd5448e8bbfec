"""What people hear of alerts, each rule by itself."""

from datetime import timedelta
from typing import Any

import pytest

from iops.alert import EventKind, Page
from iops.insight import PredictionType
from services.alerts import pages
from tests.unit.builders import AT, an_alert

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def a_page(*alerts: str, **fields: Any) -> Page:
    usual: dict[str, Any] = {
        "page_id": "p",
        "peer_group": "web-1",
        "prediction_type": PredictionType.STALL,
        "lead_alert_id": "web-1-a",
        "opened_at": AT,
        "told_at": AT,
        "streams": ("web-1:a",),
        "streams_total": 1,
        "open_alerts": alerts or ("web-1-a",),
        "version": 1,
    }
    return Page(**usual | fields)


def test_the_first_alert_opens_a_page() -> None:
    told = pages.tell(None, an_alert("web-1:a"), now=AT)

    assert told.page is not None
    assert (told.event, told.page_id) == (EventKind.OPENED, told.page.page_id)
    assert (told.page.lead_alert_id, told.page.streams, told.page.open_alerts) == (
        "web-1-a",
        ("web-1:a",),
        ("web-1-a",),
    )


@pytest.mark.parametrize("seconds", [-300, -1, 0, 300])
def test_others_join_it_for_five_minutes_without_an_event(seconds: int) -> None:
    told = pages.tell(a_page(), an_alert("web-1:b"), now=AT + timedelta(seconds=seconds))

    assert told.page is not None
    assert (told.event, told.page_id, told.page.version) == (None, "p", 2)
    assert (told.page.streams, told.page.streams_total) == (("web-1:a", "web-1:b"), 2)
    assert told.page.open_alerts == ("web-1-a", "web-1-b")


@pytest.mark.parametrize("seconds", [-3600, -301, 301])
def test_later_or_after_the_clock_jumped_an_alert_opens_its_own(seconds: int) -> None:
    told = pages.tell(a_page(), an_alert("web-1:b"), now=AT + timedelta(seconds=seconds))

    assert told.event is EventKind.OPENED
    assert told.page_id != "p"


def test_a_page_that_is_over_takes_nobody() -> None:
    assert pages.tell(a_page(resolved_at=AT), an_alert("web-1:b"), now=AT).event is EventKind.OPENED


def test_20_streams_are_named_and_all_are_counted() -> None:
    page = a_page()
    for number in range(30):
        told = pages.tell(page, an_alert(f"web-1:{number:02}"), now=AT)
        assert told.page is not None
        page = told.page

    assert (len(page.streams), page.streams_total, len(page.open_alerts)) == (20, 31, 31)


def test_it_is_over_with_the_last_of_it_and_then_once() -> None:
    first = pages.end(a_page("web-1-a", "web-1-b", handled_alerts=("web-1-a",)), an_alert("web-1:a"), now=AT)
    assert first.page is not None
    assert (first.event, first.page_id, first.page.handled_alerts, first.page.is_open) == (None, None, (), True)

    last = pages.end(first.page, an_alert("web-1:b"), now=AT + MINUTE)
    assert last.page is not None
    assert (last.event, last.page.resolved_at) == (EventKind.RESOLVED, AT + MINUTE)

    assert pages.end(last.page, an_alert("web-1:b"), now=AT + HOUR).event is None


def test_people_are_reminded_every_four_hours() -> None:
    assert pages.due_at(a_page()) == AT + 4 * HOUR
    assert pages.pass_time(a_page(), now=AT + 4 * HOUR - MINUTE) is None
    assert pages.pass_time(a_page(), now=AT - HOUR) is None

    told = pages.pass_time(a_page(), now=AT + 4 * HOUR)

    assert told is not None
    assert told.page is not None
    assert told.event is EventKind.REMINDER
    assert pages.due_at(told.page) == AT + 8 * HOUR


def test_nobody_is_reminded_of_what_somebody_took() -> None:
    page = a_page("web-1-a", "web-1-b")
    for stream, due_at in (("web-1:a", AT + 4 * HOUR), ("web-1:b", None)):
        handled = pages.handle(page, an_alert(stream))
        assert handled.page is not None
        assert (handled.event, handled.page_id) == (None, "p")
        page = handled.page
        assert pages.due_at(page) == due_at

    assert pages.pass_time(page, now=AT + 9 * HOUR) is None
    reminded = pages.remind(page, an_alert("web-1:b"), now=AT + 9 * HOUR)
    assert reminded.page is not None
    assert reminded.event is EventKind.REMINDER
    assert (reminded.page.handled_alerts, pages.due_at(reminded.page)) == (("web-1-a",), AT + 13 * HOUR)


def test_nobody_is_reminded_of_what_is_over() -> None:
    assert pages.due_at(a_page(resolved_at=AT)) is None
