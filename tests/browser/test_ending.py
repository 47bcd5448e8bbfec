"""What an operator ends or quiets in a page is ended or quiet: the API says so afterwards."""

from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.opening import Opener
from tests.browser.product import Product


def card_of(page: Page, stream_id: str) -> Locator:
    return page.locator("section[data-card]", has_text=stream_id)


def state_of(product: Product, alert_id: str) -> str:
    state: str = product.operator.get(f"/alerts/{alert_id}").json()["state"]
    return state


def alerts_told_together(product: Product, *stream_ids: str) -> list[dict[str, Any]]:
    """Disks of one host that have stalled: one page tells of them."""
    alerts = [product.stalled_alert(stream_id) for stream_id in stream_ids]
    assert len({alert["page_id"] for alert in alerts}) == 1
    return alerts


def test_an_insight_is_dismissed_on_its_page(open_page: Opener, product: Product) -> None:
    insight_id = product.stalled_alert("ended-1:sda")["opened_by"]
    page = open_page(f"/ui/insights/{insight_id}")

    page.locator("summary", has_text="Dismiss").click()
    page.locator("form:visible").get_by_label("In your words").fill("a test of the path")
    page.get_by_role("button", name="Dismiss").click()

    expect(page.locator("#live")).to_contain_text("a test of the path; quiet until")
    (word,) = product.operator.get(f"/insights/{insight_id}").json()["feedback"]
    assert (word["verdict"], word["text"]) == ("dismiss", "a test of the path")
    assert datetime.fromisoformat(word["quiet_until"]) > datetime.now(UTC)


def test_an_alert_is_resolved_in_the_list_and_found_in_the_history(open_page: Opener, product: Product) -> None:
    alert_id = product.stalled_alert("ended-2:sda")["alert_id"]
    page = open_page("/ui/alerts?peer_group=ended-2")

    card_of(page, "ended-2:sda").locator("summary", has_text="Resolve").click()
    page.locator("form:visible").get_by_label("Why (may be empty)").fill("the disk was replaced")
    page.get_by_role("button", name="Resolve").click()

    expect(page.get_by_role("table", name="Alerts that are over").locator(f'[data-row="{alert_id}"]')).to_be_visible()
    expect(card_of(page, "ended-2:sda")).to_have_count(0)
    page.goto("/ui/alerts?state=resolved")
    page.get_by_label("Search").fill("ENDED-2:sda has stalled")
    page.keyboard.press("Enter")
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page.locator(f'[data-row="{alert_id}"]')).to_be_visible()

    history = product.operator.get(f"/alerts/{alert_id}").json()["history"]
    assert (history[0]["what"], history[0]["reason"]) == ("resolved", "the disk was replaced")


def test_alerts_that_were_told_together_are_silenced_together(open_page: Opener, product: Product) -> None:
    alerts = alerts_told_together(product, "ended-3:sda", "ended-3:sdb", "ended-3:sdc")
    page = open_page("/ui/alerts?peer_group=ended-3")
    card = card_of(page, "3 streams of ended-3")

    card.locator("summary", has_text="Silence").click()
    card.get_by_label("How long").select_option("1 hour")
    card.get_by_label("Why", exact=True).fill("the host is being moved")
    card.get_by_role("button", name="Silence 3 alerts").click()

    expect(page.get_by_role("status").filter(has_text="3 alerts: silenced")).to_be_visible()
    expect(card.locator("[data-state]")).to_have_text(["silenced"] * 3)
    assert {state_of(product, alert["alert_id"]) for alert in alerts} == {"silenced"}


def test_a_peer_group_is_silenced_and_the_silence_is_ended_now(open_page: Opener, product: Product) -> None:
    alerts = alerts_told_together(product, "ended-4:sda", "ended-4:sdb")
    page = open_page("/ui/alerts?peer_group=ended-4")
    states = card_of(page, "2 streams of ended-4").locator("[data-state]")

    page.locator("summary", has_text="New silence").click()
    page.get_by_label("What").select_option("peer group")
    page.get_by_label("Its name").fill("ended-4")
    page.locator("form:visible").get_by_label("How long").select_option("1 day")
    page.locator("form:visible").get_by_label("Why", exact=True).fill("a restore")
    page.get_by_role("button", name="Silence it").click()

    expect(states).to_have_text(["silenced"] * 2)
    (silence,) = [each for each in product.items("/alerts/silences") if each["value"] == "ended-4"]
    assert datetime.fromisoformat(silence["ends_at"]) - datetime.now(UTC) > timedelta(hours=23)

    page.get_by_role("button", name="End the silence of ended-4 now").click()

    expect(states).to_have_text(["firing"] * 2)
    expect(page.get_by_role("button", name="End the silence of ended-4 now")).to_have_count(0)
    assert {state_of(product, alert["alert_id"]) for alert in alerts} == {"firing"}
