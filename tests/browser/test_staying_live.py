"""A page that stands open: it stays new, and where it cannot it says how old it is."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, Route, expect

from iops.clock import now
from tests.browser.opening import Opener
from tests.browser.product import Product
from tests.browser.watch import Watch
from tests.integration.stand_ins import block_until

CUT = "/events"
STALE_MS = 30_000.0  # 15 s of silence, and a busy machine
HIDE = "Object.defineProperty(document, 'hidden', {value: true}); document.dispatchEvent(new Event('visibilitychange'))"
LOOK = """document.dispatchEvent(new CustomEvent("iops:streams", {
  detail: { ids: [document.getElementById("charts").dataset.stream] } }))"""
# What a chart's legend says of an instant.
INSTANT = """async (epoch) => {
  const script = document.querySelector('script[src$="/stream.js"]').src;
  return (await import(script.replace("stream.js", "units.js"))).instants.full(epoch);
}"""
# A chart of two steps goes on with two others that begin an hour later.
SLEEP = """async () => {
  const script = document.querySelector('script[src$="/stream.js"]').src;
  const { goOn } = await import(script.replace("stream.js", "columns.js"));
  const chartAt = (from) => ({ from, to: from + 20, step_s: 10, at: [from, from + 10], series: { iops: [from, from] },
    maxima: {}, peers: null, risk: [], episodes: [] });
  return goOn(chartAt(1000), chartAt(4600), 20).series.iops;
}"""
NOTE_ALERTS = (
    "document.addEventListener('iops:alerts', ({ detail }) => (window.told ??= []).push(...(detail.ids ?? [])))"
)
OPEN_MEANWHILE = """document.body.addEventListener("htmx:beforeOnLoad", () => {
  document.querySelector("details:has([name=scope])").open = true;
  document.body.addEventListener("htmx:afterRequest", () => setTimeout(() => (window.isRenewed = true), 500));
}, { once: true })"""
CONNECTIONS = 6  # to one server, of all tabs of a browser together


@contextmanager
def stopped(product: Product, name: str) -> Iterator[None]:
    """A program of the product stands still: who connects waits."""
    product.signal(name, signal.SIGSTOP)
    try:
        yield
    finally:
        product.signal(name, signal.SIGCONT)


def test_without_events_the_page_asks_by_itself(open_page: Opener, watch: Watch, product: Product) -> None:
    watch.expect(CUT)
    page = open_page.blank()
    page.route("**" + CUT, lambda route: route.abort())
    page.goto("/")

    product.send("polled-1:sda")

    expect(page.locator('[data-row="polled-1:sda"]')).to_be_visible(timeout=15_000)
    expect(page.get_by_role("status")).to_have_text("live")


def test_an_alert_that_fires_before_the_page_listens_is_on_it(open_page: Opener, product: Product) -> None:
    def listen_too_late(route: Route) -> None:
        product.stalled_alert("early-1:sda")
        block_until(lambda: has_alert(product, "early-1"))
        route.continue_()

    page = open_page.blank()
    page.route("**" + CUT, listen_too_late, times=1)
    page.goto("/ui/alerts?peer_group=early-1")

    expect(page.locator("section[data-card]", has_text="early-1:sda")).to_be_visible()


def test_an_alert_that_fires_while_somebody_types_is_on_the_page_after_that(
    open_page: Opener, product: Product
) -> None:
    page = open_page("/ui/alerts?peer_group=typed-1")
    page.evaluate(NOTE_ALERTS)
    form = page.locator("summary", has_text="New silence")
    form.click()
    alert_id = product.stalled_alert("typed-1:sda")["alert_id"]
    block_until(lambda: alert_id in page.evaluate("window.told ?? []"))

    form.click()

    expect(page.locator("section[data-card]", has_text="typed-1:sda")).to_be_visible(timeout=15_000)


def test_a_form_that_is_opened_while_the_page_is_renewed_stays_open(open_page: Opener, product: Product) -> None:
    page = open_page("/ui/alerts?peer_group=typed-2")
    page.evaluate(OPEN_MEANWHILE)
    product.stalled_alert("typed-2:sda")
    block_until(lambda: bool(page.evaluate("window.isRenewed")))

    expect(page.get_by_label("Its name")).to_be_visible()

    page.locator("summary", has_text="New silence").click()
    expect(page.locator("section[data-card]", has_text="typed-2:sda")).to_be_visible(timeout=15_000)


def has_alert(product: Product, text: str) -> bool:
    """As pages see it."""
    answer = product.operator.get("/fleet", params={"text": text})
    return any(row["alert"] for row in answer.json()["items"])


@pytest.mark.parametrize("name", ["insights", "ministack"])
def test_a_server_that_is_away_makes_the_page_say_its_age_until_it_is_back(
    page: Page, watch: Watch, product: Product, name: str
) -> None:
    watch.expect(r"net::|status of 50\d")
    status = page.get_by_role("status")
    expect(status).to_have_text("live")
    with stopped(product, name):
        expect(status).to_have_text(re.compile(r"last update \d+ s ago"), timeout=STALE_MS)

    expect(status).to_have_text("live", timeout=STALE_MS)


def test_a_page_that_could_not_be_made_is_not_live_and_comes_by_itself(
    open_page: Opener, watch: Watch, product: Product
) -> None:
    watch.expect(r"net::|status of 50\d")
    page = open_page.blank()
    with stopped(product, "ministack"):
        page.goto("/ui/alerts")

        expect(page.get_by_text("tries again by itself")).to_be_visible()
        expect(page.locator("#freshness")).to_be_hidden()

    expect(page.get_by_role("heading", name="Alerts")).to_be_attached(timeout=STALE_MS)


def test_tabs_that_nobody_looks_at_hold_no_connection(page: Page) -> None:
    for _ in range(CONNECTIONS):
        page.evaluate(HIDE)
        page = page.context.new_page()
        page.goto("/")

    expect(page.get_by_role("status")).to_have_text("live")


def test_instants_are_the_readers_own_with_utc_behind_them(open_page: Opener) -> None:
    page = open_page("/", timezone_id="Asia/Kolkata")
    seen = page.locator("#live time").first

    title = seen.get_attribute("title") or ""

    at = re.search(r"(\d\d):(\d\d):\d\d UTC", title)
    assert at is not None, title
    minutes = int(at[1]) * 60 + int(at[2]) + 330  # India is 5:30 ahead
    assert f"{minutes // 60 % 12 or 12}:{minutes % 60:02}:" in title


@pytest.mark.parametrize("hours", [3, -3])
def test_a_browser_whose_clock_is_wrong_goes_by_the_servers(open_page: Opener, product: Product, hours: int) -> None:
    product.send("clocked-1:sda")
    page = open_page.blank()
    page.clock.install(time=now() + timedelta(hours=hours))
    page.goto(f"/ui/streams/{quote('clocked-1:sda')}?range=15m")

    with page.expect_response("**/chart?*") as chart:
        page.evaluate(LOOK)

    assert chart.value.status == 200
    expect(page.locator("#live [data-ago]").first).to_have_text(re.compile(r"^([1-9]\d? s|1 min) ago$"))
    at = now() - timedelta(minutes=1)
    assert at.strftime("%I:%M:%S").lstrip("0") in page.evaluate(INSTANT, at.timestamp()).lstrip("0")


def test_a_laptop_that_slept_longer_than_the_range_draws_only_what_is_new(open_page: Opener, product: Product) -> None:
    product.send("clocked-1:sda")
    page = open_page(f"/ui/streams/{quote('clocked-1:sda')}")

    assert page.evaluate(SLEEP) == [4600, 4600]
