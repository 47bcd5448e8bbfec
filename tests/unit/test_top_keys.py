"""Keys of a real terminal, as `iops top` reads them."""

import asyncio
import io
import os
import pty
import sys
import termios
from collections.abc import Iterator

import pytest

from cli.top.keys import Key, pressed_keys

LOCAL_MODES = 3  # where tcgetattr has them


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where keys are pressed; standard input is the terminal behind it."""
    person, program = pty.openpty()
    with os.fdopen(program) as stdin, os.fdopen(person, "wb", buffering=0):
        monkeypatch.setattr(sys, "stdin", stdin)
        yield person


async def test_keys_come_without_enter_and_the_terminal_is_as_before_afterwards(typing: int) -> None:
    before = termios.tcgetattr(sys.stdin)

    found = []
    with pressed_keys() as keys:
        for pressed in (b"j", b"\x1b[A", b"q"):
            os.write(typing, pressed)
            async with asyncio.timeout(5):
                found.append(await keys.get())
        is_by_lines = bool(termios.tcgetattr(sys.stdin)[LOCAL_MODES] & termios.ICANON)

    assert found == [Key.NEXT, Key.BACK, Key.END]
    assert not is_by_lines
    assert termios.tcgetattr(sys.stdin) == before


async def test_where_standard_input_is_no_terminal_no_key_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("q"))

    with pressed_keys() as keys:
        assert keys.empty()
