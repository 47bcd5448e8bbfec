"""`iops keys`: a key is shown once or written for its owner, and what a server says cannot command a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from typer.testing import Result

from cli.keys import Role
from cli.server import Row
from iops import auth
from iops.private_file import read_private
from tests.unit.test_cli import iops

KEY = "iops_abcdefghijklmnop_" + "x" * 43
VIEW: Row = {
    "key_id": "abcdefghijklmnop",
    "name": "web-fleet",
    "role": "agent",
    "streams": ["web-*", "db-1:sda"],
    "created_at": "2026-11-23T02:00:00Z",
    "created_by": "ann",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
    "secrets": [{"until": None}],
}
MADE: Row = {"key": KEY, "view": VIEW}
CREATE = ("create", "--name", "web-fleet", "--role", "agent")


def asking(*arguments: str, answer: Row, status: int = 200) -> tuple[Result, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json=answer)

    return iops("keys", *arguments, handler=handler), asked


def test_every_role_can_be_given() -> None:
    assert list(get_args(Role)) == list(auth.Role)


def test_a_new_key_is_all_there_is_on_standard_output() -> None:
    result, _ = asking(*CREATE, answer=MADE, status=201)

    assert (result.exit_code, result.stdout) == (0, f"{KEY}\n")
    assert "shown this once" in result.stderr
    assert KEY not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body"),
    [
        (CREATE, "POST", "/keys", {"name": "web-fleet", "role": "agent"}),
        (
            (*CREATE, "--streams", "web-*", "--streams", "db-1:sda", "--expires", "90d"),
            "POST",
            "/keys",
            {"name": "web-fleet", "role": "agent", "streams": ["web-*", "db-1:sda"], "expires_in_s": 7_776_000},
        ),
        (("rotate", "a/b"), "POST", "/keys/a%2Fb/rotate", {}),
        (("revoke", "a/b"), "DELETE", "/keys/a%2Fb", None),
    ],
    ids=str,
)
def test_a_deed_is_taken_to_the_server(arguments: tuple[str, ...], method: str, path: str, body: Any) -> None:
    result, (request,) = asking(*arguments, answer=MADE | VIEW)

    assert (result.exit_code, request.method, request.url.raw_path.decode()) == (0, method, path)
    assert (json.loads(request.content) if request.content else None) == body


def test_a_rotation_says_how_long_the_old_secret_holds() -> None:
    result, _ = asking("rotate", "abc", answer=MADE)

    assert (result.stdout, "one more hour" in result.stderr) == (f"{KEY}\n", True)


def test_a_key_that_goes_into_a_file_is_printed_nowhere(tmp_path: Path) -> None:
    result, _ = asking(*CREATE, "--out", str(tmp_path / "key"), answer=MADE)

    assert read_private(tmp_path / "key") == KEY
    assert KEY not in result.output
    result, _ = asking("rotate", "abc", "--json", "--out", str(tmp_path / "key2"), answer=MADE)
    assert json.loads(result.stdout) == {"file": str(tmp_path / "key2"), "view": VIEW}


@pytest.mark.parametrize("place", ["there", "nowhere/key"])
def test_no_key_is_made_for_a_file_that_cannot_take_it(tmp_path: Path, place: str) -> None:
    (tmp_path / "there").touch()

    result, asked = asking(*CREATE, "--out", str(tmp_path / place), answer=MADE)
    assert (result.exit_code, asked) == (2, [])


def test_json_is_the_servers_answer() -> None:
    result, _ = asking(*CREATE, "--json", answer=MADE)

    assert json.loads(result.stdout) == MADE


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "holds"),
        ({"expires_at": "2026-12-01T00:00:00Z"}, "until 2026-12-01 00:00:00"),
        ({"expires_at": "2026-11-01T00:00:00Z", "secrets": []}, "expired 2026-11-01 00:00:00"),
        ({"revoked_at": "2026-11-02T00:00:00Z", "secrets": []}, "revoked 2026-11-02 00:00:00"),
        (
            {"secrets": [{"until": None}, {"until": "2026-11-23T03:00:00Z"}]},
            "holds, old secret until 2026-11-23 03:00:00",
        ),
    ],
)
def test_the_list_says_how_each_key_stands(fields: Row, state: str) -> None:
    result, _ = asking("list", answer={"items": [VIEW | fields]})

    (line,) = [line for line in result.stdout.splitlines() if "web-fleet" in line]
    assert state in line
    assert "web-* db-1:sda" in line


@pytest.mark.parametrize("answer", [{}, {"key": 7, "view": VIEW}, {"key": "a\x1b[31m", "view": VIEW}])
def test_what_is_no_key_is_not_printed(answer: Row) -> None:
    result, _ = asking(*CREATE, answer=answer)

    assert (result.exit_code, result.stdout) == (1, "")


def test_names_that_mean_harm_do_not_command_the_terminal() -> None:
    result, _ = asking("list", answer={"items": [VIEW | {"name": "[red]x[/red]\x1b[31m\u202e"}]})

    assert "[red]x[/red]" in result.stdout
    assert not {"\x1b", "\u202e"} & set(result.stdout)


@pytest.mark.parametrize("wrong", [("--expires", "soon"), ("--role", "root")])
def test_what_makes_no_sense_is_wrong_usage(wrong: tuple[str, ...]) -> None:
    result, asked = asking("create", "--name", "x", "--role", "agent", *wrong, answer=MADE)

    assert (result.exit_code, asked) == (2, [])


def test_who_is_no_admin_is_told_what_to_do() -> None:
    result, _ = asking("list", answer={"detail": "ann is viewer here, and this is for admin"}, status=403)

    assert result.exit_code == 1
    assert "this is for admin. an admin can give you the role" in result.stderr
