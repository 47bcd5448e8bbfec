"""How a newcomer comes in: `iops open` signs one browser in, and nobody else is let in."""

from playwright.sync_api import Browser, expect

from tests.browser.opening import Opener
from tests.browser.product import Product
from tests.browser.watch import Watch


def test_the_link_signs_one_browser_in_and_no_second_one(chromium: Browser, product: Product, watch: Watch) -> None:
    link = product.link()
    with Opener(chromium, product.url, None, watch) as open_page:
        first = open_page(link)
        first.wait_for_url(f"{product.url}/")
        assert first.request.get("/streams").status == 200

        watch.expect("status of 400")
        second = open_page(link)
        expect(second.get_by_text("the link was used already")).to_be_visible()
        assert second.request.get("/streams").status == 401
