"""A model behind Bedrock's Converse: one attempt under one deadline, and an answer that is read with care."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's, of all that comes before a request is sent
    ConnectTimeoutError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from iops import clock
from iops.aws import open_client
from iops.clock import Clock
from iops.settings import ServiceSettings
from services.insights.profiles import Choice
from services.insights.providers import Prompt, Reply, Unanswered
from services.insights.replies import (
    PromptTokenCount,
    TokenCount,
    garbled,
    late,
    only_call,
    prompt_tokens,
    refused,
    retry_after_s,
    unreachable,
)

READ_TIMEOUT_S: Final = 60.0  # between two bytes; a call's own deadline comes first
DETAIL_LIMIT: Final = 80  # characters of an error's code, which is somebody else's text
THROTTLED_CODES: Final = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException"})  # also as a 400

# What botocore's parser does with JSON of another shape, or with what is no UTF-8. The request has been sent by then.
MISSHAPEN: Final = (ResponseParserError, ValueError, TypeError, AttributeError, KeyError, RecursionError)

FINISHED: Final = frozenset({"tool_use", "end_turn", "stop_sequence"})
FAULTS: Final[Mapping[str, str]] = {
    "max_tokens": "The answer was longer than it may be.",
    "model_context_window_exceeded": "The answer was longer than it may be.",
    "refusal": "The model refused to answer.",
    "content_filtered": "A filter held the answer back.",
    "guardrail_intervened": "A guardrail held the answer back.",
}


class BedrockExplainer:
    """Asks one model in one region."""

    name: Final = "bedrock"

    def __init__(self, client: Any, choice: Choice, now: Clock) -> None:
        """`client` makes one attempt per call."""
        self._client = client
        self._choice = choice
        self._now = now

    @property
    def model_id(self) -> str:
        """With its region prefix."""
        return self._choice.model_id

    def most_usd(self, prompt: Prompt) -> float:
        """What one call may cost at most: every token of an answer that it is allowed."""
        return self._choice.cost_usd(prompt_tokens(prompt), self._choice.profile.max_tokens)

    async def ask(self, prompt: Prompt, *, timeout_s: float) -> Reply:
        """One attempt. Raises Unanswered."""
        said = await self._converse(prompt, timeout_s)
        try:
            answer = _Answer.model_validate(said)
        except ValidationError as error:
            raise garbled(f"{error.error_count()} things in the answer are not as they should be") from error
        given, fault = _read(answer, prompt)
        tokens_in, tokens_out = answer.usage.input_tokens, answer.usage.output_tokens
        return Reply(given, fault, tokens_in, tokens_out, self._choice.cost_usd(tokens_in, tokens_out))

    async def _converse(self, prompt: Prompt, timeout_s: float) -> Any:
        request = write_request(prompt, self._choice)
        try:
            async with asyncio.timeout(timeout_s):  # a body that drips never meets the read time-out
                return await self._client.converse(**request)
        except ClientError as error:
            raise self._refused(error) from error
        except (TimeoutError, ReadTimeoutError) as error:
            raise late(timeout_s) from error
        except (ConnectionError, HTTPClientError) as error:
            raise unreachable(error, was_sent=not _had_no_connection(error)) from error
        except BotoCoreError as error:  # nothing was sent: no credentials, mostly
            raise Unanswered("failed", type(error).__name__) from error
        except MISSHAPEN as error:
            raise garbled(f"{type(error).__name__} while reading the answer") from error

    def _refused(self, error: ClientError) -> Unanswered:
        metadata = error.response["ResponseMetadata"]
        code = error.response["Error"]["Code"]
        status = 429 if code in THROTTLED_CODES else metadata["HTTPStatusCode"]
        wait_s = retry_after_s(metadata["HTTPHeaders"].get("retry-after"), self._now())
        return refused(status, ascii(code)[1:-1][:DETAIL_LIMIT], wait_s=wait_s)


@asynccontextmanager
async def open_bedrock(
    settings: ServiceSettings, choice: Choice, endpoint_url: str | None, *, now: Clock = clock.now
) -> AsyncIterator[BedrockExplainer]:
    """An explainer whose client lives as long as the context; without `endpoint_url` it asks where AWS is set to be."""
    opening = open_client("bedrock-runtime", settings, endpoint_url=endpoint_url, read_timeout_s=READ_TIMEOUT_S)
    async with opening as client:
        yield BedrockExplainer(client, choice, now)


def write_request(prompt: Prompt, choice: Choice) -> dict[str, Any]:
    """Converse's arguments. A model that refuses to be forced is only offered the tool."""
    spec = {
        "name": prompt.tool_name,
        "description": prompt.tool_description,
        "inputSchema": {"json": dict(prompt.schema)},
    }
    how = {"tool": {"name": prompt.tool_name}} if choice.profile.accepts_forced_tool else {"auto": {}}
    return {
        "modelId": choice.model_id,
        "system": [{"text": prompt.system}],
        "messages": [{"role": "user", "content": [{"text": prompt.user}]}],
        "toolConfig": {"tools": [{"toolSpec": spec}], "toolChoice": how},
        "inferenceConfig": dict(choice.inference_config),
    }


class _Wire(BaseModel):
    """A part of Converse's answer. Its errors quote nothing of what the model said."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True, hide_input_in_errors=True)


class _ToolUse(_Wire):
    name: str
    input: Any = None


class _Block(_Wire):
    tool_use: _ToolUse | None = None  # None: text, or reasoning, which models that think put first


class _Message(_Wire):
    content: list[_Block]


class _Output(_Wire):
    message: _Message


class _Usage(_Wire):
    input_tokens: PromptTokenCount
    output_tokens: TokenCount


class _Answer(_Wire):
    """Whole, or it is none: the SDK makes an empty dict of a body that is not JSON."""

    output: _Output
    stop_reason: str
    usage: _Usage


def _read(answer: _Answer, prompt: Prompt) -> tuple[Any, str | None]:
    if answer.stop_reason not in FINISHED:
        return None, FAULTS.get(answer.stop_reason, "The answer was not finished.")
    used = [block.tool_use for block in answer.output.message.content if block.tool_use is not None]
    return only_call([(use.name, use.input) for use in used], prompt)


def _had_no_connection(error: BotoCoreError) -> bool:
    """The SDK calls a connection that was reset by the same name as one that could not be made."""
    if isinstance(error, ConnectTimeoutError | SSLError | ProxyConnectionError):
        return True
    return isinstance(error.kwargs.get("error"), aiohttp.ClientConnectorError)
