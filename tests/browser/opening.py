"""Browsers of their own for one test: each call is somebody else with another screen, clock or taste."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Literal, Self, TypedDict, Unpack

from playwright.sync_api import Browser, Page, StorageState, ViewportSize

from tests.browser.watch import Watch


class Browsing(TypedDict, total=False):
    """What differs from a desk in UTC."""

    color_scheme: Literal["dark", "light"]
    java_script_enabled: bool
    timezone_id: str
    viewport: ViewportSize
    has_touch: bool
    device_scale_factor: float


class Opener:
    """A context: the browsers end with it."""

    def __init__(self, chromium: Browser, url: str, session: StorageState | None, watch: Watch) -> None:
        self._chromium, self._url, self._session, self._watch = chromium, url, session, watch
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def __call__(self, path: str, **browsing: Unpack[Browsing]) -> Page:
        """The page at `path`, loaded."""
        page = self.blank(**browsing)
        page.goto(path)
        return page

    def blank(self, **browsing: Unpack[Browsing]) -> Page:
        """A page before its first request, for a test that stands in the way of one."""
        desk: Browsing = {"timezone_id": "UTC", "color_scheme": "dark", "viewport": {"width": 1280, "height": 800}}
        desk.update(browsing)
        context = self._chromium.new_context(
            base_url=self._url, storage_state=self._session, reduced_motion="reduce", **desk
        )
        self._opened.enter_context(context)
        self._watch.attach(context)
        return context.new_page()
