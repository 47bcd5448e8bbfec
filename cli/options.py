"""What the commands of `iops` have in common: options, and how a command ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, NoReturn

import typer

from cli.outcome import CommandFailed, Outcome

LOCAL_URL = "http://127.0.0.1:8080"

Url = Annotated[str, typer.Option("--url", envvar="IOPS_URL", help="Where the dashboard answers.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")]


def ask(question: Callable[[], Coroutine[None, None, Outcome]]) -> NoReturn:
    """Run a question to the server to its exit code."""
    end(lambda: asyncio.run(question()))


def end(command: Callable[[], Outcome]) -> NoReturn:
    """Run a command to its exit code; an expected failure is one line on standard error."""
    try:
        outcome = command()
    except CommandFailed as failure:
        from cli.screen import complain

        complain(str(failure))
        outcome = failure.outcome
    raise typer.Exit(int(outcome))
