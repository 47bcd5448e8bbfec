"""What an operator says of an insight, taken to the server."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from cli.outcome import Misused, Outcome
from cli.screen import instant, plain, print_json, print_line
from cli.server import Row, Server, Transport
from iops.insight import DISK_TROUBLES, Verdict


@dataclass(frozen=True, slots=True)
class Word:
    """What was said on the command line."""

    insight_id: str
    verdicts: tuple[str, ...]  # one, unless it was misused
    text: str | None
    cause: str | None


async def give_feedback(url: str, word: Word, *, as_json: bool, transport: Transport | None) -> Outcome:
    """Sends it and says what came of it; raises Misused for what makes no sense."""
    body = _body(word)
    async with Server(url, transport=transport) as server:
        stored = await server.post_json(f"/insights/{quote(word.insight_id, safe='')}/feedback", body)
    if as_json:
        print_json(stored)
    else:
        print_line(_line(stored))
    return Outcome.OK


def _body(word: Word) -> Row:
    if len(word.verdicts) != 1:
        raise Misused("say one of --confirm, --dismiss and --wrong-cause")
    (verdict,) = word.verdicts
    if word.cause is not None and verdict != Verdict.WRONG_CAUSE:
        raise Misused("--cause goes with --wrong-cause only")
    if word.cause is not None and word.cause not in list(DISK_TROUBLES):
        raise Misused(f"--cause must be one of {', '.join(DISK_TROUBLES)}")
    body: Row = {"verdict": verdict, "text": word.text, "prediction_type": word.cause}
    return {name: value for name, value in body.items() if value is not None}


def _line(stored: Row) -> str:
    line = f"{plain(stored.get('insight_id'))}: {plain(stored.get('verdict'))}, stored"
    if stored.get("quiet_until"):
        until = instant(stored["quiet_until"])
        line += f"; the same is quiet until {until} UTC, unless its risk reaches 95 or a hard rule finds it"
    return line
