"""One disk's page: charts that are really drawn, and an analysis when somebody asks."""

import re
from urllib.parse import quote

from playwright.sync_api import Page, expect

from tests.browser.opening import Opener
from tests.browser.product import Product

COLOURS = """(canvas) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4) if (data[at + 3]) seen.add(data.slice(at, at + 3).join());
  return seen.size;
}"""


def worst(product: Product) -> str:
    return f"/ui/streams/{quote(product.items('/streams?limit=1')[0]['stream_id'])}"


def colours(page: Page) -> list[int]:
    """Of each chart; a blank one has none."""
    expect(page.locator("#charts canvas").first).to_be_visible()
    return [canvas.evaluate(COLOURS) for canvas in page.locator("#charts canvas").all()]


def test_the_charts_of_an_hour_and_of_a_day_have_pixels(open_page: Opener, product: Product) -> None:
    page = open_page(worst(product))
    assert len(colours(page)) >= 5
    assert min(colours(page)) > 3

    page.get_by_role("navigation", name="Range").get_by_role("link", name="24 h").click()

    expect(page).to_have_url(re.compile("range=24h"))
    assert min(colours(page)) > 3


def test_somebody_asks_for_an_analysis_and_reads_it(open_page: Opener, product: Product) -> None:
    page = open_page(worst(product))

    page.get_by_role("button", name="Analyse now").click()

    expect(page.locator("#analysis")).to_contain_text("Risk", timeout=30_000)
