"""Runs another program: the one door to pulumi, docker and git."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

NOT_THERE: Final = 127  # what a shell says of a program that is not there
TOO_LONG: Final = 124  # what timeout(1) says


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it did what it was asked."""
        return self.code == 0

    @property
    def reason(self) -> str:
        """The last line it said of why not."""
        return (self.err.strip() or self.out.strip() or f"exit code {self.code}").splitlines()[-1]


class Runner(Protocol):
    """Runs a command to its end."""

    def __call__(
        self, command: Sequence[str], *, timeout_s: float, given: str | None = None, is_shown: bool = False
    ) -> Finished:
        """`given` goes to its standard input; `is_shown` lets a person see what it prints, instead of keeping it."""
        ...


def runner_in(folder: Path) -> Runner:
    """Runs commands in `folder`. A program that is not there, or takes too long, has a code like in a shell."""

    def run(command: Sequence[str], *, timeout_s: float, given: str | None = None, is_shown: bool = False) -> Finished:
        try:
            ended = subprocess.run(  # noqa: S603 -- a list of ours, no shell
                command,
                cwd=folder,
                timeout=timeout_s,
                text=True,
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                capture_output=not is_shown,
                check=False,
            )
        except FileNotFoundError:
            return Finished(NOT_THERE, err=f"{command[0]} is not installed")
        except subprocess.TimeoutExpired:
            return Finished(TOO_LONG, err=f"{command[0]} took more than {timeout_s:g} s")
        return Finished(ended.returncode, ended.stdout or "", ended.stderr or "")

    return run
