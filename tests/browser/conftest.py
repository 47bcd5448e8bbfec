"""A real browser on the real product: Debian's Chromium, and `iops up` with a demonstration in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from local import ministack
from local.errors import InstallFailed
from local.up import MINISTACK_VENV
from services.insights.pages.assets import has_vendor
from tests.browser.chromium import chromium_path, running_chromium, sign_in
from tests.browser.opening import Opener
from tests.browser.product import Product, running_demo, running_product
from tests.browser.watch import Watch

PATIENCE_MS = 6_000.0  # the longest that anything on a page may take, a fault seen live included


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if chromium_path() is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="package")
def product(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    if not has_vendor():
        pytest.skip("htmx and uPlot are not here: make assets, with npm")
    try:
        ministack.install(MINISTACK_VENV, say=print)
    except InstallFailed as error:
        pytest.skip(f"the whole product needs ministack: {str(error).splitlines()[0]}")
    with running_product(tmp_path_factory.mktemp("product")) as product, running_demo(product):
        yield product


@pytest.fixture(scope="package")
def session(chromium: Browser, product: Product) -> StorageState:
    return sign_in(chromium, product)


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    assert watch.unexpected() == []


@pytest.fixture
def open_page(chromium: Browser, product: Product, session: StorageState, watch: Watch) -> Iterator[Opener]:
    """Signed in, and watched."""
    expect.set_options(timeout=PATIENCE_MS)
    with Opener(chromium, product.url, session, watch) as opener:
        yield opener


@pytest.fixture
def page(open_page: Opener) -> Page:
    """The fleet, as it opens first."""
    return open_page("/")
