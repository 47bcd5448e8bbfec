"""`iops top`: live in a terminal, one table where nobody is looking."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from rich.console import Console

from cli.outcome import Outcome
from cli.screen import PIPE_WIDTH_COLUMNS, print_json
from cli.server import Server, Transport
from cli.top.draw import draw
from cli.top.fleet import Wanted, look_of, read_page
from cli.top.watch import PAGE_MOST, Watch
from iops.clock import Clock, now


@dataclass(frozen=True, slots=True)
class TopOptions:
    """What was typed."""

    url: str
    wanted: Wanted
    interval_s: float = 2.0
    is_once: bool = False
    as_json: bool = False


def run_top(options: TopOptions, *, transport: Transport | None = None, clock: Clock = now) -> Outcome:
    """Until `q` or Ctrl-C, which are how it is meant to end; one table on a pipe. Raises CommandFailed."""
    console = Console(markup=False, highlight=False)
    is_live = sys.stdout.isatty() and not console.is_dumb_terminal and not options.is_once and not options.as_json
    try:
        asyncio.run((_live if is_live else _once)(options, console, transport=transport, clock=clock))
    except KeyboardInterrupt:
        return Outcome.OK
    return Outcome.OK


async def _live(options: TopOptions, console: Console, *, transport: Transport | None, clock: Clock) -> None:
    from cli.top.keys import pressed_keys

    async with Server(options.url, transport=transport) as server:
        watch = Watch(server, options.wanted, console, clock, options.interval_s)
        with pressed_keys() as keys:
            await watch.run(keys)


async def _once(options: TopOptions, console: Console, *, transport: Transport | None, clock: Clock) -> None:
    async with Server(options.url, transport=transport) as server:
        answer = await read_page(server, options.wanted, page=1, limit=PAGE_MOST)
    if options.as_json:
        print_json(answer)
        return
    if not sys.stdout.isatty():
        console.width = PIPE_WIDTH_COLUMNS
    console.print(draw(look_of(answer, now=clock()), clock(), width=console.width, height=None))
