"""Single keys from a terminal, without Enter; where standard input is none, no key ever comes."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

READ_BYTES: Final = 64  # of keys pressed at once; an arrow is three


class Key(Enum):
    """What a pressed key asks for."""

    NEXT = "next"
    BACK = "back"
    FIRST = "first"
    END = "end"


# Arrows and page keys as terminals send them, in both of their modes.
MEANINGS: Final = {
    b"q": Key.END,
    b"j": Key.NEXT,
    b"k": Key.BACK,
    b"g": Key.FIRST,
    b"\x1b[B": Key.NEXT,
    b"\x1bOB": Key.NEXT,
    b"\x1b[6~": Key.NEXT,
    b"\x1b[A": Key.BACK,
    b"\x1bOA": Key.BACK,
    b"\x1b[5~": Key.BACK,
}


@contextmanager
def pressed_keys() -> Iterator[asyncio.Queue[Key | None]]:
    """The keys as they are pressed; the terminal is as before afterwards. Ctrl-C stays a signal.

    None is no key: whoever has something new to show may put it there.
    """
    keys: asyncio.Queue[Key | None] = asyncio.Queue()
    if not sys.stdin.isatty():
        yield keys
        return
    source, loop = sys.stdin.fileno(), asyncio.get_running_loop()

    def read() -> None:
        pressed = os.read(source, READ_BYTES)
        meant = meaning_of(pressed) if pressed else Key.END  # nothing to read: the terminal is gone
        if meant is not None:
            keys.put_nowait(meant)

    before = termios.tcgetattr(source)
    tty.setcbreak(source)
    loop.add_reader(source, read)
    try:
        yield keys
    finally:
        loop.remove_reader(source)
        termios.tcsetattr(source, termios.TCSADRAIN, before)


def meaning_of(pressed: bytes) -> Key | None:
    """What was pressed; of several at once the first counts.

    >>> meaning_of(b"j"), meaning_of(b"\\x1b[A\\x1b[A"), meaning_of(b"x")
    (<Key.NEXT: 'next'>, <Key.BACK: 'back'>, None)
    """
    found = (key for beginning, key in MEANINGS.items() if pressed.startswith(beginning))
    return next(found, None)
