"""docs/screenshots: each page of a demonstration, light and dark, as the README shows them (`make screenshots`)."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from playwright.sync_api import Page, ViewportSize

from tests.browser import pages
from tests.browser.chromium import running_chromium, sign_in
from tests.browser.opening import Opener
from tests.browser.product import Product, running_demo, running_product
from tests.browser.watch import Watch

FOLDER: Final = Path(__file__).parents[2] / "docs" / "screenshots"
STREAMS: Final = 36  # six hosts: one screen
ALERTS: Final = 4
COLOURS: Final = 128  # of the pages' few; a third of the bytes of all colours
DESK: Final[ViewportSize] = {"width": 1280, "height": 900}
PHONE: Final[ViewportSize] = {"width": 360, "height": 740}
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


def main() -> int:
    """1 where a page complained."""
    FOLDER.mkdir(exist_ok=True)
    watch = Watch()
    with (
        tempfile.TemporaryDirectory(prefix="iops-screenshots-") as directory,
        running_chromium() as chromium,
        running_product(Path(directory)) as product,
        running_demo(product, streams=STREAMS, alerts=ALERTS),
        Opener(chromium, product.url, sign_in(chromium, product), watch) as open_page,
    ):
        for name, page in _opened(open_page, product):
            keep(page, FOLDER / f"{name}.png")
    for said in watch.unexpected():
        sys.stderr.write(f"{said}\n")
    return 1 if watch.unexpected() else 0


def keep(page: Page, path: Path) -> None:
    """What is on the screen, in few colours and fewer bytes."""
    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
    few = shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def _opened(open_page: Opener, product: Product) -> Iterator[tuple[str, Page]]:
    """By the names of the files."""
    for name in pages.NAMES:
        path = pages.path_of(name, product)
        for scheme in SCHEMES:
            yield f"{name}-{scheme}", open_page(path, color_scheme=scheme, viewport=DESK)
    for scheme in SCHEMES:
        page = open_page("/", color_scheme=scheme, viewport=PHONE, device_scale_factor=2)
        yield f"phone-{scheme}", page


if __name__ == "__main__":
    sys.exit(main())
