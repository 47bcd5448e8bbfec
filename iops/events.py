"""An event on the bus: its entry, the rule that reaches people, and how their text travels."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from iops import contract
from iops.alert import Event, EventKind

SOURCE: Final = "iops.insights"
INSIGHT: Final = "Insight"
DETAIL_TYPES: Final = {EventKind.RESOLVED: "Resolved", EventKind.CANARY: "Canary"}  # all others are `Insight`
ENTRY_LIMIT_BYTES: Final = 24 * 1024  # of a detail: ten stay below the 256 KB of one PutEvents
CUTS: Final = ((1_000, 10), (200, 5), (60, 3), (10, 1))  # characters of a text, entries of a list
CANARY_TITLE: Final = re.compile(r"Canary \d{4}-\d\d-\d\d: alerting works")
LINE_CHARS: Final = 400
MAIL_LINES: Final = 9
BODY_TEXTS: Final = (
    *("event_id", "event", "alert_id", "page_id", "insight_id"),
    *("stream_id", "peer_group", "prediction_type", "since", "url"),
)
BODY_NUMBERS: Final = ("streams_total", "risk_score", "risk_now")


@dataclass(frozen=True, slots=True)
class Mail:
    """What a person reads: up to nine lines, and the same for a program, as a line of JSON."""

    lines: Sequence[str]
    body: Mapping[str, str | float | None]  # None is told as empty text, or 0


def make_entry(event: Event, detail: Mapping[str, Any], mail: Mail | None) -> dict[str, Any]:
    """The PutEvents entry; `mail` is None for what reaches no person. Where it would be too big, texts are cut."""
    return {
        "Source": SOURCE,
        "DetailType": DETAIL_TYPES.get(event.kind, INSIGHT),
        "Detail": _bounded(dict(detail) | ({"mail": _placeable(mail)} if mail else {})),
        "EventBusName": contract.EVENT_BUS,
        "Time": event.at,
    }


def mail_lines(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """What a person reads of an entry, word for word; empty where it reaches none."""
    placed = json.loads(entry["Detail"]).get("mail")
    return tuple(placed[f"line_{number}"] for number in range(1, MAIL_LINES + 1)) if placed else ()


def is_canary(message: str) -> bool:
    """Whether what the topic delivered is a canary, in SNS's envelope or bare.

    A stream that is called like one deceives nobody: its mail, too, came all the way.
    """
    return CANARY_TITLE.search(message) is not None


def rule_pattern() -> dict[str, Any]:
    """Which events reach people."""
    return {
        "source": [SOURCE],
        "detail-type": [INSIGHT, *DETAIL_TYPES.values()],
        "detail": {"risk_score": [{"numeric": [">=", contract.PAGE_RISK_SCORE]}]},
    }


def mail_transformer() -> dict[str, Any]:
    """The rule target's input transformer: a short text for a person, and a line of JSON.

    EventBridge takes several lines only as quoted strings, delivers them with their quotes, and escapes nothing that it
    places in them. So each line is one quoted string, and `_placeable` leaves neither quotes nor backslashes in what is
    placed there; the quotes of the JSON are the template's own, escaped.
    """
    texts = [f'"{name}":"<{name}>"' for name in BODY_TEXTS]
    numbers = [f'"{name}":<{name}>' for name in BODY_NUMBERS]
    body = "{" + ",".join(texts + numbers) + "}"
    lines = [f"<line_{number}>" for number in range(1, MAIL_LINES + 1)]
    names = [line.strip("<>") for line in lines] + [*BODY_TEXTS, *BODY_NUMBERS]
    return {
        "InputPathsMap": {name: f"$.detail.mail.{name}" for name in names},
        "InputTemplate": "\n".join(json.dumps(line) for line in (*lines, body)),
    }


def read_mail(message: str) -> tuple[list[str], dict[str, Any]]:
    """The lines for a person and the body for a program of what the topic delivers, with EventBridge's quotes or
    without. Raises ValueError for what is no such message."""
    *lines, body = (_unquoted(line) for line in message.strip().splitlines())
    found = json.loads(body.replace('\\"', '"'))  # no value holds a quote or a backslash
    if not isinstance(found, dict):
        raise ValueError("the last line is no JSON object")  # noqa: TRY004 - for the caller, one and the same
    return lines, found


def _placeable(mail: Mail) -> dict[str, str]:
    lines = [*mail.lines, *["-"] * MAIL_LINES][:MAIL_LINES]
    placed = {f"line_{number}": line for number, line in enumerate(lines, start=1)}
    placed |= {name: str(mail.body.get(name) or "") for name in BODY_TEXTS}
    placed |= {name: f"{mail.body.get(name) or 0:g}" for name in BODY_NUMBERS}
    return {name: _one_quotable_line(text) for name, text in placed.items()}


def _one_quotable_line(text: str) -> str:
    """Printable text without what would break a quoted line, at most 400 characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = printable.replace('"', "'").replace("\\", "/").replace("<", "(").replace(">", ")")
    return line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 1] + "…"


def _bounded(detail: dict[str, Any]) -> str:
    text = _to_json(detail)
    for chars, entries in CUTS:
        if len(text) <= ENTRY_LIMIT_BYTES:
            break
        text = _to_json(_cut(detail, chars, entries) | {"is_cut": True})
    return text


def _cut(value: Any, chars: int, entries: int) -> Any:
    if isinstance(value, dict):
        return {name: inner if name.endswith("_id") else _cut(inner, chars, entries) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cut(inner, chars, entries) for inner in value[:entries]]
    return value[:chars] if isinstance(value, str) else value


def _to_json(detail: dict[str, Any]) -> str:
    return json.dumps(detail, separators=(",", ":"), allow_nan=False)  # ASCII: as many bytes as characters


def _unquoted(line: str) -> str:
    return line[1:-1] if len(line) > 1 and line[0] == line[-1] == '"' else line
