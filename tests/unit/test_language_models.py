"""Which language models the settings open, and which they refuse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from iops.contract import INSIGHTS_SECRETS
from iops.observability import Metrics
from services.insights import language_models
from services.insights.language_models import LanguageModels, open_language_models
from services.insights.profiles import UnusableModel
from services.insights.settings import InsightsSettings
from tests.secret_documents import write_secrets
from tests.unit.builders import clock_at
from tests.unit.calling import FakePurse
from tests.unit.speaking import Speaker
from tests.unit.test_profiles import let_end

OPENAI: dict[str, str] = {
    "IOPS_OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "IOPS_OPENAI_MODEL": "small",
}


class Openings:
    """Doubles of what opens a client; `closed` says in which order they ended."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.opened: list[tuple[str, tuple[Any, ...]]] = []
        self.closed: list[str] = []
        patch.setattr(language_models, "open_bedrock", self._opening("bedrock"))
        patch.setattr(language_models, "open_openai_compatible", self._opening("openai"))

    def _opening(self, name: str) -> Any:
        @asynccontextmanager
        async def opening(*args: Any, **_: Any) -> AsyncIterator[Speaker]:
            self.opened.append((name, args))
            yield Speaker(name=name)
            self.closed.append(name)

        return opening


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Openings:
    secrets = write_secrets(tmp_path / "secrets.json", {INSIGHTS_SECRETS: {"openai_api_key": None}})
    monkeypatch.setenv("IOPS_SECRETS_FILE", str(secrets))
    return Openings(monkeypatch)


def settings(patch: pytest.MonkeyPatch, **variables: str) -> InsightsSettings:
    for name, value in variables.items():
        patch.setenv(name, value)
    return InsightsSettings()


def opening(configured: InsightsSettings) -> Any:
    now = clock_at(datetime(2026, 11, 23, tzinfo=UTC))
    return open_language_models(configured, FakePurse(), Metrics(), now)


async def test_none_is_opened_where_none_is_named(openings: Openings) -> None:
    async with opening(InsightsSettings()) as models:
        assert models == LanguageModels([], {})
    assert openings.opened == []


@pytest.mark.parametrize("names", ["openai,bedrock", " openai , bedrock,", "openai,bedrock,openai"])
async def test_two_are_opened_in_their_order_and_closed_in_reverse(
    openings: Openings, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    configured = settings(monkeypatch, IOPS_EXPLAINERS=names, **OPENAI)

    async with opening(configured) as models:
        assert [provider.name for provider in models.providers] == ["openai", "bedrock"]

    assert openings.opened[0] == ("openai", ("http://127.0.0.1:9/v1", "small"))
    assert openings.opened[1][1][1].model_id == "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert openings.closed == ["bedrock", "openai"]


async def test_a_profile_that_has_ended_refuses_to_start_and_says_which_to_use(
    openings: Openings, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = settings(monkeypatch, IOPS_EXPLAINERS="bedrock", IOPS_BEDROCK_MODEL="haiku-3.5")

    with pytest.raises(UnusableModel, match=r"haiku-3\.5 .* ended on 2026-06-19; use haiku-4\.5"):
        async with opening(configured):
            pass
    assert openings.opened == []


async def test_a_profile_that_is_not_known_refuses_to_start(
    openings: Openings, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = settings(monkeypatch, IOPS_EXPLAINERS="openai,bedrock", IOPS_BEDROCK_MODEL="gpt", **OPENAI)

    with pytest.raises(UnusableModel, match=r"haiku-4\.5"):
        async with opening(configured):
            pass


async def test_a_profile_that_ends_soon_warns(openings: Openings, monkeypatch: pytest.MonkeyPatch) -> None:
    let_end(monkeypatch, "haiku-4.5", date(2027, 1, 2))

    with capture_logs() as lines:
        async with opening(settings(monkeypatch, IOPS_EXPLAINERS="bedrock")) as models:
            assert models.warnings == {"bedrock": "haiku-4.5 ends on 2027-01-02, in 40 days; change to haiku-5.5"}
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["model_ends_soon"]


@pytest.mark.parametrize(
    ("value", "names"),
    [("", ()), ("bedrock", ("bedrock",)), ("bedrock,openai", ("bedrock", "openai")), (" openai ,", ("openai",))],
)
def test_explainers_are_said_as_a_shell_says_them(
    monkeypatch: pytest.MonkeyPatch, value: str, names: tuple[str, ...]
) -> None:
    assert settings(monkeypatch, IOPS_EXPLAINERS=value, **OPENAI).explainers == names


@pytest.mark.parametrize("missing", ["IOPS_OPENAI_BASE_URL", "IOPS_OPENAI_MODEL"])
def test_openai_without_its_place_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    given = {name: value for name, value in OPENAI.items() if name != missing}

    with pytest.raises(ValidationError, match="needs IOPS_OPENAI_BASE_URL and IOPS_OPENAI_MODEL"):
        settings(monkeypatch, IOPS_EXPLAINERS="openai", **given)


def test_a_name_that_is_no_explainer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="explainers"):
        settings(monkeypatch, IOPS_EXPLAINERS="bedrock,gremlins")
