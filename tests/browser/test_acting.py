"""What an operator does in a page is done: the API says so afterwards."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from tests.browser.opening import Opener
from tests.browser.product import Product


def test_an_alert_is_acknowledged_in_the_list(open_page: Opener, product: Product) -> None:
    alert_id = product.stalled_alert("acted-1:sda")["alert_id"]
    page = open_page("/ui/alerts")
    group = page.locator("section", has_text="acted-1:sda")

    group.get_by_text("Acknowledge", exact=True).first.click()
    group.get_by_label("Why (may be empty)").first.fill("I look at it")
    group.get_by_role("button", name="Acknowledge").click()

    expect(group.locator("[data-state]").first).to_have_text("acknowledged")
    expect(group).to_contain_text("handled by")
    assert product.operator.get(f"/alerts/{alert_id}").json()["state"] == "acknowledged"


def test_an_insight_is_confirmed_on_its_page(open_page: Opener, product: Product) -> None:
    insight_id = product.stalled_alert("acted-2:sda")["opened_by"]
    page = open_page(f"/ui/insights/{insight_id}")

    page.locator("summary", has_text="Confirm").click()
    page.get_by_label("In your words").first.fill("the path was lost")
    page.get_by_role("button", name="Confirm").click()

    expect(page.locator("#live")).to_contain_text("the path was lost")
    words = product.operator.get(f"/insights/{insight_id}").json()["feedback"]
    assert [(word["verdict"], word["text"]) for word in words] == [("confirm", "the path was lost")]


def test_an_alert_is_silenced_for_four_hours_on_its_page(open_page: Opener, product: Product) -> None:
    alert_id = product.stalled_alert("acted-3:sda")["alert_id"]
    page = open_page(f"/ui/alerts/{alert_id}")

    page.locator("summary", has_text="Silence").click()
    page.get_by_label("How long").select_option("4 hours")
    page.get_by_label("Why", exact=True).fill("it is being replaced")
    page.get_by_role("button", name="Silence").click()

    expect(page.locator("[data-state]").first).to_have_text("silenced")
    alert = product.operator.get(f"/alerts/{alert_id}").json()
    left = datetime.fromisoformat(alert["silenced_until"]) - datetime.now(UTC)
    assert timedelta(hours=3, minutes=58) < left <= timedelta(hours=4)


def test_an_insight_is_told_its_true_cause_on_its_page(open_page: Opener, product: Product) -> None:
    insight_id = product.stalled_alert("acted-4:sda")["opened_by"]
    page = open_page(f"/ui/insights/{insight_id}")

    page.locator("summary", has_text="Wrong cause").click()
    page.locator("form:visible select").select_option("fail_slow")
    page.locator("form:visible").get_by_label("In your words").fill("it was slow for days")
    page.locator("form:visible button").click()

    expect(page.locator("#live")).to_contain_text("it was slow for days")
    (word,) = product.operator.get(f"/insights/{insight_id}").json()["feedback"]
    assert (word["verdict"], word["prediction_type"]) == ("wrong_cause", "fail_slow")
