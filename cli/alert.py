"""One alert, for a person: what was found, what to do, what happened; and a person's deeds, taken to the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from cli.outcome import Outcome, Refused
from cli.screen import instant, plain, print_json, print_line
from cli.server import Row, Server, Transport

LINES_LIMIT: Final = 100  # of one list


async def show_alert(url: str, alert_id: str, *, as_json: bool, transport: Transport | None) -> Outcome:
    """Prints it with its history; raises Refused where there is none."""
    async with Server(url, transport=transport) as server:
        alert = await server.read(f"/alerts/{quote(alert_id, safe='')}")
    if alert is None:
        raise Refused(f"there is no alert {alert_id}, or it was resolved more than 90 days ago")
    if as_json:
        print_json(alert)
    else:
        for line in _lines(alert):
            print_line(line)
    return Outcome.OK


async def change_alert(
    url: str, alert_id: str, deed: str, *, reason: str | None, as_json: bool, transport: Transport | None
) -> Outcome:
    """Acknowledges or resolves it, and says how it stands then."""
    async with Server(url, transport=transport) as server:
        body: Row = {"reason": reason} if reason else {}
        alert = await server.post_json(f"/alerts/{quote(alert_id, safe='')}/{deed}", body)
    if as_json:
        print_json(alert)
    else:
        print_line(standing(alert))
    return Outcome.OK


def standing(alert: Row) -> str:
    """How an alert stands, as one line."""
    line = f"{plain(alert.get('alert_id'))}: {plain(alert.get('state'))}"
    if alert.get("silenced_until"):
        line += f" until {instant(alert['silenced_until'])} UTC"
    return f"{line}, {plain(alert.get('prediction_type'))} of {plain(alert.get('stream_id'))}"


def _lines(alert: Row) -> Iterator[str]:
    yield plain(alert.get("title"))
    yield standing(alert)
    yield f"Risk {plain(alert.get('risk_score'))} of 100, since {instant(alert.get('opened_at'))} UTC"
    yield plain(alert.get("explanation"))
    yield from (f"  {plain(fact.get('sentence'))}" for fact in _rows(alert.get("facts")))
    steps = alert.get("recommendations")
    yield from (f"- {plain(step)}" for step in (steps[:LINES_LIMIT] if isinstance(steps, list) else []))
    page = alert.get("page")
    if isinstance(page, dict):
        count = plain(page.get("streams_total"))
        yield f"Told {instant(page.get('told_at'))} UTC: {count} stream(s), {_named(page, 'streams')}"
        if page.get("waiting_for"):
            yield f"Not delivered yet: {_named(page, 'waiting_for')}"
    history = _rows(alert.get("history"))
    yield f"History ({plain(alert.get('changes_total'))} changes)"
    for change in history:
        reason = f": {plain(change['reason'])}" if change.get("reason") else ""
        risk = plain(change.get("risk_score"))
        yield f"  {instant(change.get('at'))}  {plain(change.get('what'))} by {plain(change.get('by'))}, {risk}{reason}"


def _named(page: Row, name: str) -> str:
    listed = page.get(name)
    return ", ".join(map(plain, listed[:LINES_LIMIT])) if isinstance(listed, list) else "-"


def _rows(value: object) -> list[Row]:
    return [each for each in value[:LINES_LIMIT] if isinstance(each, dict)] if isinstance(value, list) else []
