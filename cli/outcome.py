"""How a command ends: its exit codes, and the errors that lead to them."""

from enum import IntEnum
from typing import ClassVar


class Outcome(IntEnum):
    """Exit codes; the help of `iops` lists them."""

    OK = 0
    NOTHING = 1
    USAGE = 2
    UNREACHABLE = 3


class CommandFailed(Exception):
    """A command cannot go on; its text is one line for a person."""

    outcome: ClassVar[Outcome] = Outcome.NOTHING


class Misused(CommandFailed):
    """An option makes no sense."""

    outcome = Outcome.USAGE


class Refused(CommandFailed):
    """The server answered, and not with what was asked for."""

    def __init__(self, text: str, *, code: str | None = None) -> None:
        """`code` is the server's own, where it named one."""
        super().__init__(text)
        self.code = code


class Unreachable(CommandFailed):
    """No answer came."""

    outcome = Outcome.UNREACHABLE
