"""The pages there are, each by its name and with something in it."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from tests.browser.product import Product

NAMES: Final = ("fleet", "stream", "alerts", "alert", "insight", "system")
KEYS: Final = {"stream": "stream_id", "alert": "alert_id", "insight": "opened_by"}  # of an alert


def path_of(name: str, product: Product) -> str:
    """Where it is; of one stream, alert or insight, where that of the worst alert is."""
    if name in KEYS:
        worst = max(product.items("/alerts?state=firing"), key=lambda alert: (alert["risk_score"], alert["stream_id"]))
        return f"/ui/{name}s/{quote(worst[KEYS[name]])}"
    return "/" if name == "fleet" else f"/ui/{name}"
