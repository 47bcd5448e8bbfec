"""What chat completions is asked, and what is made of the dialects that servers answer in."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.insights.openai_compatible import OpenAICompatibleExplainer, write_request
from services.insights.providers import Prompt, Reply, Unanswered

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROMPT = Prompt("You explain disks.", "What ails web-1?", "explain", "Explain it.", {"type": "object"})
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 300}
Handler = Callable[[httpx.Request], httpx.Response]


def a_call(arguments: Any = '{"risk_score": 7}', name: str = "explain") -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


def an_answer(message: Any, finish_reason: str | None = "stop", usage: Any = USAGE) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish_reason}], "usage": usage}


def answered(answer: Any) -> httpx.Response:
    """As a stream, which a plain response of httpx's is not."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return httpx.Response(200, stream=httpx.ByteStream(body))


async def ask_through(handler: Handler, prompt: Prompt = PROMPT) -> Reply:
    async with httpx.AsyncClient(base_url="http://model/v1", transport=httpx.MockTransport(handler)) as client:
        explainer = OpenAICompatibleExplainer(
            client, "local-model", lambda: NOW, usd_per_m_tokens_in=1, usd_per_m_tokens_out=5
        )
        return await explainer.ask(prompt, timeout_s=1)


async def ask(answer: Any) -> Reply:
    return await ask_through(lambda _: answered(answer))


async def fail(handler: Handler) -> Unanswered:
    with pytest.raises(Unanswered) as failure:
        await ask_through(handler)
    return failure.value


def test_the_one_tool_is_forced() -> None:
    assert write_request(PROMPT, "local-model") == {
        "model": "local-model",
        "messages": [
            {"role": "system", "content": "You explain disks."},
            {"role": "user", "content": "What ails web-1?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "explain", "description": "Explain it.", "parameters": {"type": "object"}},
            }
        ],
        "tool_choice": "required",
        "max_tokens": 4_000,
    }


async def test_half_a_character_in_a_prompt_travels() -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["messages"][1]["content"] == "\ud800"
        return answered(an_answer({"tool_calls": [a_call()]}))

    assert (await ask_through(echo, Prompt("", "\ud800", "explain", "", {}))).fault is None


@pytest.mark.parametrize("finish_reason", ["tool_calls", "stop", "", None])
async def test_a_call_counts_however_the_server_says_it_ended(finish_reason: str | None) -> None:
    reply = await ask(an_answer({"content": None, "tool_calls": [a_call()]}, finish_reason))
    assert (reply.given, reply.fault) == ({"risk_score": 7}, None)
    assert reply.cost_usd == pytest.approx(0.0025)


async def test_a_server_without_tools_may_write_the_object_down() -> None:
    assert (await ask(an_answer({"content": ' {"risk_score": 7}\n'}))).given == {"risk_score": 7}


@pytest.mark.parametrize(
    "content", ['Here: {"risk_score": 7}', '{"risk_score": 7}{"risk_score": 8}', "[7]", "7", "", "[" * 5_000, None]
)
async def test_anything_beside_one_object_is_no_call(content: str | None) -> None:
    assert (await ask(an_answer({"content": content}))).fault == "The tool explain was not called."


@pytest.mark.parametrize("arguments", ["{", "", "null", "[" * 5_000, "9" * 5_000])
async def test_arguments_that_are_no_json_are_a_fault(arguments: str) -> None:
    reply = await ask(an_answer({"tool_calls": [a_call(arguments)]}))
    assert (reply.given, reply.fault) == (None, "The tool explain was called without input.")


@pytest.mark.parametrize(
    ("message", "finish_reason", "fault"),
    [
        ({"tool_calls": [a_call()]}, "length", "The answer was longer than it may be."),
        ({"content": ""}, "content_filter", "A filter held the answer back."),
        ({"refusal": "I will not."}, "stop", "The model refused to answer."),
    ],
)
async def test_an_answer_that_was_stopped_is_a_fault(message: Any, finish_reason: str, fault: str) -> None:
    reply = await ask(an_answer(message, finish_reason))
    assert (reply.given, reply.fault, reply.tokens_out) == (None, fault, 300)


async def test_tokens_that_nobody_counted_are_estimated() -> None:
    reply = await ask(an_answer({"tool_calls": [a_call()]}, usage=None))
    assert reply.tokens_in == 625
    assert 30 < reply.tokens_out < 90


@pytest.mark.parametrize("tokens", [-1, 1.5, "1200", True, None, 10**30])
async def test_tokens_that_cannot_be_are_garbled(tokens: Any) -> None:
    answer = an_answer({"tool_calls": [a_call()]}, usage={"prompt_tokens": tokens, "completion_tokens": 1})
    failure = await fail(lambda _: answered(answer))
    assert (failure.reason, failure.may_have_cost) == ("garbled", True)


async def test_an_endless_body_is_not_read_to_its_end() -> None:
    failure = await fail(lambda _: answered(b" " * 300_000))
    assert str(failure) == "garbled: longer than 262144 bytes"


async def test_an_error_of_the_answers_shape_quotes_nothing_of_it() -> None:
    failure = await fail(lambda _: answered(an_answer({"content": {"secret": 1}})))
    assert "secret" not in f"{failure} {failure.__cause__}"


async def test_a_redirect_is_refused_and_not_followed() -> None:
    asked: list[str] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"location": "http://elsewhere/"})

    failure = await fail(elsewhere)
    assert (failure.reason, failure.is_passing, asked) == ("refused", False, ["model"])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (httpx.ConnectError("x"), ("unreachable", True, False)),
        (httpx.ConnectTimeout("x"), ("unreachable", True, False)),
        (httpx.PoolTimeout("x"), ("unreachable", True, False)),
        (httpx.UnsupportedProtocol("x"), ("unreachable", True, False)),
        (httpx.ReadError("x"), ("unreachable", True, True)),
        (httpx.RemoteProtocolError("x"), ("unreachable", True, True)),
        (httpx.ReadTimeout("x"), ("timed_out", True, True)),
    ],
)
async def test_a_transport_that_fails_is_named(error: httpx.TransportError, told: tuple[str, bool, bool]) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise error

    failure = await fail(broken)
    assert (failure.reason, failure.is_passing, failure.may_have_cost) == told
