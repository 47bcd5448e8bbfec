"""A server that speaks chat completions, driven by the scenario of the Bedrock double: the same steps, another wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from starlette.types import Scope

from tests.doubles.bedrock import Bedrock, serving
from tests.doubles.scenario import Call, Reply, Scenario

PATH: Final = "/v1/chat/completions"
FINISH_REASONS: Final[Mapping[str, str]] = {"tool_use": "tool_calls", "end_turn": "stop", "max_tokens": "length"}


class Chat(Bedrock):
    """The double; a call is kept as the Converse request that would have asked the same."""

    def _reply_to(self, scope: Scope, body: bytes) -> Reply:
        if (scope["method"], scope["path"]) != ("POST", PATH):
            return _error(404, "The double knows nothing but chat completions.")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        try:
            call = _to_call(json.loads(body), headers)
        except (ValueError, KeyError, TypeError):
            return _error(400, "The body is no chat completion.")
        self.calls.append(call)
        return _to_chat(self.scenario.reply_to(call))


@asynccontextmanager
async def running_chat(scenario: Scenario | None = None) -> AsyncIterator[Chat]:
    """The double in a uvicorn of its own; its base URL is `url` and /v1."""
    chat = Chat(scenario)
    async with serving(chat):
        yield chat


def completion(message: Mapping[str, Any], finish_reason: str | None = "stop", *, usage: Any = None) -> Reply:
    """An answer with exactly this message; servers that count nothing give no usage."""
    answer = {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    answer["choices"][0]["finish_reason"] = finish_reason  # type: ignore[index]
    return Reply(json.dumps(answer if usage is None else {**answer, "usage": usage}).encode())


def _to_call(asked: dict[str, Any], headers: Mapping[str, str]) -> Call:
    system, user = (message["content"] for message in asked["messages"])
    tools = [{"toolSpec": {"name": tool["function"]["name"]}} for tool in asked["tools"]]
    body = {
        "system": [{"text": system}],
        "messages": [{"role": "user", "content": [{"text": user}]}],
        "toolConfig": {"tools": tools, "toolChoice": asked["tool_choice"]},
        "inferenceConfig": {"maxTokens": asked["max_tokens"]},
    }
    return Call(asked["model"], body, headers)


def _to_chat(reply: Reply) -> Reply:
    """What is no answer of Converse's goes as it is."""
    if reply.status >= 400 and b'"__type"' in reply.body:
        return replace(_error(reply.status, "It did not work."), headers=_kept(reply))
    try:
        said = json.loads(reply.body)
        usage = said["usage"]
        counted = {"prompt_tokens": usage["inputTokens"], "completion_tokens": usage["outputTokens"]}
        message = _message(said["output"]["message"]["content"])
        finish_reason = FINISH_REASONS.get(said["stopReason"], "content_filter")
    except (ValueError, KeyError, TypeError, RecursionError):
        return reply
    return replace(reply, body=completion(message, finish_reason, usage=counted).body)


def _message(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    texts = [block["text"] for block in blocks if "text" in block]
    uses = [block["toolUse"] for block in blocks if "toolUse" in block]
    calls = [
        {
            "id": use["toolUseId"],
            "type": "function",
            "function": {"name": use["name"], "arguments": json.dumps(use["input"])},
        }
        for use in uses
    ]
    message = {"role": "assistant", "content": "\n".join(texts) or None}
    return {**message, "tool_calls": calls} if calls else message


def _error(status: int, text: str) -> Reply:
    return Reply(json.dumps({"error": {"message": text, "type": "server_error"}}).encode(), status)


def _kept(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name == "retry-after"}
