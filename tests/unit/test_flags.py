"""The flags: what is taken, what is refused, what stays, and what is told of it."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from pydantic import ValidationError
from structlog.testing import capture_logs

from iops.contract import FLAGS_PARAMETER
from iops.flags import FileSource, FlagReader, Flags, FlagsUnread, ParameterSource, parse_flags
from iops.observability import Metrics
from tests.unit.fakes import aws_error
from tests.unit.virtual_time import cancelled, in_virtual_time, now_s

INTERVAL_S = 30


class FakeParameters:
    """SSM's client: one parameter, or what a test lets it raise."""

    def __init__(self, *, hangs: bool = False, **flags: Any) -> None:
        self.value: Any = json.dumps(flags)
        self.failure: Exception | None = None
        self.hangs = hangs
        self.asked_at_s: list[float] = []

    async def get_parameter(self, *, Name: str) -> Any:  # noqa: N803
        assert Name == FLAGS_PARAMETER
        self.asked_at_s.append(now_s())
        await asyncio.sleep(3600 if self.hangs else 0)
        if self.failure is not None:
            raise self.failure
        return {"Parameter": {"Value": self.value}}


class Scene:
    """A reader that runs, and what it logs and counts."""

    def __init__(self, parameters: FakeParameters) -> None:
        self.parameters = parameters
        self.metrics = Metrics()
        self.reader = FlagReader(ParameterSource(parameters), self.metrics, interval_s=INTERVAL_S)
        self.lines: Sequence[Any] = []

    async def turn(self, **flags: Any) -> Flags:
        """What holds after the next read, of these flags where some are given."""
        if flags:
            self.parameters.value = json.dumps(flags)
        await asyncio.sleep(INTERVAL_S)
        return self.reader.current

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def number(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@asynccontextmanager
async def a_scene(parameters: FakeParameters) -> AsyncIterator[Scene]:
    scene = Scene(parameters)
    with capture_logs() as scene.lines:
        running = asyncio.create_task(scene.reader.run())
        await asyncio.sleep(1)
        yield scene
        assert not running.done()
        await cancelled(running)


def test_where_nobody_has_decided_nothing_is_asked_and_nothing_is_spent() -> None:
    assert Flags().model_dump() == {
        "ai_enabled": False, "llm_percent": 100, "sagemaker_percent": 0, "llm_daily_usd": 1, "llm_sets_risk": False,
    }  # fmt: skip


def test_flags_in_force_cannot_be_written() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Flags().ai_enabled = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("document", "detail"),
    [
        (b"", "EOF"),
        (b"ai_enabled: true", "expected value"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'{"sagemaker_percent": 100.5}', "'sagemaker_percent': Input should be less than or equal to 100"),
        (b'{"llm_percent": -1}', "'llm_percent': Input should be greater than or equal to 0"),
        (b'{"llm_percent": null}', "'llm_percent': Input should be a valid number"),
        (b'{"llm_daily_usd": -0.01}', "'llm_daily_usd'"),
        (b'{"llm_daily_usd": NaN}', "'llm_daily_usd'"),
        (b'{"llm_daily_usd": Infinity}', "'llm_daily_usd'"),
        (b'{"llm_daily_usd": 1e999}', "'llm_daily_usd'"),
        (b'{"llm_daily_usd": true}', "'llm_daily_usd'"),
        (b'{"llm_daily_usd": "5"}', "'llm_daily_usd'"),
        (b'{"ai_enabled": 1}', "'ai_enabled'"),
        (b'{"ai_enabled": "yes"}', "'ai_enabled'"),
        (b'{"ai_enabled": "\xff"}', "JSON"),
        ("\ud800".encode(errors="surrogatepass"), "JSON"),
        (b"[" * 5_000, "recursion"),
        (b'{"ai_enabled": true}' + b" " * 8_192, "longer than 8192 bytes"),
    ],
)
def test_nonsense_is_refused_and_named(document: bytes, detail: str) -> None:
    with pytest.raises(FlagsUnread) as caught:
        parse_flags(document)
    assert caught.value.reason == "refused"
    assert detail in caught.value.detail


def test_a_misspelt_flag_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(FlagsUnread) as caught:
        parse_flags(b'{"sagemaker_precent": 5}')
    assert caught.value.detail == (
        "'sagemaker_precent' is not a flag; "
        "there are ai_enabled, llm_percent, sagemaker_percent, llm_daily_usd, llm_sets_risk"
    )


def test_a_refusal_is_short_and_repeats_no_value() -> None:
    document = json.dumps({f"\u202e{'x' * 900}{number}": "secret" for number in range(8)}, ensure_ascii=False)
    with pytest.raises(FlagsUnread) as caught:
        parse_flags(document.encode())
    assert caught.value.detail.endswith("; and 3 more")
    assert len(caught.value.detail) < 1_000
    assert caught.value.detail.isascii()
    assert "secret" not in caught.value.detail


@in_virtual_time
async def test_a_changed_flag_holds_after_the_next_read_and_is_told_with_old_and_new_value() -> None:
    async with a_scene(FakeParameters(sagemaker_percent=5)) as scene:
        assert scene.reader.current.sagemaker_percent == 5
        flags = await scene.turn(sagemaker_percent=25, ai_enabled=True)

    assert flags == Flags(sagemaker_percent=25, ai_enabled=True)
    changed = [(line["flag"], line["old"], line["new"]) for line in scene.lines if line["event"] == "flag_changed"]
    assert changed == [("sagemaker_percent", 0, 5), ("ai_enabled", False, True), ("sagemaker_percent", 5, 25)]


@in_virtual_time
async def test_the_source_is_read_at_once_and_then_every_30_s() -> None:
    async with a_scene(FakeParameters()) as scene:
        for _ in range(3):
            await scene.turn()
    begin_s = scene.parameters.asked_at_s[0]
    assert [at_s - begin_s for at_s in scene.parameters.asked_at_s] == [0, 30, 60, 90]


@in_virtual_time
async def test_flags_that_stay_are_told_once() -> None:
    async with a_scene(FakeParameters(ai_enabled=True)) as scene:
        for _ in range(5):
            await scene.turn()
    assert scene.events() == ["flags_read", "flag_changed"]
    assert (scene.lines[0]["ai_enabled"], scene.lines[0]["source"]) == (True, "ssm:/iops-dashboard/flags")


@in_virtual_time
async def test_the_flags_in_force_are_shown_as_numbers() -> None:
    async with a_scene(FakeParameters(ai_enabled=True)) as scene:
        await scene.turn(llm_daily_usd=0.5, llm_sets_risk=True)
    values = {flag: scene.number("iops_flag", flag=flag) for flag in Flags.model_fields}
    assert values == {
        "ai_enabled": 0, "llm_percent": 100, "sagemaker_percent": 0, "llm_daily_usd": 0.5, "llm_sets_risk": 1,
    }  # fmt: skip


def test_numbers_are_shown_before_anything_is_read() -> None:
    metrics = Metrics()
    FlagReader(ParameterSource(FakeParameters()), metrics, interval_s=INTERVAL_S)
    assert metrics.registry.get_sample_value("iops_flag", {"flag": "llm_percent"}) == 100


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (aws_error("ParameterNotFound"), "ParameterNotFound"),
        (aws_error("AccessDeniedException"), "AccessDeniedException"),
        (aws_error("ThrottlingException"), "ThrottlingException"),
        (aws_error("InternalServerError", status=500), "InternalServerError"),
        (EndpointConnectionError(endpoint_url="http://ssm"), "EndpointConnectionError"),
        (ReadTimeoutError(endpoint_url="http://ssm"), "ReadTimeoutError"),
        (ConnectionResetError(), "ConnectionResetError"),
        (KeyError("Parameter"), "KeyError"),
        (RuntimeError("nobody expected this"), "RuntimeError"),
    ],
)
@in_virtual_time
async def test_while_the_source_is_away_the_last_good_flags_stay_and_the_log_says_so_once(
    failure: Exception, detail: str
) -> None:
    async with a_scene(FakeParameters(sagemaker_percent=5)) as scene:
        scene.parameters.failure = failure
        for _ in range(4):
            assert (await scene.turn()).sagemaker_percent == 5
        scene.parameters.failure = None
        assert (await scene.turn(sagemaker_percent=6)).sagemaker_percent == 6

    (kept,) = (line for line in scene.lines if line["event"] == "flags_kept")
    assert (kept["log_level"], kept["reason"], kept["detail"]) == ("warning", "away", detail)
    assert kept["sagemaker_percent"] == 5
    assert scene.events()[-2:] == ["flags_read", "flag_changed"]
    assert scene.number("iops_flags_unread_total", reason="away") == 4


@in_virtual_time
async def test_an_answer_that_never_comes_is_given_up() -> None:
    async with a_scene(FakeParameters(hangs=True)) as scene:
        await asyncio.sleep(10)
        assert scene.reader.current == Flags()
        scene.parameters.hangs = False
        assert (await scene.turn(ai_enabled=True)).ai_enabled
    assert scene.lines[0]["detail"] == "TimeoutError"


@in_virtual_time
async def test_a_document_that_is_refused_changes_no_flag_of_it_and_each_mistake_is_told_once() -> None:
    async with a_scene(FakeParameters(sagemaker_percent=5)) as scene:
        for wrong in ({"precent": 1}, {"precent": 1}, {"llm_percent": 101}, {"precent": 1}):
            flags = await scene.turn(**wrong, sagemaker_percent=50)
            assert flags == Flags(sagemaker_percent=5)

    told = [line["detail"][:14] for line in scene.lines if line["event"] == "flags_kept"]
    assert told == ["'precent' is n", "'llm_percent':", "'precent' is n"]
    assert scene.number("iops_flags_unread_total", reason="refused") == 4
    assert scene.number("iops_flag", flag="sagemaker_percent") == 5


@in_virtual_time
async def test_a_value_that_is_no_text_changes_nothing() -> None:
    async with a_scene(FakeParameters(ai_enabled=True)) as scene:
        for scene.parameters.value in (None, 7, "\ud800"):
            assert (await scene.turn()).ai_enabled


async def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text('{"llm_percent": 7}')
    assert parse_flags(await FileSource(path).read()) == Flags(llm_percent=7)


async def test_of_a_huge_file_no_more_is_read_than_is_needed_to_refuse_it(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    with path.open("wb") as file:
        file.truncate(10**9)
    assert len(await FileSource(path).read()) == 8_193


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
async def test_what_is_no_file_is_away(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "flags.json"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(FlagsUnread, match="away: there is no such file"):
        await FileSource(path).read()


async def test_a_file_that_may_not_be_read_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "flags.json"
    path.write_text("{}")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read anything
    with pytest.raises(FlagsUnread, match="away: Permission denied"):
        await FileSource(path).read()
