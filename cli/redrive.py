"""What could not be delivered: listed, shown and sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cli.outcome import Misused, Outcome
from cli.screen import complain, instant, plain, print_json, print_line, print_table
from cli.server import Row, Server, Transport

PATH: Final = "/alerts/dead-letters"
ANSWER_TIMEOUT_S: Final = 40.0  # a redrive rests after 10, and its last call may wait


@dataclass(frozen=True, slots=True)
class Wish:
    """What was said on the command line."""

    queue: str | None  # None: only how many there are
    limit: int
    sends: bool


async def redrive(url: str, wish: Wish, *, as_json: bool, transport: Transport | None) -> Outcome:
    """Without a queue it counts; with one it shows, or sends; NOTHING where that stopped early."""
    if wish.sends and wish.queue is None:
        raise Misused("--yes goes with --queue: say which letters")
    async with Server(url, transport=transport, timeout_s=ANSWER_TIMEOUT_S) as server:
        if wish.queue is None:
            listed = await server.read(PATH) or {}
            if as_json:
                print_json(listed)
            else:
                _print_counts(_rows(listed, "items"))
            return Outcome.OK
        body: Row = {"queue": wish.queue, "limit": wish.limit, "dry_run": not wish.sends}
        report = await server.post_json(f"{PATH}/redrive", body)
    if as_json:
        print_json(report)
    else:
        _print_report(report, wish)
    if report.get("stopped_by") is None:
        return Outcome.OK
    complain(f"stopped early: {plain(report['stopped_by'])}")
    return Outcome.NOTHING


def _print_counts(queues: list[Row]) -> None:
    rows = [[plain(row.get("queue")), plain(row.get("count")), instant(row.get("oldest_at"))] for row in queues]
    print_table(("Queue", "Letters>", "Oldest (UTC)"), rows)
    print_line("`--queue NAME` shows what would be sent again, `--queue NAME --yes` sends it.")


def _print_report(report: Row, wish: Wish) -> None:
    readable, unreadable = _rows(report, "replayed"), _rows(report, "unreadable")
    if readable or unreadable:
        rows = [_row(letter) for letter in (*readable, *unreadable)]
        print_table(("Since (UTC)", "Kind", "What", "Where", "Risk>", "Why it lies here"), rows)
    deed = "sent again" if wish.sends else "would be sent again (--yes sends them)"
    sent, stay, left = (plain(report.get(name)) for name in ("replayed_total", "unreadable_total", "left"))
    print_line(f"{sent} {deed}; {stay} cannot be read and stay; about {left} in the queue")


def _row(letter: Row) -> list[str]:
    why = [letter.get("error_code"), letter.get("error_message"), letter.get("unreadable")]
    return [
        instant(letter.get("at")),
        plain(letter.get("kind")),
        plain(letter.get("title")),
        plain(letter.get("stream")),
        plain(letter.get("risk_score")),
        ": ".join(plain(part) for part in why if part is not None) or "-",
    ]


def _rows(row: Row, name: str) -> list[Row]:
    found = row.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
