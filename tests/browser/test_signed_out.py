"""A page that stays open when its session ends: it says so, and one comes back to the very same page."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from iops.gate import SESSION_COOKIE
from tests.browser import axe
from tests.browser.opening import Opener
from tests.browser.product import Product
from tests.browser.watch import Watch

FILTERED = "/?text=nvme6&peer_group=demo-02"
SHOWN = "document.dispatchEvent(new Event('visibilitychange'))"


def let_end(page: Page) -> None:
    """After its 12 hours a browser forgets the cookie."""
    page.context.clear_cookies()


def revoke(page: Page) -> None:
    """A key that holds no more is one that nobody knows."""
    unknown = f"iops_{'0' * 16}_{'0' * 43}"
    page.context.add_cookies([{"name": SESSION_COOKIE.decode(), "value": unknown, "url": page.url}])


@pytest.fixture(autouse=True)
def _refusals_are_expected(watch: Watch) -> None:
    watch.expect("status of 40[14]|Status Error Code 401")  # 404: the page that says how to sign in without a directory


@pytest.mark.parametrize("end", [let_end, revoke])
def test_it_says_so_and_leads_back_to_the_same_page(
    open_page: Opener, product: Product, end: Callable[[Page], None]
) -> None:
    page = open_page(FILTERED)
    end(page)

    notice = page.get_by_role("alert").filter(has_text="You are signed out")
    expect(notice).to_be_visible(timeout=15_000)  # it is renewed every 5 s
    expect(page.get_by_role("status")).to_have_text("signed out")
    assert axe.violations(page) == []

    notice.get_by_role("link", name="Sign in again").click()
    expect(page.get_by_text("iops open --url")).to_be_visible()
    sign_in_elsewhere(page, product)
    page.get_by_role("link", name="go on").click()

    expect(page).to_have_url(product.url + FILTERED)
    expect(page.locator("#live [data-row]")).to_have_count(1)


@pytest.mark.parametrize("path", ["/", "/ui/alerts?state=resolved"])
def test_a_page_that_is_left_open_goes_on_by_itself_after_the_sign_in(
    open_page: Opener, product: Product, watch: Watch, path: str
) -> None:
    page = open_page(path)
    let_end(page)
    page.evaluate(SHOWN)  # so that one that does not renew itself, too, asks now
    notice = page.get_by_role("alert").filter(has_text="You are signed out")
    expect(notice).to_be_visible()

    sign_in_elsewhere(page, product)
    page.evaluate(SHOWN)

    expect(notice).to_be_hidden()
    expect(page.get_by_role("status")).to_have_text(re.compile("live"))


def test_a_deed_that_came_too_late_is_not_done_and_says_so(open_page: Opener, product: Product) -> None:
    alert_id = product.stalled_alert("late-1:sda")["alert_id"]
    page = open_page(f"/ui/alerts/{alert_id}")
    page.locator("summary", has_text="Acknowledge").click()
    let_end(page)

    page.get_by_role("button", name="Acknowledge").click()

    expect(page.get_by_role("alert").filter(has_text="nothing was done")).to_be_visible()
    expect(page.get_by_role("link", name="Sign in again")).to_be_visible()
    assert product.operator.get(f"/alerts/{alert_id}").json()["state"] == "firing"


def sign_in_elsewhere(page: Page, product: Product) -> None:
    """In another tab of the same browser, as `iops open` does."""
    other = page.context.new_page()
    other.goto(product.link())
    other.wait_for_url(f"{product.url}/")
    other.close()
