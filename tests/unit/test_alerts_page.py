"""The pages of alerts as a person reads them: what needs somebody first, and nothing of others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.alert import Alert, AlertState, Silence, SilenceScope
from iops.auth import Caller, Role
from iops.insight import PredictionType
from services.insights.pages.alerts import SILENCES_SHOWN
from services.insights.silence import ALL_HOSTS
from tests.unit.builders import AT, EVERYBODY, an_alert, an_insight
from tests.unit.page_reader import Page
from tests.unit.tenants import WEB, House

VIEWER = Caller("a viewer", Role.VIEWER)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[2J\n'


@pytest.fixture
def house() -> House:
    return House()


async def page_of(house: House, path: str, *, caller: Caller = EVERYBODY, status: int = 200, **params: Any) -> Page:
    await house.watch.fleet.look_once()
    answer = await house.ask("GET", path, caller=caller, **params)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    page.assert_runs_only_ours()
    return page


def add(house: House, *alerts: Alert) -> None:
    house.table.add(*(items.alert_put(alert)["Item"] for alert in alerts))


def over(stream_id: str, **fields: Any) -> Alert:
    ended = {"state": AlertState.RESOLVED, "resolved_at": AT - timedelta(minutes=5), "handled_by": "ann"}
    return an_alert(stream_id, **ended | fields)


async def test_what_fires_says_what_where_how_bad_who_and_what_next(house: House) -> None:
    add(house, an_alert("web-1:sda", page_id="p", risk_score=85, peak_risk_score=97))

    page = await page_of(house, "/ui/alerts")

    assert "web-1:sda has stalled" in page.said
    assert "; risk 97 at its worst; peer group web-1 ; nobody is at it" in page.said
    assert "Next step: Look for a lost path." in page.said
    assert page.rows == ["web-1-sda"]
    assert "/ui/alerts/web-1-sda" in page.links


@pytest.mark.parametrize("path", ["/", "/ui/alerts"])
async def test_who_watches_disks_or_alerts_sees_that_the_system_itself_is_not_well(house: House, path: str) -> None:
    well = await page_of(house, path)
    house.office.fake.rows.clear()
    house.office.now_s += 10
    ill = await page_of(house, path)

    assert "The system itself" not in well.said
    assert "The system itself : alerts has not been heard of" in ill.said


async def test_streams_that_were_told_together_are_one_card_and_one_deed(house: House) -> None:
    disks = ("sda", "sdb", "sdc")
    add(house, *(an_alert(f"web-1:{disk}", page_id="p") for disk in disks))

    page = await page_of(house, "/ui/alerts")

    assert "3 streams of web-1: stall" in page.said
    assert "Acknowledge 3 alerts" in page.said
    assert " ".join(f"/alerts/web-1-{disk}/acknowledge" for disk in disks) in page.forms


async def test_firing_comes_first_then_taken_then_silenced_then_over(house: House) -> None:
    states = (AlertState.SILENCED, AlertState.ACKNOWLEDGED, AlertState.FIRING)
    add(house, over("web-0:sda"), *(an_alert(f"{state}:sda", state=state, page_id=state) for state in states))

    assert (await page_of(house, "/ui/alerts")).rows == [
        "firing-sda",
        "acknowledged-sda",
        "silenced-sda",
        "web-0-sda",
    ]


async def test_who_acted_sees_their_deed_before_the_fleet_knows_of_it(house: House) -> None:
    taken, ended, foreign = (an_alert(f"{host}:sda", page_id=host) for host in ("web-1", "web-2", "db-1"))
    add(house, taken, ended, foreign)
    await house.watch.fleet.look_once()
    add(house, taken.model_copy(update={"state": AlertState.ACKNOWLEDGED, "handled_by": "ann", "version": 2}))
    add(house, over("web-2:sda", version=2))

    behind = await house.ask("GET", "/ui/alerts")
    acted = ".".join(alert.alert_id for alert in (taken, ended, foreign))
    page = Page((await house.ask("GET", "/ui/alerts", headers={"Cookie": f"iops_acted={acted}.unknown"})).text)

    assert "handled by ann" not in behind.text
    assert "handled by ann" in page.said
    assert [row for row in page.rows if row != "web-1-sda"] == ["web-2-sda"], "it is over"
    assert "db-1" not in page.said


async def test_where_nothing_fires_it_says_which_was_the_last(house: House) -> None:
    nothing = await page_of(house, "/ui/alerts")
    add(house, over("web-1:sda"))
    last = await page_of(house, "/ui/alerts")

    assert "Nothing is firing There was no alert in the last 90 days." in nothing.said
    assert "Nothing is firing The last alert was web-1:sda has stalled , over 5 min ago ." in last.said


async def test_a_filter_keeps_what_fits_and_says_where_nothing_does(house: House) -> None:
    quiet = an_alert("web-2:sda", state=AlertState.SILENCED)
    add(house, an_alert("web-1:sda", page_id="p"), quiet, over("web-3:sda"))

    async def rows(**params: Any) -> list[str]:
        return (await page_of(house, "/ui/alerts", **params)).rows

    assert await rows(state="silenced") == ["web-2-sda"]
    assert await rows(peer_group="web-3") == ["web-3-sda"]
    assert await rows(text="WEB-1:") == ["web-1-sda"]
    assert await rows(state="resolved") == ["web-3-sda"]
    assert "No open alert fits the filter" in (await page_of(house, "/ui/alerts", text="nothing")).said
    assert await rows(state="", peer_group="", text="") == ["web-1-sda", "web-2-sda", "web-3-sda"]


async def test_what_is_over_goes_on_page_by_page_to_the_oldest(house: House) -> None:
    for number in range(25):
        add(house, over(f"web-{number:02}:sda", updated_at=AT - timedelta(minutes=number)))
    add(house, an_alert("web-99:sda"))
    page, seen = await page_of(house, "/ui/alerts"), 0

    seen += len(page.rows) - 1
    (older,) = [link for link in page.links if "cursor=" in link]
    rest = await page_of(house, older)

    assert (seen, len(rest.rows), rest.rows[0], rest.rows[-1]) == (10, 15, "web-10-sda", "web-24-sda")
    assert not [link for link in rest.links if "cursor=" in link]


def silence(house: House, group: str, *, hours: int) -> None:
    spoken = Silence(
        silence_id=group,
        scope=SilenceScope.PEER_GROUP,
        value=group,
        begins_at=AT - timedelta(hours=2),
        ends_at=AT + timedelta(hours=hours),
        reason="a restore",
        created_by="ann",
    )
    house.table.add(items.silence_item(spoken))


async def test_a_search_finds_what_lies_far_back_and_says_how_far_it_looked(house: House) -> None:
    for number in range(2_600):
        add(house, over(f"web-{number:04}:sda", updated_at=AT - timedelta(minutes=number)))

    live = await page_of(house, "/ui/alerts", text="web-2550")
    (further,) = [link for link in live.links if "cursor=" in link]
    history = await page_of(house, further)
    (further_still,) = [link for link in history.links if "cursor=" in link]
    end = await page_of(house, further_still)

    # 500 minutes before 02:00, and 2,500.
    assert "Look further back Looked back to 2026-11-22 17:41:00 UTC : none that is over fits." in live.said
    assert "Looked back to 2026-11-21 08:21:00 UTC : none that is over fits." in history.said
    assert (end.rows, "Look" in end.said) == (["web-2550-sda"], False)


async def test_a_search_that_finds_much_loses_nothing_between_its_pages(house: House) -> None:
    for number in range(130):
        add(house, over(f"web-{number:03}:sda", updated_at=AT - timedelta(minutes=number)))
    path: str | None = "/ui/alerts?state=resolved&text=WEB-"
    seen: list[list[str]] = []
    while path:
        page = await page_of(house, path)
        seen.append(page.rows)
        path = next((link for link in page.links if "cursor=" in link), None)

    assert [len(rows) for rows in seen] == [50, 50, 30]
    assert [row for rows in seen for row in rows] == [f"web-{number:03}-sda" for number in range(130)]


async def test_a_search_of_alerts_finds_none_of_others(house: House) -> None:
    add(house, over("web-1:sda"), over("db-1:sda"))

    assert (await page_of(house, "/ui/alerts?state=resolved&text=sda", caller=WEB)).rows == ["web-1-sda"]


async def test_silences_that_run_are_listed_with_their_end(house: House) -> None:
    silence(house, "web-1", hours=1)
    silence(house, "web-2", hours=-1)

    page = await page_of(house, "/ui/alerts")

    assert "Peer group web-1 : until 2026-11-23 03:00:00 UTC , by ann: a restore" in page.said
    assert "web-2" not in page.said
    assert "/alerts/silences/web-1" in page.forms
    assert "not shown" not in page.said


async def test_more_silences_than_a_page_holds_are_said_to_be_more(house: House) -> None:
    for number in range(SILENCES_SHOWN + 1):
        silence(house, f"web-{number}", hours=1 + number)

    page = await page_of(house, "/ui/alerts")

    assert "More are not shown, which end sooner" in page.said


async def test_a_viewer_reads_all_and_finds_nothing_to_press(house: House) -> None:
    things = await house.move_in("web-1")

    for path in ("/ui/alerts", f"/ui/alerts/{things.alert_id}", f"/ui/insights/{things.insight_id}"):
        assert (await page_of(house, path, caller=VIEWER)).forms == []
        assert (await page_of(house, path)).forms != []


async def test_nothing_of_others_is_on_the_page(house: House) -> None:
    await house.move_in("web-1")
    foreign = await house.move_in("db-1")
    add(house, over("db-2:sda"))

    assert "db-" not in str((await page_of(house, "/ui/alerts", caller=WEB)).texts)
    page = await page_of(house, f"/ui/alerts/{foreign.alert_id}", caller=WEB, status=404)
    assert "There is no such thing" in page.said


async def test_words_of_others_run_nothing_and_stay_one_line(house: House) -> None:
    words = {"title": HOSTILE, "explanation": HOSTILE, "recommendations": (HOSTILE,), "handled_by": HOSTILE}
    add(house, an_alert("web-1:sda", **words), over("web-2:sda", **words))

    for path in ("/ui/alerts", "/ui/alerts/web-1-sda"):
        page = await page_of(house, path)
        assert "<script>alert(1)</script>" in page.said, "as text"
        assert not any(bad in "".join(page.texts) for bad in ("\u202e", "\x1b"))


async def test_what_a_filter_of_alerts_asks_for_comes_back_as_text(house: House) -> None:
    page = await page_of(house, "/ui/alerts", text=HOSTILE, peer_group=HOSTILE, state=HOSTILE)

    assert "No open alert fits the filter" in page.said


@pytest.mark.parametrize("cursor", ["x", "MTIz"])
async def test_a_cursor_that_was_made_up_is_an_error_page(house: House, cursor: str) -> None:
    page = await page_of(house, "/ui/alerts", status=400, cursor=cursor)

    assert "The list cannot go on from there" in page.said
    assert "by itself" not in page.said


async def test_before_the_alerts_are_read_the_page_says_so(house: House) -> None:
    answer = await house.ask("GET", "/ui/alerts", caller=EVERYBODY)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "the fleet is being read" in Page(answer.text).said
    assert "This page tries again by itself, every 5 s." in Page(answer.text).said


@pytest.mark.parametrize(("host", "streams"), [("web-1", "/?text=web-1"), (ALL_HOSTS, "/")])
async def test_a_silent_host_leads_to_its_streams(house: House, host: str, streams: str) -> None:
    add(house, an_alert(host, prediction_type=PredictionType.AGENT_SILENT, peer_group=host, alert_id="silent"))
    silent = an_insight(host, prediction_type=PredictionType.AGENT_SILENT, peer_group=host)
    house.table.add(items.insight_item(silent))

    for path in ("/ui/alerts/silent", f"/ui/insights/{silent.insight_id}"):
        page = await page_of(house, path)

        assert f"Host {host}" in page.said
        assert streams in page.links
        assert not [link for link in page.links if link.startswith("/ui/streams/")]
