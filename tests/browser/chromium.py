"""Debian's Chromium, driven by Playwright, and its way in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, StorageState, sync_playwright

from tests.browser.product import Product


def chromium_path() -> str | None:
    """None where it is not installed. Playwright's own browsers would be a download from one more host."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Without Chromium's sandbox, which is Playwright's default: root has none, and every page is our own."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium_path() or "chromium")


def sign_in(chromium: Browser, product: Product) -> StorageState:
    """The cookies of a browser that followed the link of `iops open`."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(product.link())
        page.wait_for_url(f"{product.url}/")
        return context.storage_state()
