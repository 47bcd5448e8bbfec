"""`python -m bench explain` on language models: real clients, and doubles that answer well or badly."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bench.ask import open_teller, settings_of
from bench.explain import measure, read_records
from services.insights.settings import InsightsSettings
from tests.doubles.bedrock import Bedrock, running_bedrock
from tests.doubles.chat import running_chat
from tests.doubles.scenario import Scenario, fail, invent_numbers, repeat_evidence
from tests.secret_documents import write_secrets

RECORDS = read_records()


@pytest.fixture
async def bedrock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bedrock]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    async with running_bedrock(Scenario(then=repeat_evidence())) as double:
        monkeypatch.setenv("IOPS_BEDROCK_ENDPOINT_URL", double.url)
        yield double


async def bench(settings: InsightsSettings, *, usd: float = 1.0, records: int = 1_000) -> dict[str, Any]:
    async with open_teller(settings, usd=usd) as tell:
        return await measure(RECORDS[:records], tell, time.perf_counter)


async def test_words_that_repeat_the_evidence_pass_every_check(bedrock: Bedrock) -> None:
    figures = await bench(settings_of("bedrock", None))

    assert figures["failures"] == []
    assert (figures["records"], figures["answered"], figures["objections"]) == (30, 30, [])
    assert (figures["tokens_in"], figures["tokens_out"]) == (30 * 1_200, 30 * 250)
    assert figures["cost_usd"] == pytest.approx(30 * 1.1 * (1_200 * 1e-6 + 250 * 5e-6))
    assert "haiku-4-5" in bedrock.calls[0].model_id


async def test_another_model_is_asked_where_it_is_named(bedrock: Bedrock) -> None:
    await bench(settings_of("bedrock", "haiku-5.5"), records=1)

    assert bedrock.calls[0].model_id == "us.anthropic.claude-haiku-5-5"


async def test_an_answer_is_objected_to_once_and_then_right(bedrock: Bedrock) -> None:
    bedrock.start_over(Scenario(invent_numbers(), then=repeat_evidence()))

    figures = await bench(settings_of("bedrock", None), records=2)

    assert (figures["answered"], figures["failures"], len(bedrock.calls)) == (2, [], 3)
    assert {objection["record"] for objection in figures["objections"]} == {RECORDS[0].name}
    assert "4242" in json.dumps(figures["objections"])


async def test_a_model_that_does_not_answer_fails_by_its_reason(bedrock: Bedrock) -> None:
    bedrock.start_over(Scenario(then=fail(400, "ValidationException")))

    figures = await bench(settings_of("bedrock", None), records=1)

    assert figures["failures"] == [{"record": RECORDS[0].name, "check": "answered", "why": "bedrock: refused"}]


async def test_no_more_money_is_spent_than_was_given(bedrock: Bedrock) -> None:
    figures = await bench(settings_of("bedrock", None), usd=0.02, records=10)

    assert 0 < figures["cost_usd"] <= 0.02
    assert figures["failures"][-1]["why"] == "bedrock: over_budget"


async def test_a_server_of_chat_completions_is_measured_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with running_chat(Scenario(then=repeat_evidence())) as double:
        monkeypatch.setenv("IOPS_SECRETS_FILE", str(write_secrets(tmp_path / "secrets.json")))
        monkeypatch.setenv("IOPS_OPENAI_BASE_URL", f"{double.url}/v1")

        figures = await bench(settings_of("openai", "some-model"), records=5)

    assert (figures["answered"], figures["failures"], figures["cost_usd"]) == (5, [], 0)
