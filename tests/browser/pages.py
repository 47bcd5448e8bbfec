"""The pages there are, each by its name and with something in it."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from tests.browser.product import Product

NAMES: Final = ("fleet", "alerts", "alert", "insight")


def path_of(name: str, product: Product) -> str:
    """Where it is."""
    if name in ("alert", "stream", "insight"):
        alert = product.items("/alerts?state=firing")[0]
        key = {"alert": "alert_id", "stream": "stream_id", "insight": "opened_by"}[name]
        return f"/ui/{name}s/{quote(alert[key])}"
    return "/" if name == "fleet" else f"/ui/{name}"
