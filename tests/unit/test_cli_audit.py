"""`iops audit` against a server double that may mean harm."""

import json

import httpx

from cli.server import Row
from tests.unit.test_cli import answer, iops

DEED: Row = {
    "deed_id": "d1",
    "at": "2026-11-23T02:39:00.123Z",
    "kind": "flags_changed",
    "about": "ssm:/iops-dashboard/flags",
    "by": "arn:aws:iam::123456789012:user/ann",
    "detail": {"ai_enabled": "false -> true", "llm_daily_usd": "1 -> 5"},
}


def test_the_audit_says_when_who_what_and_how() -> None:
    result = iops("audit", handler=answer([DEED]))

    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert "when (UTC) who what about detail" in lines
    assert (
        "2026-11-23 02:39:00 arn:aws:iam::123456789012:user/ann flags_changed ssm:/iops-dashboard/flags "
        "ai_enabled=false -> true, llm_daily_usd=1 -> 5"
    ) in lines


def test_one_kind_is_asked_of_the_server_and_json_is_its_answer() -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"items": [DEED], "cursor": None})

    result = iops("audit", "--kind", "flags_changed", "--limit", "7", "--json", handler=handler)

    assert json.loads(result.stdout) == {"items": [DEED]}
    assert dict(asked[0].url.params) == {"kind": "flags_changed", "limit": "7"}


def test_a_kind_that_is_none_is_wrong_usage() -> None:
    result = iops("audit", "--kind", "gossip", handler=answer([]))

    assert (result.exit_code, "must be one of key_created, " in result.stderr) == (2, True)


def test_strings_of_others_neither_move_the_cursor_nor_colour_the_terminal() -> None:
    nasty = "[red]x[/red]\x1b[31m\u202ey\r\n\x9b2Jz"
    result = iops("audit", handler=answer([DEED | {"by": nasty, "at": nasty, "detail": {nasty: nasty}}, {"detail": 3}]))

    assert "[red]x[/red][31my 2Jz" in result.stdout
    assert not {"\x1b", "\u202e", "\r", "\x9b"} & set(result.stdout)
