"""What language models cost, as a table or JSON."""

from __future__ import annotations

from typing import Final

from cli.outcome import Outcome, Refused
from cli.screen import plain, print_json, print_line, print_table
from cli.server import Row, Server, Transport

COLUMNS: Final = ("usd>", "calls>", "tokens in>", "tokens out>")
SPENT: Final = ("usd", "calls", "tokens_in", "tokens_out")


async def show_cost(url: str, *, as_json: bool, transport: Transport | None) -> Outcome:
    """Today, the month and its forecast, the budget, and the streams that cost most."""
    async with Server(url, transport=transport) as server:
        cost = await server.read("/cost")
    if cost is None:
        raise Refused("/cost is not known there; the server is older than this command")
    if as_json:
        print_json(cost)
        return Outcome.OK
    _print(cost)
    return Outcome.OK


def _print(cost: Row) -> None:
    today, month = _part(cost, "today"), _part(cost, "month")
    streams = cost.get("streams")
    print_line("Language models by list price, in UTC; not the AWS bill.")
    rows = [
        ["today", *_cells(today)],
        ["reserved today", plain(today.get("reserved_usd"))],
        ["budget a day", plain(today.get("budget_usd"))],
        ["left today", plain(today.get("left_usd"))],
        ["month", *_cells(month)],
        ["month, forecast", plain(month.get("forecast_usd"))],
    ]
    print_table(("", *COLUMNS), rows)
    listed = [row for row in streams if isinstance(row, dict)] if isinstance(streams, list) else []
    if listed:
        title = f"stream ({len(listed)} of {plain(cost.get('streams_total'))})"
        print_table((title, *COLUMNS), [[plain(row.get("stream_id")), *_cells(row)] for row in listed])


def _part(cost: Row, name: str) -> Row:
    part = cost.get(name)
    if not isinstance(part, dict):
        raise Refused(f"/cost answered something without {name}")
    return part


def _cells(row: Row) -> list[str]:
    return [plain(row.get(name)) for name in SPENT]
