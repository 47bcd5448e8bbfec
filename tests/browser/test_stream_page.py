"""One disk's page: charts that are really drawn, and an analysis when somebody asks."""

import re
from urllib.parse import quote

from playwright.sync_api import Page, expect

from tests.browser.opening import Opener
from tests.browser.product import Product

# How much of a row of pixels has the limit's colour, in the row that has most: a dash takes 12 of 16.
LIMIT_RATIO = """(canvas) => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--plot-limit");
  copy.fillRect(0, 0, 1, 1);
  const limit = copy.getImageData(0, 0, 1, 1).data;
  copy.clearRect(0, 0, 1, 1);
  copy.drawImage(canvas, 0, 0);
  const isNear = (pixel) => [0, 1, 2, 3].every((part) => Math.abs(pixel[part] - limit[part]) < 128);
  const inRow = (y) => {
    const { data } = copy.getImageData(0, y, width, 1);
    return Array.from({ length: width }, (_, x) => isNear(data.slice(4 * x, 4 * x + 4))).filter(Boolean).length;
  };
  return Math.max(...Array.from({ length: height }, (_, y) => inRow(y))) / width;
}"""
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


def test_a_provisioned_limit_is_a_line_even_on_the_grid(open_page: Opener, product: Product) -> None:
    limited = next(each for each in product.items("/streams") if each["provisioned_iops"] == 3000)
    page = open_page(f"/ui/streams/{quote(limited['stream_id'])}")

    drawn_ratio: float = page.locator("#charts canvas").first.evaluate(LIMIT_RATIO)

    assert drawn_ratio > 0.5


def test_charts_say_of_their_lines_what_their_pictures_said(open_page: Opener, product: Product) -> None:
    page = open_page.blank()
    answer = page.goto(f"{worst(product)}?range=24h")
    assert answer is not None
    pictures = re.findall(r'<span class="summary quiet">(.*?)</span>', answer.text())

    charts = page.locator("#charts:has(canvas) .summary").all_inner_texts()

    assert charts == pictures


def test_somebody_asks_for_an_analysis_and_reads_it(open_page: Opener, product: Product) -> None:
    page = open_page(worst(product))

    page.get_by_role("button", name="Analyse now").click()

    expect(page.locator("#analysis")).to_contain_text("Risk", timeout=30_000)
