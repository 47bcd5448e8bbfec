"""What `iops` proves itself with: which credential goes where, and that none goes anywhere else."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import Result

from cli.credentials import credential_for
from cli.outcome import Refused
from iops.private_file import write_private
from tests.unit.test_cli import iops

HERE = "http://127.0.0.1:8080"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing from outside: a folder without anything, and a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.credentials.CLONE", tmp_path / "clone")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def keep(home: Path, **kept: str) -> Path:
    """As `iops login` does."""
    path = home / "config" / "iops" / "credentials.json"
    path.parent.mkdir(parents=True)
    write_private(path, json.dumps({name.replace("_", "://"): value for name, value in kept.items()}))
    return path


def announce(folder: Path, url: str) -> Path:
    """As `iops up` does."""
    (folder / ".local").mkdir(parents=True)
    (folder / ".local" / "up.json").write_text(json.dumps({"url": url}))
    write_private(folder / ".local" / "operator.token", "iops_of_up")
    return folder / ".local" / "operator.token"


def sent(*arguments: str, status: int = 200) -> tuple[Result, httpx.Headers]:
    asked: list[httpx.Headers] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers)
        return httpx.Response(status, json={"items": [], "detail": "no"}, headers={"Location": "http://evil.example"})

    result = iops("streams", *arguments, handler=handler)
    assert len(asked) == 1
    return result, asked[0]


def test_nothing_is_sent_where_there_is_nothing() -> None:
    _, headers = sent()

    assert not {"x-api-key", "authorization"} & set(headers)


def test_the_first_there_is_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(home, HERE)
    assert credential_for(HERE) == "iops_of_up"
    keep(home, **{f"http_{HERE[7:]}": "iops_of_login"})
    assert credential_for(HERE) == "iops_of_login"
    write_private(home / "file", "iops_of_file")
    monkeypatch.setenv("IOPS_API_KEY_FILE", str(home / "file"))
    assert credential_for(HERE) == "iops_of_file"
    monkeypatch.setenv("IOPS_API_KEY", "iops_of_environment")
    assert credential_for(HERE) == "iops_of_environment"


def test_a_key_and_a_token_each_go_into_their_own_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOPS_API_KEY", "iops_a_b")
    _, headers = sent()
    assert (headers.get("x-api-key"), headers.get("authorization")) == ("iops_a_b", None)
    monkeypatch.setenv("IOPS_API_KEY", "eyJ.a.b")
    _, headers = sent()
    assert (headers.get("x-api-key"), headers.get("authorization")) == (None, "Bearer eyJ.a.b")


@pytest.mark.parametrize(
    "other", ["http://127.0.0.1:8081", "https://127.0.0.1:8080", "http://localhost:8080", "http://127.0.0.1.evil:8080"]
)
def test_what_is_kept_for_an_origin_goes_to_no_other(home: Path, other: str) -> None:
    announce(home, HERE)
    keep(home, **{f"http_{HERE[7:]}": "iops_of_login"})

    assert credential_for(other) is None


def test_an_address_is_the_same_origin_however_it_is_written(home: Path) -> None:
    keep(home, **{"https_iops.example.com": "eyJ"})

    assert credential_for("HTTPS://IOPS.example.com:443/") == "eyJ"


def test_a_redirect_is_not_followed(home: Path) -> None:
    announce(home, HERE)
    result, _ = sent(status=302)

    assert result.exit_code == 1


def test_the_key_of_the_clones_own_run_is_found_from_elsewhere(home: Path) -> None:
    announce(home / "clone", HERE)

    assert credential_for(HERE) == "iops_of_up"


def test_a_file_that_others_can_read_is_refused_and_not_shown(home: Path) -> None:
    announce(home, HERE).chmod(0o644)

    with pytest.raises(Refused, match="chmod 600") as refused:
        credential_for(HERE)
    assert "iops_of_up" not in str(refused.value)
    result = iops("streams", handler=lambda _: httpx.Response(200, json={}))
    assert (result.exit_code, "chmod 600" in result.stderr) == (1, True)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"url": 7}', '{"url": "http://[::1"}', "{}"])
def test_an_announcement_that_cannot_be_read_announces_nothing(home: Path, text: str) -> None:
    announce(home, HERE)
    (home / ".local" / "up.json").write_text(text)

    assert credential_for(HERE) is None


def test_a_login_store_that_cannot_be_read_is_as_if_nobody_signed_in(home: Path) -> None:
    path = keep(home)
    path.write_text("{nonsense")

    assert credential_for(HERE) is None


@pytest.mark.parametrize(("status", "next_step"), [(401, "`iops login`"), (403, "`iops keys create`")])
def test_who_is_not_let_in_is_told_the_next_step(status: int, next_step: str) -> None:
    result, _ = sent(status=status)

    assert (result.exit_code, next_step in result.stderr, result.stdout) == (1, True, "")


def test_doctor_takes_a_door_that_wants_an_agent_for_one_that_works() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403 if request.url.path == "/metrics" else 200, json={"items": []})

    assert iops("doctor", handler=handler).exit_code == 0
