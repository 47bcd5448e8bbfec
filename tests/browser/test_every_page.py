"""What holds of each page: for eyes and screen readers, on a phone, in light and dark, and without a script."""

from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser import axe, pages
from tests.browser.opening import Opener
from tests.browser.product import Product

PHONE_PX = 360
LEAST_TARGET_PX = 24  # WCAG 2.2, 2.5.8
# Links within a sentence are as high as its line; the guideline lets them.
SMALL_TARGETS = """() => [...document.querySelectorAll("a, button, input, select, textarea, summary")]
  .filter((each) => each.checkVisibility({ visibilityProperty: true, opacityProperty: true })
    && !each.closest("p, li, dd > span, .hidden, .skip") && !each.disabled)
  .map((each) => [each.outerHTML.slice(0, 120), each.getBoundingClientRect()])
  .filter(([_, box]) => box.width > 1 && (box.width < LEAST || box.height < LEAST))
  .map(([html, box]) => `${box.width.toFixed(1)} x ${box.height.toFixed(1)}: ${html}`)""".replace(
    "LEAST", str(LEAST_TARGET_PX)
)


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("name", pages.NAMES)
def test_axe_finds_nothing_serious(
    open_page: Opener, product: Product, name: str, scheme: Literal["dark", "light"]
) -> None:
    page = open_page(pages.path_of(name, product), color_scheme=scheme)

    assert axe.violations(page) == []


@pytest.mark.parametrize("name", pages.NAMES)
def test_a_phone_scrolls_down_only_and_a_thumb_hits(open_page: Opener, product: Product, name: str) -> None:
    page = open_page(pages.path_of(name, product), viewport={"width": PHONE_PX, "height": 740}, has_touch=True)

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_PX
    assert page.evaluate(SMALL_TARGETS) == []


@pytest.mark.parametrize("name", pages.NAMES)
def test_it_can_be_read_without_a_script(open_page: Opener, product: Product, name: str) -> None:
    path = pages.path_of(name, product)
    with_script = open_page(path)
    without = open_page(path, java_script_enabled=False)

    expect(without.locator("noscript .notice")).to_contain_text("Without JavaScript")
    timeless = "main :is(h1, h2, h3):not(:has(time))"  # instants are the reader's own only with a script
    for heading in with_script.locator(timeless).all_inner_texts():
        expect(without.get_by_role("heading", name=heading).first).to_be_attached()
    assert without.locator("main :is(tr, dt, li)").count() > 0
