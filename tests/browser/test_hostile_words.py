"""Other people's words reach a page as words: nothing of them runs, is fetched or is drawn."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.opening import Opener
from tests.browser.product import Product

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
BREAKOUT = "\"'></script><svg onload=alert(3)>{{7*7}}"
STREAM = "hostile-1:sda"


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
