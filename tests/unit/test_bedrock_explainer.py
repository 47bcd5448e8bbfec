"""What Converse is asked, and what is made of what the SDK gives back or raises."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
)
from botocore.parsers import ResponseParserError

from services.insights.bedrock import BedrockExplainer, write_request
from services.insights.profiles import chosen
from services.insights.providers import Prompt, Provider, Reply, Unanswered

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROMPT = Prompt("You explain disks.", "What ails web-1?", "explain", "Explain it.", {"type": "object"})
CALL = {"toolUse": {"toolUseId": "1", "name": "explain", "input": {"risk_score": 7}}}


def an_answer(*blocks: Any, stop_reason: str = "tool_use") -> Any:
    return {
        "output": {"message": {"role": "assistant", "content": list(blocks or (CALL,))}},
        "stopReason": stop_reason,
        "usage": {"inputTokens": 1_000, "outputTokens": 300, "totalTokens": 1_300},
    }


@dataclass
class FakeClient:
    """Answers with, or raises, what it was given."""

    outcome: Any
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def converse(self, **request: Any) -> Any:
        self.asked.append(request)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def explainer(outcome: Any, name: str = "haiku-4.5", region: str = "us-east-1") -> Provider:
    choice = chosen(name, region, today=date(2026, 11, 23))
    return BedrockExplainer(FakeClient(outcome), choice, lambda: NOW)


async def ask(outcome: Any) -> Reply:
    return await explainer(outcome).ask(PROMPT, timeout_s=1)


async def fail(outcome: Any) -> Unanswered:
    with pytest.raises(Unanswered) as failure:
        await ask(outcome)
    return failure.value


def an_error(code: str, status: int) -> ClientError:
    metadata: Any = {"HTTPStatusCode": status, "HTTPHeaders": {"retry-after": "7"}}
    return ClientError({"Error": {"Code": code, "Message": "secret"}, "ResponseMetadata": metadata}, "Converse")


def test_a_model_is_forced_to_use_the_tool() -> None:
    request = write_request(PROMPT, chosen("haiku-4.5", "eu-west-1", today=date(2026, 11, 23)))
    assert request == {
        "modelId": "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        "system": [{"text": "You explain disks."}],
        "messages": [{"role": "user", "content": [{"text": "What ails web-1?"}]}],
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "explain",
                        "description": "Explain it.",
                        "inputSchema": {"json": {"type": "object"}},
                    }
                }
            ],
            "toolChoice": {"tool": {"name": "explain"}},
        },
        "inferenceConfig": {"maxTokens": 1_000, "temperature": 0.3},
    }


def test_a_model_that_refuses_force_is_offered_the_tool() -> None:
    request = write_request(PROMPT, chosen("sonnet-5.5", "eu-west-1", today=date(2026, 11, 23)))
    assert request["toolConfig"]["toolChoice"] == {"auto": {}}


async def test_thinking_and_talking_may_stand_beside_the_call() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}}
    reply = await ask(an_answer(thought, {"text": "Let me see."}, CALL, {"SDK_UNKNOWN_MEMBER": {"name": "new"}}))
    assert (reply.given, reply.fault) == ({"risk_score": 7}, None)


@pytest.mark.parametrize(
    ("stop_reason", "fault"),
    [
        ("max_tokens", "The answer was longer than it may be."),
        ("refusal", "The model refused to answer."),
        ("content_filtered", "A filter held the answer back."),
        ("guardrail_intervened", "A guardrail held the answer back."),
        ("<b>new</b>", "The answer was not finished."),
    ],
)
async def test_an_answer_that_was_stopped_is_a_fault_with_a_price(stop_reason: str, fault: str) -> None:
    reply = await ask(an_answer(stop_reason=stop_reason))
    assert (reply.given, reply.fault) == (None, fault)
    assert reply.cost_usd == pytest.approx(0.00275)


async def test_a_call_without_input_is_a_fault() -> None:
    reply = await ask(an_answer({"toolUse": {"toolUseId": "1", "name": "explain"}}))
    assert reply.fault == "The tool explain was called without input."


@pytest.mark.parametrize("missing", ["output", "stopReason", "usage"])
async def test_an_answer_that_is_not_whole_is_garbled(missing: str) -> None:
    answer = an_answer()
    del answer[missing]
    failure = await fail(answer)
    assert (failure.reason, failure.may_have_cost) == ("garbled", True)


@pytest.mark.parametrize(
    "error", [ResponseParserError("x"), AttributeError("x"), UnicodeDecodeError("u", b"", 0, 1, "")]
)
async def test_what_the_sdk_cannot_read_is_garbled(error: Exception) -> None:
    failure = await fail(error)
    assert (failure.reason, failure.is_passing, failure.may_have_cost) == ("garbled", False, True)


@pytest.mark.parametrize("code", ["ThrottlingException", "Throttling", "TooManyRequestsException"])
async def test_a_throttling_code_counts_whatever_its_status(code: str) -> None:
    failure = await fail(an_error(code, 400))
    assert (failure.reason, failure.is_passing, failure.retry_after_s) == ("throttled", True, 7)


async def test_a_hostile_code_is_told_short_and_escaped_and_the_message_not() -> None:
    failure = await fail(an_error("\x1b[31m\u202e" + "x" * 999, 400))
    assert failure.detail.startswith("\\x1b[31m\\u202exxx")
    assert len(failure.detail) == 80
    assert "secret" not in str(failure)


@pytest.mark.parametrize(
    ("error", "may_have_cost"),
    [
        (ConnectTimeoutError(endpoint_url="https://b"), False),
        (EndpointConnectionError(endpoint_url="https://b", error=aiohttp.ClientOSError(104, "reset")), True),
        (HTTPClientError(error="some"), True),
    ],
)
async def test_a_connection_that_broke_may_have_cost(error: BotoCoreError, may_have_cost: bool) -> None:
    failure = await fail(error)
    assert (failure.reason, failure.is_passing, failure.may_have_cost) == ("unreachable", True, may_have_cost)


async def test_without_credentials_nothing_is_asked_and_no_retry_helps() -> None:
    failure = await fail(NoCredentialsError())
    assert (str(failure), failure.is_passing, failure.may_have_cost) == ("failed: NoCredentialsError", False, False)


async def test_cancelling_is_no_failure_of_the_model() -> None:
    class Hanging:
        async def converse(self, **_: Any) -> Any:
            await asyncio.Event().wait()

    choice = chosen("haiku-4.5", "us-east-1", today=date(2026, 11, 23))
    asking = asyncio.create_task(BedrockExplainer(Hanging(), choice, lambda: NOW).ask(PROMPT, timeout_s=5))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_a_call_costs_at_most_its_prompt_and_the_longest_answer() -> None:
    # 18 and 16 characters, 7 + 1 + 11 + 1 + 18 of the tool, and 600: 625 tokens in, 1,000 out, a tenth more in the us
    assert explainer(None).most_usd(PROMPT) == pytest.approx((625 * 1 + 1_000 * 5) * 1.1 / 1e6)
