"""The fleet as an operator meets it: the worst disk first, found in a word, and new faults without a reload."""

import re

from playwright.sync_api import Page, expect

from tests.browser.opening import Opener
from tests.browser.product import STREAMS, Product

QUIET = "night-1:sda"  # a disk of a host of its own, at rest until its test


def names(page: Page) -> list[str]:
    return [row.get_attribute("data-row") or "" for row in page.locator("#live [data-row]").all()]


def risks(page: Page) -> list[int]:
    texts = page.locator("#live [data-row] .c-risk .risk").all_inner_texts()
    return [int(text.split()[-1]) for text in texts if not text.endswith("-")]


def test_the_demos_streams_are_listed_worst_first(page: Page) -> None:
    demo = [name for name in names(page) if name.startswith("demo-")]

    assert len(demo) == STREAMS
    assert risks(page) == sorted(risks(page), reverse=True)
    assert risks(page)[0] >= 80


def test_a_click_reaches_the_stream(page: Page) -> None:
    worst = names(page)[0]

    page.get_by_role("link", name=worst, exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_contain_text(worst)


def test_a_word_a_group_and_a_risk_find_streams(open_page: Opener) -> None:
    page = open_page("/")
    page.get_by_label("Search").fill("nvme6")
    page.keyboard.press("Enter")
    expect(page.locator("#live [data-row]")).to_have_count(3)
    assert {name.partition(":")[2] for name in names(page)} == {"nvme6n1"}

    page.get_by_label("Peer group").fill("demo-02")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#live [data-row]")).to_have_count(1)
    assert names(page) == ["demo-02:nvme6n1"]

    page.get_by_role("link", name="Show all").first.click()
    page.get_by_role("combobox", name="Risk").select_option("80")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("min_risk=80"))
    assert min(risks(page)) >= 80

    page.get_by_label("Search").fill("no such disk")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No stream fits the filter")).to_be_visible()


def test_many_streams_come_in_pages(open_page: Opener, product: Product) -> None:
    product.send(*(f"shelf-1:sd{number:02}" for number in range(51)))
    page = open_page("/?peer_group=shelf-1")
    about = page.get_by_role("navigation", name="Pages of the list")
    expect(about).to_contain_text("51 streams, page 1 of 2")

    about.get_by_role("link", name="Better").click()
    expect(about).to_contain_text("page 2 of 2")
    assert names(page) == ["shelf-1:sd50"]

    about.get_by_role("link", name="Worse").click()
    expect(page.locator("#live [data-row]")).to_have_count(50)


def test_a_fault_appears_without_a_reload(page: Page, product: Product) -> None:
    row = page.locator(f'[data-row="{QUIET}"]')
    product.send(QUIET)  # so its group has just been scored
    expect(row).to_be_visible()
    page.evaluate("window.isStillHere = true")

    product.stall(QUIET)

    expect(row).to_contain_text("stall")
    assert risks(page) == sorted(risks(page), reverse=True)
    assert page.evaluate("window.isStillHere")
