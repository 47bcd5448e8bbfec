"""Other people's words reach a page as words: nothing of them runs, is fetched or is drawn."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.opening import Opener
from tests.browser.product import Product

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
BREAKOUT = "\"'></script><svg onload=alert(3)>{{7*7}}"
STREAM = "hostile-1:sda"
LONG = f"long-{'x' * 191}:sda"  # the longest name there may be
LABELS = {"marks": "\u0e49" * 128, "owner": "W" * 128}  # one letter to break at, and none
PHONE_PX = 360


@pytest.fixture(scope="module")
def paths(product: Product) -> dict[str, str]:
    """Pages on which somebody has said such things, by what is said there."""
    alert = product.stalled_alert(STREAM, labels={"note": MARKUP, "owner": BREAKOUT})
    post = product.operator.post
    post(f"/alerts/{alert['alert_id']}/acknowledge", json={"reason": MARKUP}).raise_for_status()
    told = {"verdict": "confirm", "text": MARKUP}
    post(f"/insights/{alert['opened_by']}/feedback", json=told).raise_for_status()
    return {
        "search": f"/?text={quote(BREAKOUT)}",
        "group": f"/?peer_group={quote(MARKUP)}",
        "stream": f"/ui/streams/{quote(STREAM)}",
        "alert": f"/ui/alerts/{alert['alert_id']}",
        "alerts": f"/ui/alerts?text={quote(MARKUP)}",
        "insight": f"/ui/insights/{alert['opened_by']}",
    }


@pytest.mark.parametrize("name", ["search", "group", "stream", "alert", "alerts", "insight"])
def test_markup_in_words_stays_words(open_page: Opener, paths: dict[str, str], name: str) -> None:
    page = open_page(paths[name])

    expect(page.locator("main")).to_be_visible()
    assert page.locator("main img, main script:not([type='application/json']), main svg[onload]").count() == 0
    assert "49" not in page.locator("main input").evaluate_all("(all) => all.map((each) => each.value)")
    if name in ("stream", "alert", "insight"):
        expect(page.locator("main")).to_contain_text(MARKUP)


def test_names_as_long_as_they_may_be_do_not_widen_a_page(open_page: Opener, product: Product) -> None:
    alert = product.stalled_alert(LONG, labels=LABELS)
    paths = ("/", f"/ui/streams/{LONG}", "/ui/alerts", f"/ui/alerts/{alert['alert_id']}")
    widths = {}

    for path in (*paths, f"/ui/insights/{alert['opened_by']}"):
        page = open_page(path, viewport={"width": PHONE_PX, "height": 740})
        widths[path] = page.evaluate("document.documentElement.scrollWidth")

    assert {path: width for path, width in widths.items() if width > PHONE_PX} == {}
