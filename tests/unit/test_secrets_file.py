"""The secrets file of a laptop: who may read it, how it is made, and how a service starts with it."""

import asyncio
import json
import logging
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from iops.contract import ALERTS_SECRETS, INSIGHTS_SECRETS, PEPPER_SECRETS
from iops.observability import Metrics, configure_logging
from iops.peppers import Peppers
from iops.secrets import FileSource, SecretUnread, open_secret
from iops.settings import ServiceSettings
from local.secrets import make_secrets
from tests.secret_documents import PEPPER_ID, PEPPERS, write_secrets

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_secrets(tmp_path / "secrets.json")


def start(path: Path) -> Peppers:
    """Outside of any loop, so that a test may touch the file."""

    async def read() -> Peppers:
        async with open_secret(ServiceSettings(secrets_file=path), PEPPER_SECRETS, Peppers, Metrics()) as peppers:
            return peppers.current

    return asyncio.run(read())


def test_a_service_starts_with_the_document_of_its_name(path: Path) -> None:
    assert start(path).current.id == PEPPER_ID


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o777])
def test_a_file_that_others_can_read_is_refused_with_what_to_do(path: Path, mode: int) -> None:
    path.chmod(mode)

    with capture_logs() as lines, pytest.raises(SecretUnread, match=f"others can read {path}: chmod 600 {path}"):
        start(path)
    assert [(line["event"], line["log_level"]) for line in lines] == [("secret_unread", "error")]


def test_a_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)

    with pytest.raises(SecretUnread, match="another user's: make it yours, then chmod 600"):
        start(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_away(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "secrets.json"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path, 0o600)

    with pytest.raises(SecretUnread) as refused:
        asyncio.run(FileSource(path, PEPPER_SECRETS).read())
    assert refused.value.reason == "away"
    assert str(path) in refused.value.detail


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON: EOF"),
        ('{"verysecret', "is no JSON"),
        ("[]", f"has no document {PEPPER_SECRETS}"),
        ('{"verysecret": {}}', f"has no document {PEPPER_SECRETS}"),
        (json.dumps({PEPPER_SECRETS: "verysecret"}), f"the secret {PEPPER_SECRETS} cannot be used: Input should be an"),
        (json.dumps({PEPPER_SECRETS: PEPPERS, "verysecret": " " * 65_536}), "is longer than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_not_quoted(path: Path, content: str, message: str) -> None:
    path.write_text(content)

    with pytest.raises(SecretUnread) as refused:
        start(path)

    assert message in refused.value.detail
    assert "verysecret" not in f"{refused.value!r}{refused.value.__cause__!r}"


def test_what_was_read_is_hidden_in_the_logs_at_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test")
    value = PEPPERS["peppers"][0]["value"]

    start(path)
    logging.getLogger().error("it is %s", value)

    lines = capsys.readouterr().err
    assert value not in lines
    assert "it is [hidden]" in lines


def test_up_makes_a_file_that_services_take_and_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    before = os.umask(0)
    try:
        make_secrets(path, NOW, secrets.token_bytes)
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600
    assert start(path).current.id.startswith("2026-11-")
    documents: dict[str, Any] = json.loads(path.read_text())
    assert documents[INSIGHTS_SECRETS] == {"openai_api_key": None}
    assert documents[ALERTS_SECRETS] == {"webhooks": {}}
    assert [each.name for each in tmp_path.iterdir()] == ["secrets.json"]


def test_two_files_have_two_peppers_and_what_is_there_stays(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    make_secrets(one, NOW, secrets.token_bytes)
    make_secrets(other, NOW, secrets.token_bytes)
    assert one.read_text() != other.read_text()

    one.write_text("what somebody wrote")
    make_secrets(one, NOW, secrets.token_bytes)
    assert one.read_text() == "what somebody wrote"


def test_a_draft_that_a_killed_run_left_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.with_suffix(".json.part").write_text("half")

    make_secrets(path, NOW, secrets.token_bytes)

    assert PEPPER_SECRETS in json.loads(path.read_text())
