"""Secrets that are read again and again: what stays, what is told of it, and that no value is."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from pydantic import SecretStr
from structlog.testing import capture_logs

from iops.observability import Metrics
from iops.secret_document import SecretDocument
from iops.secrets import ManagerSource, Secret, SecretUnread, parse_document
from tests.unit.fakes import aws_error
from tests.unit.virtual_time import cancelled, in_virtual_time, now_s

INTERVAL_S = 60
NAME = "iops-dashboard/of-a-test"


class Word(SecretDocument):
    word: SecretStr


class FakeManager:
    """Secrets Manager's client: one secret, or what a test lets it raise."""

    def __init__(self) -> None:
        self.reply: Any = {"SecretString": '{"word": "verysecret-0"}'}
        self.failure: Exception | None = None
        self.hangs = False
        self.asked_at_s: list[float] = []

    async def get_secret_value(self, *, SecretId: str, VersionStage: str) -> Any:  # noqa: N803
        assert (SecretId, VersionStage) == (NAME, "AWSCURRENT")
        self.asked_at_s.append(now_s())
        await asyncio.sleep(3600 if self.hangs else 0)
        if self.failure is not None:
            raise self.failure
        return self.reply


class Scene:
    """A secret that is read again and again, and what is logged and counted of it."""

    def __init__(self, manager: FakeManager, first: Word) -> None:
        self.manager = manager
        self.metrics = Metrics()
        source = ManagerSource(manager, NAME)

        async def read() -> Word:
            return parse_document(await source.read(), Word)

        self.secret = Secret(NAME, first, read, self.metrics, interval_s=INTERVAL_S, now_s=now_s)
        self.lines: Sequence[Any] = []

    async def turn(self, text: str | None = None) -> str:
        """The word that holds after the next read, of `text` where there is one."""
        if text is not None:
            self.manager.reply = {"SecretString": text}
        await asyncio.sleep(INTERVAL_S)
        return self.secret.current.word.get_secret_value()

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def number(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"secret": NAME} | labels)


@asynccontextmanager
async def a_scene() -> AsyncIterator[Scene]:
    """Leaves no value in any log line."""
    scene = Scene(FakeManager(), Word(word=SecretStr("verysecret-0")))
    with capture_logs() as scene.lines:
        running = asyncio.create_task(scene.secret.run())
        await asyncio.sleep(1)
        yield scene
        assert not running.done()
        await cancelled(running)
    assert "verysecret" not in str(scene.lines)


@in_virtual_time
async def test_a_rotated_secret_holds_after_the_next_read_and_its_name_is_told() -> None:
    async with a_scene() as scene:
        assert await scene.turn() == "verysecret-0"
        assert await scene.turn('{"word": "verysecret-1"}') == "verysecret-1"
        assert await scene.turn() == "verysecret-1"

    assert scene.lines == [{"event": "secret_changed", "name": NAME, "log_level": "info"}]


@in_virtual_time
async def test_it_is_read_every_60_s() -> None:
    async with a_scene() as scene:
        for _ in range(3):
            await scene.turn()
        begin_s = scene.manager.asked_at_s[0]
        assert [at_s - begin_s for at_s in scene.manager.asked_at_s] == [0, 60, 120]


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (aws_error("ResourceNotFoundException"), "ResourceNotFoundException"),
        (aws_error("AccessDeniedException"), "AccessDeniedException"),
        (EndpointConnectionError(endpoint_url="http://sm"), "EndpointConnectionError"),
        (ReadTimeoutError(endpoint_url="http://sm"), "ReadTimeoutError"),
        (ResponseParserError("cannot parse verysecret-1"), "ResponseParserError"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
@in_virtual_time
async def test_while_the_source_is_away_the_last_good_secret_stays_and_the_log_says_so_once(
    failure: Exception, detail: str
) -> None:
    async with a_scene() as scene:
        scene.manager.failure = failure
        for _ in range(4):
            assert await scene.turn() == "verysecret-0"
        assert scene.number("iops_secret_age_seconds") == 241
        scene.manager.failure = None
        assert await scene.turn('{"word": "verysecret-1"}') == "verysecret-1"
        assert scene.number("iops_secret_age_seconds") == 1

    assert scene.events() == ["secret_kept", "secret_read", "secret_changed"]
    kept = scene.lines[0]
    assert (kept["log_level"], kept["reason"]) == ("warning", "away")
    assert kept["detail"] == f"{NAME} cannot be read from Secrets Manager ({detail})"
    assert scene.number("iops_secrets_unread_total", reason="away") == 4


@in_virtual_time
async def test_what_nobody_expected_is_told_by_its_kind_alone() -> None:
    async with a_scene() as scene:
        scene.manager.failure = RuntimeError("verysecret-1")
        assert await scene.turn() == "verysecret-0"
        scene.manager.failure = None
        assert await scene.turn('{"word": "verysecret-2"}') == "verysecret-2"
    assert scene.lines[0]["detail"] == "RuntimeError"


@in_virtual_time
async def test_a_damaged_document_changes_nothing_and_each_mistake_is_told_once() -> None:
    async with a_scene() as scene:
        slipped = '{"word": "verysecret-1", "verysecret": 1}'
        for wrong in ('{"word": 7}', '{"word": 7}', slipped, "verysecret", "\ud800"):
            assert await scene.turn(wrong) == "verysecret-0"

    told = [line["detail"][:35] for line in scene.lines if line["event"] == "secret_kept"]
    assert told[:2] == ["'word': Input should be a valid str", "'?': Extra inputs are not permitted"]
    assert [text[:12] for text in told[2:]] == ["Invalid JSON"]
    assert scene.number("iops_secrets_unread_total", reason="refused") == 5


@in_virtual_time
async def test_a_secret_of_bytes_is_refused() -> None:
    async with a_scene() as scene:
        scene.manager.reply = {"SecretBinary": b"verysecret-1"}
        assert await scene.turn() == "verysecret-0"
    assert scene.lines[0]["detail"] == f"{NAME} in Secrets Manager has no text"


@in_virtual_time
async def test_an_answer_that_never_comes_is_given_up() -> None:
    async with a_scene() as scene:
        scene.manager.hangs = True
        await asyncio.sleep(INTERVAL_S + 10)
        scene.manager.hangs = False
        assert await scene.turn('{"word": "verysecret-1"}') == "verysecret-1"
    assert "(TimeoutError)" in scene.lines[0]["detail"]


def test_what_is_shown_of_a_document_or_its_refusal_has_no_value() -> None:
    document = parse_document(b'{"word": "verysecret-0"}', Word)
    shown = f"{document!r}{document}{document.model_dump()}{document.model_dump_json()}"

    with pytest.raises(SecretUnread) as refused:
        parse_document(json.dumps({"word": ["verysecret-0"]}).encode(), Word)

    assert "verysecret" not in f"{shown}{refused.value!r}{refused.value.__cause__!r}{refused.value.__context__!r}"
