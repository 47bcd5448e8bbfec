"""`iops alerts` and what it does about one, against a server double that may mean harm."""

import json
from typing import Any, get_args

import httpx
import pytest
from typer.testing import Result

from cli.alerts import State
from cli.server import Row
from iops.alert import AlertState
from tests.unit.test_cli import ALERT, iops

HOSTILE = "[red]x[/red]\x1b[31m\u202ey\r\nz"
CHANGE: Row = {"at": "2026-11-23T02:39:00Z", "what": "opened", "by": "scorer", "risk_score": 91.0}
SHOWN: Row = {
    **ALERT,
    "explanation": "Requests are in flight and none completes.",
    "recommendations": ["Look for a lost path."],
    "history": [{**CHANGE, "what": "acknowledged", "by": "10.0.0.7", "reason": "mine"}, CHANGE],
    "changes_total": 2,
    "page": {"told_at": "2026-11-23T02:39:01Z", "streams_total": 3},
}
SILENCE: Row = {
    "silence_id": "s1",
    "scope": "peer_group",
    "value": "web-1",
    "ends_at": "2026-11-23T04:39:00Z",
    "alerts_changed": 2,
    "alerts_missed": 0,
}


def asking(*arguments: str, answer: Row, status: int = 200) -> tuple[Result, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json=answer)

    return iops("alerts", *arguments, handler=handler), asked


def test_every_state_can_be_asked_for() -> None:
    assert list(get_args(State)) == list(AlertState)


def test_an_alert_is_shown_with_its_facts_steps_and_history() -> None:
    result, (request,) = asking("show", "a/1", answer=SHOWN)

    assert (result.exit_code, request.method, request.url.raw_path) == (0, "GET", b"/alerts/a%2F1")
    assert result.stdout.splitlines() == [
        "Stalled",
        "a1: firing, stall of web-1:sdb",
        "Risk 91 of 100, since 2026-11-23 02:39:00 UTC",
        "Requests are in flight and none completes.",
        "  3 requests in flight and none completed.",
        "- Look for a lost path.",
        "Told 2026-11-23 02:39:01 UTC: 3 stream(s), -",
        "History (2 changes)",
        "  2026-11-23 02:39:00  acknowledged by 10.0.0.7, 91: mine",
        "  2026-11-23 02:39:00  opened by scorer, 91",
    ]


def test_an_alert_that_is_none_is_a_failure() -> None:
    result, _ = asking("show", "a1", answer={}, status=404)

    assert (result.exit_code, result.stdout) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body"),
    [
        (("ack", "a1"), "POST", "/alerts/a1/acknowledge", {}),
        (("ack", "a1", "--reason", "mine"), "POST", "/alerts/a1/acknowledge", {"reason": "mine"}),
        (("resolve", "a1"), "POST", "/alerts/a1/resolve", {}),
        (
            ("silence", "a1", "--for", "2h", "--reason", "x"),
            "POST",
            "/alerts/a1/silence",
            {"duration_s": 7200, "reason": "x"},
        ),
        (
            ("silence", "--peer-group", "web-1", "--for", "7d", "--reason", "x"),
            "POST",
            "/alerts/silences",
            {"duration_s": 604_800, "reason": "x", "scope": "peer_group", "value": "web-1"},
        ),
        (("unsilence", "s/1"), "DELETE", "/alerts/silences/s%2F1", None),
    ],
    ids=str,
)
def test_a_deed_is_taken_to_the_server(arguments: tuple[str, ...], method: str, path: str, body: Any) -> None:
    result, (request,) = asking(*arguments, answer=SHOWN | SILENCE)

    assert (result.exit_code, request.method, request.url.raw_path.decode()) == (0, method, path)
    assert (json.loads(request.content) if request.content else None) == body


def test_a_silence_says_what_it_quietened_and_fails_where_some_were_missed() -> None:
    arguments = ("silence", "--type", "stall", "--for", "2h", "--reason", "x")

    result, _ = asking(*arguments, answer=SILENCE)
    assert result.stdout == "s1: peer_group web-1 is silent until 2026-11-23 04:39:00 UTC; 2 active alerts silenced\n"
    result, _ = asking(*arguments, answer=SILENCE | {"alerts_missed": 1})
    assert (result.exit_code, "1 could not be" in result.stdout) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--for", "2h"),
        ("a1", "--stream", "web-1:sda", "--for", "2h"),
        ("--stream", "a", "--type", "stall", "--for", "2h"),
        ("--type", "gremlins", "--for", "2h"),
        ("a1", "--for", "2"),
        ("a1", "--for", "-2h"),
        ("a1", "--for", "2h30m"),
    ],
    ids=str,
)
def test_a_silence_that_makes_no_sense_is_wrong_usage_and_not_sent(arguments: tuple[str, ...]) -> None:
    result, asked = asking("silence", *arguments, "--reason", "x", answer=SILENCE)

    assert (result.exit_code, asked) == (2, [])


def test_the_end_of_a_silence_says_what_fires_again() -> None:
    result, _ = asking("unsilence", "s1", answer=SILENCE)

    assert result.stdout == "s1: peer_group web-1 is silent no more; 2 active alerts changed\n"


def test_silences_are_listed() -> None:
    result, (request,) = asking(
        "silences", "--ended", answer={"items": [SILENCE | {"reason": HOSTILE}], "cursor": None}
    )

    assert request.url.params["ended"] == "true"
    assert "[red]x[/red][31my z" in result.stdout
    assert "2026-11-23 04:39:00" in result.stdout


@pytest.mark.parametrize("command", [("show", "a1"), ("ack", "a1"), ("unsilence", "s1")])
def test_strings_of_others_cannot_command_a_terminal(command: tuple[str, ...]) -> None:
    nasty = {name: HOSTILE if isinstance(value, str) else value for name, value in (SHOWN | SILENCE).items()}
    nasty |= {"history": [dict.fromkeys(CHANGE, HOSTILE) | {"reason": HOSTILE}, None, 3], "recommendations": [HOSTILE]}

    result, _ = asking(*command, answer=nasty)

    assert result.exit_code == 0
    assert not {"\x1b", "\u202e", "\r"} & set(result.stdout)


@pytest.mark.parametrize("command", [("show", "a1"), ("ack", "a1"), ("unsilence", "s1")])
def test_the_answer_as_json_is_the_servers(command: tuple[str, ...]) -> None:
    result, _ = asking(*command, "--json", answer=SHOWN)

    assert json.loads(result.stdout) == SHOWN


def test_an_empty_page_with_a_cursor_is_not_the_end() -> None:
    pages = iter([{"items": [], "cursor": "1"}, {"items": [ALERT], "cursor": None}])

    result = iops("alerts", "--state", "firing", "--json", handler=lambda _: httpx.Response(200, json=next(pages)))

    assert json.loads(result.stdout) == {"items": [ALERT]}
