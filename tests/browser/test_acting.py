"""What an operator does in a page is done: the API says so afterwards."""

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
