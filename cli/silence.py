"""Silences, taken to the server and listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from cli.alert import standing
from cli.duration import parse_duration_s
from cli.outcome import Misused, Outcome
from cli.screen import instant, plain, print_json, print_line, print_table
from cli.server import Row, Server, Transport
from iops.insight import PredictionType


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was said on the command line: one of an alert and the scopes, unless it was misused."""

    alert_id: str | None
    scopes: Mapping[str, str | None]
    duration: str
    reason: str


async def silence_it(url: str, wanted: Wanted, *, as_json: bool, transport: Transport | None) -> Outcome:
    """Makes the silence and says what came of it; raises Misused for what makes no sense."""
    path, body = _request(wanted)
    async with Server(url, transport=transport) as server:
        made = await server.post_json(path, body)
    if as_json:
        print_json(made)
    else:
        until = f"{_subject(made)} is silent until {instant(made.get('ends_at'))} UTC; {_alerts(made, 'silenced')}"
        print_line(until if wanted.alert_id is None else standing(made))
    return _outcome(made)


async def end_silence(url: str, silence_id: str, *, as_json: bool, transport: Transport | None) -> Outcome:
    """Ends it now and says what came of it."""
    async with Server(url, transport=transport) as server:
        ended = await server.delete(f"/alerts/silences/{quote(silence_id, safe='')}")
    if as_json:
        print_json(ended)
    else:
        print_line(f"{_subject(ended)} is silent no more; {_alerts(ended, 'changed')}")
    return _outcome(ended)


async def show_silences(url: str, *, ended: bool, limit: int, as_json: bool, transport: Transport | None) -> Outcome:
    """Those that have not ended, or all; those that end last first."""
    async with Server(url, transport=transport) as server:
        silences = await server.read_items("/alerts/silences", limit=limit, **({"ended": "true"} if ended else {}))
    if as_json:
        print_json({"items": silences})
        return Outcome.OK
    fields = ("silence_id", "scope", "value", "created_by", "reason")
    spans = ("begins_at", "ends_at")
    rows = [[*(plain(s.get(f)) for f in fields), *(instant(s.get(f)) for f in spans)] for s in silences]
    print_table(("id", "scope", "of", "by", "reason", "from (UTC)", "until (UTC)"), rows)
    return Outcome.OK


def _request(wanted: Wanted) -> tuple[str, Row]:
    body: Row = {"duration_s": parse_duration_s(wanted.duration), "reason": wanted.reason}
    given = {scope: value for scope, value in wanted.scopes.items() if value is not None}
    if len(given) + (wanted.alert_id is not None) != 1:
        raise Misused("say one of an alert's ID, --stream, --peer-group and --type")
    if wanted.alert_id is not None:
        return f"/alerts/{quote(wanted.alert_id, safe='')}/silence", body
    ((scope, value),) = given.items()
    if scope == "prediction_type" and value not in list(PredictionType):
        raise Misused(f"--type must be one of {', '.join(PredictionType)}")
    return "/alerts/silences", body | {"scope": scope, "value": value}


def _subject(silence: Row) -> str:
    return f"{plain(silence.get('silence_id'))}: {plain(silence.get('scope'))} {plain(silence.get('value'))}"


def _alerts(silence: Row, deed: str) -> str:
    line = f"{plain(silence.get('alerts_changed'))} active alerts {deed}"
    return f"{line}, {plain(silence.get('alerts_missed'))} could not be" if silence.get("alerts_missed") else line


def _outcome(answer: Row) -> Outcome:
    return Outcome.NOTHING if answer.get("alerts_missed") else Outcome.OK
