"""`iops replay`, as far as it goes without the libraries of the services."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cli.outcome import CommandFailed, Outcome
from cli.server import Transport
from iops.clock import Clock, now


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed."""

    from_text: str
    to_text: str | None = None
    rules: tuple[str, ...] = ()
    model: str | None = None
    streams: tuple[str, ...] = ()
    peer_groups: tuple[str, ...] = ()
    every_s: float = 10


def run_replay(
    url: str, asked: Asked, *, as_json: bool, transport: Transport | None = None, clock: Clock = now
) -> Outcome:
    """Raises CommandFailed where this installation cannot score, Misused for what makes no sense."""
    try:
        from cli.replay.options import Choice, parse_span, parse_trial
        from cli.replay.run import Replay, replay
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"a replay scores as the insights service does, and {error.name} is not installed here; "
            "`pip install -r requirements/insights.txt` brings it"
        ) from error
    task = Replay(
        url=url,
        span=parse_span(asked.from_text, asked.to_text, every_s=asked.every_s, now=clock()),
        choice=Choice(frozenset(asked.streams), frozenset(asked.peer_groups)),
        trial=parse_trial(asked.rules),
        model=asked.model,
        as_json=as_json,
    )
    return asyncio.run(replay(task, transport=transport))
