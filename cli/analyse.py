"""Asks for one stream to be scored and explained now."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from cli.outcome import Outcome
from cli.screen import plain, print_json, print_line
from cli.server import Row, Server, Transport

ANSWER_TIMEOUT_S: Final = 30.0  # the service takes 20 where a language model hangs
LONG: Final = 2_000  # characters of an explanation


async def analyse_stream(url: str, stream_id: str, *, as_json: bool, transport: Transport | None) -> Outcome:
    """Prints the insight as text for a person."""
    async with Server(url, transport=transport, timeout_s=ANSWER_TIMEOUT_S) as server:
        insight = await server.post_json(f"/streams/{quote(stream_id, safe='')}/insight", {})
    if as_json:
        print_json(insight)
    else:
        print_line("\n".join(_lines(insight)))
    return Outcome.OK


def _lines(insight: Row) -> list[str]:
    steps, asked = insight.get("recommendations"), insight.get("explainers_asked")
    lines = [
        plain(insight.get("title")),
        f"Risk {plain(insight.get('risk_score'))} of 100 ({plain(insight.get('prediction_type'))})",
        plain(insight.get("explanation"), limit=LONG),
    ]
    lines += [f"- {plain(step)}" for step in steps] if isinstance(steps, list) else []
    by = f"Scored by {plain(insight.get('scored_by'))}, explained by {plain(insight.get('explained_by'))}"
    return [*lines, by + (f" ({', '.join(map(plain, asked))})" if isinstance(asked, list) and asked else "")]
