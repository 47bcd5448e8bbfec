"""The page of one stream: whole without a script, for whoever may see the stream."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from iops import items
from iops.auth import Caller, Role
from iops.errors import TableUnavailable
from services.insights.chart import Chart
from services.insights.pages.plot import PLOTS, pictures, risk_column
from tests.unit.builders import AT, AT_MS, EVERYBODY, a_finding, a_window, an_insight
from tests.unit.page_reader import Page
from tests.unit.tenants import WEB, House, apps

DISK = "web-1:sda"
PAGE = f"/ui/streams/{DISK}"


async def a_house(**stream: Any) -> House:
    house = House()
    await house.scene.add_stream(DISK, **stream)
    await house.watch.fleet.look_once()
    return house


async def page(house: House, *, caller: Caller = WEB, **params: Any) -> str:
    answer = await house.ask("GET", PAGE, caller=caller, **params)
    assert answer.status_code == 200, answer.text
    return answer.text


class Read(HTMLParser):
    """Links, pictures' names, and every script and style that would run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.inline: list[str] = []
        self.paths: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "svg":
            self.pictures.append(given.get("aria-label") or "")
        if tag == "path":
            self.paths.append(given.get("d") or "")
        if (tag == "script" and "src" not in given and given.get("type") != "application/json") or "style" in given:
            self.inline.append(tag)
        self.inline += [name for name in given if name.startswith("on")]


async def test_every_plot_is_a_picture_that_says_its_numbers() -> None:
    read = Read(await page(await a_house()))

    assert [name.partition(":")[0] for name in read.pictures] == [plot.title for plot in PLOTS]
    assert "Latency: lowest 1 ms, median 1 ms, highest 1 ms, newest 1 ms" in read.pictures
    assert read.inline == []


async def test_one_slow_sample_does_not_press_the_means_flat_and_is_said_in_words() -> None:
    house = await a_house()
    chart = Chart.model_validate((await house.ask("GET", f"/streams/{DISK}/chart")).json())
    slowest = [90.0 if at == chart.at[-2] else None for at in chart.at]
    drawn = pictures(chart.model_copy(update={"maxima": chart.maxima | {"await_ms": slowest}}))

    latency = next(picture for picture in drawn if picture.plot.name == "latency")

    assert latency.top == "4.2 ms"
    assert latency.summary == "lowest 1 ms, median 1 ms, highest 1 ms, newest 1 ms; slowest sample 90 ms"


async def test_a_gap_is_a_gap_in_the_picture() -> None:
    house = House()
    await house.add_stream(DISK)
    for minutes in (40, 20, 1):
        house.table.add(*items.chunk_items(DISK, a_window(120, end=AT - timedelta(minutes=minutes))))
    await house.watch.fleet.look_once()

    (latency,) = re.findall(r'data-plot="latency".*?<path class="main" d="(.*?)"', await page(house), re.DOTALL)

    assert latency.count("M") == 3


async def test_a_range_without_samples_says_so() -> None:
    house = House()
    await house.add_stream(DISK)
    await house.watch.fleet.look_once()

    text = await page(house)

    assert re.search(r'<p id="charts-state" class="notice" role="status">No samples in this range', text)
    assert "Risk: no samples in this range" in text
    assert "over an hour ago" in text


@pytest.mark.parametrize(
    ("minutes", "said"), [(5, None), (7, "no samples for 7 min"), (70, "no samples for over an hour")]
)
async def test_a_stream_that_sends_nothing_for_a_while_says_so_and_is_not_well(minutes: int, said: str | None) -> None:
    house = House()
    await house.add_stream(DISK)
    house.table.add(*items.chunk_items(DISK, a_window(5, end=AT - timedelta(minutes=minutes))))
    await house.watch.fleet.look_once()

    text = await page(house)

    assert ("no samples for" in text) == (said is not None)
    assert said is None or said in text


@pytest.mark.parametrize(("minutes", "said"), [(74, None), (130, "not scored for 2 h")])
async def test_a_risk_that_nobody_renewed_is_said_to_be_old(minutes: int, said: str | None) -> None:
    house = House()
    await house.scene.add_stream(DISK)
    stream = await house.scene.stream(DISK)
    scored = items.stream_scored_update(stream, a_finding(5), now_ms=AT_MS - 60_000 * minutes)
    await house.table.table().update(scored)
    await house.watch.fleet.look_once()

    for text in (await page(house), (await house.ask("GET", "/")).text):
        assert ("not scored for" in text) == (said is not None)
        assert said is None or said in text


async def test_what_is_wrong_is_said_with_its_links() -> None:
    house = House()
    things = await house.move_in("web-1")
    await house.watch.fleet.look_once()
    text = await page(house)
    read = Read(text)

    assert f"/ui/alerts/{things.alert_id}" in read.links
    assert f"/ui/insights/{things.insight_id}" in read.links
    assert "nothing completed for 20 s" in text
    assert "warming up: less than 3 h of history" in text
    assert "alert firing: stall" in text


async def test_what_is_wrong_and_what_to_do_stand_above_the_charts() -> None:
    house = House()
    things = await house.move_in("web-1")
    await house.watch.fleet.look_once()

    above, _, _ = (await page(house)).partition('<section id="charts"')
    said = Page(above).said

    assert f'<a href="/ui/alerts/{things.alert_id}"><strong>web-1:sda has stalled' in above
    assert "opened now : nothing completed for 20 s; nobody is at it" in said
    assert "Next step: Look for a lost path." in said


@pytest.mark.parametrize(("risk_score", "is_told"), [(70.0, True), (10.0, False)])
async def test_what_nobody_is_alerted_of_is_told_while_it_lasts(risk_score: float, is_told: bool) -> None:
    house = await a_house()
    insight = an_insight(DISK, risk_score=70.0)
    stream, finding = await house.scene.stream(DISK), a_finding(risk_score)
    await house.table.table().update(items.stream_insight_update(stream, finding, insight))
    house.table.add(items.insight_item(insight))
    await house.watch.fleet.look_once()

    above, _, _ = (await page(house)).partition('<section id="charts"')

    assert (f"/ui/insights/{insight.insight_id}" in above) is is_told
    assert ("Next step" in above) is is_told


@pytest.mark.parametrize("name", ["15m", "1h", "6h", "24h", "7d", "30d", "90d", "nonsense"])
async def test_each_range_is_a_link_and_the_one_that_is_shown_is_marked(name: str) -> None:
    text = await page(await a_house(), range=name)
    shown = "1h" if name == "nonsense" else name

    assert re.findall(r'range=(\w+)" aria-current="true"', text) == [shown]


async def test_the_script_is_given_the_same_chart_and_other_peoples_words_end_no_element() -> None:
    house = await a_house(labels={"note": "</script><script>alert(1)</script>"})
    text = await page(house)

    data = json.loads(re.findall(r'<script type="application/json" id="chart-data">(.*?)</script>', text)[0])
    assert data["chart"]["step_s"] == 10
    assert [plot["name"] for plot in data["plots"]] == [plot.name for plot in PLOTS]
    assert "<script>alert" not in text


async def test_the_live_part_is_renewed_without_reading_charts_again() -> None:
    house = await a_house()
    house.table.calls.clear()
    await page(house)
    whole = len(house.table.calls)
    house.table.calls.clear()

    transport = httpx.ASGITransport(apps()[0])
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
        renewed = await browser.get(PAGE, headers={"HX-Request": "true", "HX-Target": "live"})

    assert renewed.status_code == 200
    assert len(house.table.calls) < whole / 3
    assert "<figure" not in renewed.text
    assert 'id="insights"' in renewed.text


async def test_an_alert_that_began_before_the_range_has_no_made_up_beginning() -> None:
    house = House()
    await house.move_in("web-1")
    await house.watch.fleet.look_once()
    house.scene.now = AT + timedelta(minutes=40)

    later = " ".join((await page(house, range="15m")).split())

    assert "</a>: since before this range until now" in later
    assert "until now" in await page(house, range="1h")
    assert "since before" not in await page(house, range="1h")


async def test_charts_that_cannot_be_read_leave_what_was_found_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def too_slow(*_: Any, **__: Any) -> None:
        raise TableUnavailable("the table is too slow")

    house = House()
    await house.move_in("web-1")
    await house.watch.fleet.look_once()
    monkeypatch.setattr("services.insights.chart.read_means", too_slow)

    answer = await house.ask("GET", PAGE, range="90d")

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "The charts of 90 d cannot be read now (the table is too slow)." in answer.text
    assert 'id="again"' in answer.text
    assert "nothing completed for 20 s" in answer.text
    live = await house.ask("GET", PAGE, headers={"HX-Target": "live"}, range="90d")
    assert live.status_code == 200


async def test_only_operators_may_analyse() -> None:
    house = await a_house()

    assert 'id="analyse"' in await page(house)
    assert 'id="analyse"' not in await page(house, caller=Caller("somebody", Role.VIEWER, ("web-*",)))


async def test_a_stream_of_others_is_a_page_that_says_it_is_not_there() -> None:
    house = await a_house()
    await house.add_stream("db-1:sda")

    for name in ("db-1:sda", "web-9:sda"):
        answer = await house.ask("GET", f"/ui/streams/{name}")
        assert answer.status_code == 404
        assert "nothing was ever received" in answer.text
    assert (await house.ask("GET", "/ui/streams/db-1:sda", caller=EVERYBODY)).status_code == 200


async def test_insights_of_other_streams_are_not_on_the_page() -> None:
    house = await a_house()
    house.table.add(
        items.insight_item(an_insight(DISK, title="mine")), items.insight_item(an_insight("web-2:sda", title="other's"))
    )

    text = await page(house)

    assert "mine" in text
    assert "other&#39;s" not in text
    assert "Nothing was found" not in text


async def test_the_risk_of_a_step_is_its_highest_and_null_where_nobody_knows() -> None:
    house = await a_house()
    for second, score in ((-3_000, 20), (-2_990, 85), (-2_985, 61), (-1_000, 5)):
        await house.table.table().update(items.risk_update(DISK, a_finding(score), now_ms=AT_MS + 1_000 * second))
    charts = await house.ask("GET", f"/streams/{DISK}/chart")
    chart = Chart.model_validate(charts.json())
    column = dict(zip(chart.at, risk_column(chart), strict=True))

    at = AT_MS // 1_000
    assert [column[at + second] for second in (-3_010, -3_000, -2_990, -2_980, -1_000, 0)] == [
        None, 20.0, 85.0, 61.0, 61.0, 5.0,
    ]  # fmt: skip
