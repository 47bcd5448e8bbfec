"""Both providers through their real clients, against models that are well, slow, full, broken or lying."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import pytest
import pytest_asyncio
from pydantic import SecretStr

from iops.settings import ServiceSettings
from services.insights.bedrock import open_bedrock
from services.insights.model_secrets import ModelSecrets
from services.insights.openai_compatible import open_openai_compatible
from services.insights.profiles import chosen
from services.insights.providers import Prompt, Provider, Reply, Unanswered
from tests.doubles import chat, scenario
from tests.doubles.bedrock import Bedrock, running_bedrock
from tests.doubles.scenario import WORDS, Scenario, Step
from tests.integration.stand_ins import wait_until
from tests.secret_documents import a_secret

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
TIMEOUT_S: Final = 0.3
PATIENCE_S: Final = 30.0  # of a call that is answered, on a machine that does much else
SLACK_S: Final = 0.2
PROMPT: Final = Prompt("You explain disks.", "What ails web-1?", "explain", "Explain it.", {"type": "object"})
KEY: Final = SecretStr("sk-not-to-be-seen")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Asked:
    """A provider, and the double that it asks."""

    double: Bedrock
    provider: Provider

    async def ask(self, *steps: Step, timeout_s: float = PATIENCE_S) -> Reply:
        if steps:
            self.double.scenario = Scenario(*steps)
        return await self.provider.ask(PROMPT, timeout_s=timeout_s)

    async def fail(self, step: Step, *, timeout_s: float = PATIENCE_S) -> Unanswered:
        with pytest.raises(Unanswered) as failure:
            await self.ask(step, timeout_s=timeout_s)
        return failure.value


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["bedrock", "openai"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    if request.param == "bedrock":
        choice = chosen("haiku-4.5", "us-east-1", today=NOW.date())
        async with (
            running_bedrock() as double,
            open_bedrock(ServiceSettings(), choice, double.url, now=lambda: NOW) as explainer,
        ):
            yield Asked(double, explainer)
        return
    prices = {"usd_per_m_tokens_in": 1.1, "usd_per_m_tokens_out": 5.5}
    async with (
        chat.running_chat() as double,
        open_openai_compatible(
            f"{double.url}/v1", "local-model", api_key=lambda: KEY, now=lambda: NOW, **prices
        ) as compatible,
    ):
        yield Asked(double, compatible)


@pytest.fixture
def asked(opened: Asked) -> Asked:
    opened.double.start_over()
    return opened


async def test_a_right_answer_is_the_tools_input_and_its_price(asked: Asked) -> None:
    reply = await asked.ask()
    assert (reply.given, reply.fault) == (WORDS, None)
    assert (reply.tokens_in, reply.tokens_out) == (1_200, 250)
    assert reply.cost_usd == pytest.approx(0.002695)  # 1,200 x $1.10 + 250 x $5.50, a million
    assert reply.cost_usd < asked.provider.most_usd(PROMPT)
    assert len(asked.double.calls) == 1


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (scenario.talk(), "The tool explain was not called."),
        (scenario.call_twice(), "2 calls were made instead of one."),
        (scenario.call_unknown_tool(), "A tool was called that there is not; the only one is explain."),
        (scenario.stop_early(), "The answer was longer than it may be."),
        (scenario.say_fields(None), "The tool explain was called without input."),
    ],
)
async def test_an_answer_that_is_no_call_of_the_tool_has_its_price_too(asked: Asked, step: Step, fault: str) -> None:
    reply = await asked.ask(step)
    assert (reply.given, reply.fault) == (None, fault)
    assert reply.cost_usd == pytest.approx(0.002695)


async def test_what_a_model_says_is_handed_on_unchecked(asked: Asked) -> None:
    assert (await asked.ask(scenario.think_first())).given == WORDS
    assert (await asked.ask(scenario.say_fields([1, None]))).given == [1, None]
    assert (await asked.ask(scenario.say(risk_score=900, confidence="high"))).given["confidence"] == "high"
    assert "4242 ms" in (await asked.ask(scenario.invent_numbers())).given["explanation"]
    assert (await asked.ask(scenario.echo())).given["explanation"] == PROMPT.user
    assert (await asked.ask(scenario.say(explanation=scenario.MARKUP))).given["explanation"] == scenario.MARKUP
    assert len((await asked.ask(scenario.say(explanation=scenario.LONG_TEXT))).given["explanation"]) == 40_960


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (scenario.throttle(), ("throttled", True, None)),
        (scenario.throttle(retry_after_s=7), ("throttled", True, 7.0)),
        (scenario.fail(429, "ModelNotReadyException"), ("throttled", True, None)),
        (scenario.fail(408, "ModelTimeoutException"), ("timed_out", True, None)),
        (scenario.fail(500), ("failed", True, None)),
        (scenario.fail(503, "ServiceUnavailableException"), ("failed", True, None)),
        (scenario.send_page(502), ("failed", True, None)),
        (scenario.send_page(302), ("refused", False, None)),
        (scenario.fail(400, "ValidationException"), ("refused", False, None)),
        (scenario.fail(401, "UnrecognizedClientException"), ("refused", False, None)),
        (scenario.fail(403, "AccessDeniedException"), ("refused", False, None)),
        (scenario.fail(404, "ResourceNotFoundException"), ("refused", False, None)),
        (scenario.fail(424, "ModelErrorException"), ("refused", False, None)),
    ],
)
async def test_an_error_says_whether_to_come_again_and_costs_nothing(
    asked: Asked, step: Step, told: tuple[str, bool, float | None]
) -> None:
    failure = await asked.fail(step)
    assert (failure.reason, failure.is_passing, failure.retry_after_s) == told
    assert not failure.may_have_cost
    assert len(asked.double.calls) == 1  # none that a client made by itself


async def test_a_date_to_come_again_is_told_in_seconds(asked: Asked) -> None:
    later = {"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}
    failure = await asked.fail(lambda _: scenario.error(503, "ServiceUnavailableException", "", later))
    assert failure.retry_after_s == 30


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"output": 7, "choices": 7}',
        b"[" * 100_000,
        b'{"choices": []}',
        b" " * 300_000,
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_an_answer_that_cannot_be_read_may_have_cost(asked: Asked, body: bytes) -> None:
    failure = await asked.fail(lambda _: scenario.Reply(body))
    assert (failure.reason, failure.is_passing, failure.may_have_cost) == ("garbled", False, True)


@pytest.mark.parametrize("tokens_in", [-1, 10**12, "many", None])
async def test_tokens_that_cannot_be_are_not_believed(asked: Asked, tokens_in: Any) -> None:
    def count(call: scenario.Call) -> scenario.Reply:
        whole = json.loads(scenario.say()(call).body)
        whole["usage"]["inputTokens"] = tokens_in
        return scenario.Reply(json.dumps(whole).encode())

    assert (await asked.fail(count)).reason == "garbled"


async def test_malformed_json_is_garbled(asked: Asked) -> None:
    assert (await asked.fail(scenario.send_malformed())).reason == "garbled"


async def test_a_body_that_is_cut_may_be_asked_again_and_may_have_cost(asked: Asked) -> None:
    failure = await asked.fail(scenario.cut())
    assert (failure.reason, failure.is_passing, failure.may_have_cost) == ("unreachable", True, True)
    assert (await asked.ask()).given == WORDS


@pytest.mark.parametrize("step", [scenario.hang(), scenario.drip(TIMEOUT_S / 4, pieces=200)], ids=["hang", "drip"])
async def test_the_deadline_holds_and_the_model_is_left(asked: Asked, step: Step) -> None:
    begin_s = time.monotonic()
    failure = await asked.fail(step, timeout_s=TIMEOUT_S)
    assert time.monotonic() - begin_s < TIMEOUT_S + SLACK_S
    assert (failure.reason, failure.is_passing, failure.may_have_cost) == ("timed_out", True, True)
    await wait_until(lambda: (asked.double.abandoned, asked.double.under_way) == (1, 0))
    assert (await asked.ask()).given == WORDS


async def test_cancelling_goes_through_and_leaves_the_model(asked: Asked) -> None:
    asking = asyncio.create_task(asked.ask(scenario.hang()))
    await wait_until(lambda: asked.double.under_way == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await wait_until(lambda: (asked.double.abandoned, asked.double.under_way) == (1, 0))


async def test_eight_are_asked_at_once_again_and_again(asked: Asked) -> None:
    for _ in range(3):  # after calls that hang, the connections are there again
        asked.double.scenario = Scenario(then=scenario.hang())
        hung = await asyncio.gather(*(asked.ask(timeout_s=TIMEOUT_S) for _ in range(8)), return_exceptions=True)
        assert {getattr(failure, "reason", None) for failure in hung} == {"timed_out"}
    await wait_until(lambda: asked.double.under_way == 0)
    asked.double.start_over(Scenario(then=scenario.late(TIMEOUT_S)))
    replies = await asyncio.gather(*(asked.ask() for _ in range(8)))
    assert [reply.given for reply in replies] == [WORDS] * 8
    assert asked.double.most_under_way == 8


@pytest.mark.parametrize("name", ["haiku-4.5", "haiku-5.5", "sonnet-5.5"])
async def test_each_profile_is_asked_as_its_model_wants_it(name: str) -> None:
    choice = chosen(name, "us-east-1", today=date(2026, 11, 23))
    async with running_bedrock() as double, open_bedrock(ServiceSettings(), choice, double.url) as explainer:
        assert (await explainer.ask(PROMPT, timeout_s=PATIENCE_S)).given == WORDS


async def test_where_nobody_listens_nothing_was_spent() -> None:
    nowhere = "http://127.0.0.1:1"
    choice = chosen("haiku-4.5", "us-east-1", today=NOW.date())
    async with (
        open_bedrock(ServiceSettings(), choice, nowhere) as one,
        open_openai_compatible(nowhere, "local-model") as other,
    ):
        explainers: tuple[Provider, ...] = (one, other)
        for explainer in explainers:
            with pytest.raises(Unanswered) as failure:
                await explainer.ask(PROMPT, timeout_s=PATIENCE_S)
            told = failure.value
            assert (told.reason, told.is_passing, told.may_have_cost) == ("unreachable", True, False)
    gc.collect()  # where a client had been left open, this would warn, which is an error here


async def test_the_key_travels_in_its_header_only_and_the_next_call_has_the_rotated_one() -> None:
    secrets = a_secret(ModelSecrets(openai_api_key=KEY))
    async with (
        chat.running_chat() as double,
        open_openai_compatible(f"{double.url}/v1", "m", api_key=lambda: secrets.current.openai_api_key) as explainer,
    ):
        await explainer.ask(PROMPT, timeout_s=PATIENCE_S)
        for secrets.current in (ModelSecrets(openai_api_key=SecretStr("sk-rotated")), ModelSecrets()):
            await explainer.ask(PROMPT, timeout_s=PATIENCE_S)
        first, *later = double.calls
    assert first.headers["authorization"] == "Bearer sk-not-to-be-seen"
    assert [call.headers.get("authorization") for call in later] == ["Bearer sk-rotated", None]
    assert "sk-not" not in repr(vars(explainer)) + json.dumps(dict(first.body))


async def test_a_redirect_is_not_followed() -> None:
    there = scenario.Reply(b"", 307, {"location": chat.PATH})
    async with (
        chat.running_chat(Scenario(lambda _: there)) as double,
        open_openai_compatible(f"{double.url}/v1", "m") as explainer,
    ):
        with pytest.raises(Unanswered, match="refused: status 307"):
            await explainer.ask(PROMPT, timeout_s=PATIENCE_S)
    assert len(double.calls) == 1
