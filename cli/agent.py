"""Starts the agent with what the command line said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from agent.run import run
from agent.settings import AgentSettings
from cli.outcome import CommandFailed, Misused, Outcome
from iops.errors import IopsError
from iops.observability import configure_logging
from iops.redact import secrets_in


def run_agent(given: Mapping[str, object]) -> Outcome:
    """Run until a signal; `given` are settings, the rest comes from IOPS_* variables or defaults."""
    build: Callable[..., AgentSettings] = AgentSettings  # its own signature has pydantic-settings' options in it
    try:
        settings = build(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Misused(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
    configure_logging("agent", secrets=secrets_in(settings))
    try:
        asyncio.run(run(settings))
    except IopsError as error:
        raise CommandFailed(error.detail) from error
    return Outcome.OK
