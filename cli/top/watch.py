"""Looks at the fleet again and again and shows it, until somebody ends it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.live import Live

from cli.outcome import CommandFailed
from cli.screen import plain
from cli.server import Server
from cli.top.draw import draw, rows_that_fit
from cli.top.fleet import Look, Wanted, look_of, read_page
from cli.top.keys import Key
from iops.clock import Clock

TICK_S: Final = 1.0  # ages grow and windows change their size while nothing else happens
PAGE_MOST: Final = 200  # rows, what the server gives at once


@dataclass(slots=True)
class Watch:
    """What is on the screen, and what was asked for."""

    server: Server
    wanted: Wanted
    console: Console
    clock: Clock
    interval_s: float
    look: Look | None = None
    why_stale: str | None = None
    page: int = 1
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, keys: asyncio.Queue[Key | None]) -> None:
        """Until a key ends it, or it is cancelled. Raises CommandFailed where the first look fails."""
        await self.look_once()
        with Live(console=self.console, screen=True, auto_refresh=False, redirect_stdout=False) as live:
            looking = asyncio.create_task(self._keep_looking(keys))
            try:
                await self._show(live, keys)
            finally:
                looking.cancel()

    async def look_once(self) -> None:
        """Reads the page that is wanted, of as many rows as fit now. Raises CommandFailed."""
        size = self.console.size
        limit = min(PAGE_MOST, rows_that_fit(self.look, width=size.width, height=size.height))
        answer = await read_page(self.server, self.wanted, page=self.page, limit=limit)
        self.look = look_of(answer, now=self.clock(), before=self.look)
        self.why_stale = None
        self.page = min(self.page, self.look.pages)

    async def _keep_looking(self, keys: asyncio.Queue[Key | None]) -> None:
        while True:
            await _wait(self._asked, self.interval_s)
            try:
                await self.look_once()
            except CommandFailed as error:  # what was seen last stays on the screen
                self.why_stale = plain(error)
            keys.put_nowait(None)  # no key, but something to show

    async def _show(self, live: Live, keys: asyncio.Queue[Key | None]) -> None:
        while True:
            assert self.look is not None, "the first look came before"
            size = self.console.size
            shown = draw(self.look, self.clock(), width=size.width, height=size.height, why_stale=self.why_stale)
            live.update(shown, refresh=True)
            try:
                pressed = await asyncio.wait_for(keys.get(), TICK_S)
            except TimeoutError:
                continue
            if pressed is Key.END:
                return
            if pressed is not None:
                self._turn(pressed)

    def _turn(self, pressed: Key) -> None:
        pages = self.look.pages if self.look else 1
        steps = {Key.NEXT: self.page + 1, Key.BACK: self.page - 1}
        self.page = min(pages, max(1, steps.get(pressed, 1)))
        self._asked.set()


async def _wait(asked: asyncio.Event, longest_s: float) -> None:
    """Until something is asked for, or the time is over."""
    try:
        await asyncio.wait_for(asked.wait(), longest_s)
    except TimeoutError:
        return
    asked.clear()
