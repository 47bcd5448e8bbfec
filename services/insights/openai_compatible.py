"""A model behind chat completions, as local model servers and gateways speak it: one attempt under one deadline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from iops import clock
from iops.clock import Clock
from services.insights.profiles import TOKENS_PER_PRICE
from services.insights.providers import Prompt, Reply
from services.insights.replies import (
    PromptTokenCount,
    TokenCount,
    garbled,
    late,
    only_call,
    prompt_tokens,
    refused,
    retry_after_s,
    tokens_of,
    unreachable,
)

TIMEOUT: Final = httpx.Timeout(60, connect=3, pool=3)  # seconds, between two bytes; a call's own deadline comes first
CONNECTIONS: Final = httpx.Limits(max_connections=16, max_keepalive_connections=8)  # twice the calls at a time
ANSWER_LIMIT_BYTES: Final = 256 * 1024  # ten times what the tokens of an answer can fill
MAX_TOKENS: Final = 4_000  # of an answer; many local models think first
NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
FAULTS: Final[Mapping[str | None, str]] = {
    "length": "The answer was longer than it may be.",
    "content_filter": "A filter held the answer back.",
}


class OpenAICompatibleExplainer:
    """Asks one model at one base URL."""

    name: Final = "openai"

    def __init__(
        self,
        client: httpx.AsyncClient,
        model_id: str,
        now: Clock,
        *,
        usd_per_m_tokens_in: float = 0,
        usd_per_m_tokens_out: float = 0,
    ) -> None:
        """`client` has the base URL and knows the key."""
        self._client = client
        self._model_id = model_id
        self._now = now
        self._usd_per_m_tokens = (usd_per_m_tokens_in, usd_per_m_tokens_out)

    @property
    def model_id(self) -> str:
        """As the server calls it."""
        return self._model_id

    def most_usd(self, prompt: Prompt) -> float:
        """What one call may cost at most: every token of an answer that it is allowed."""
        return self._cost_usd(prompt_tokens(prompt), MAX_TOKENS)

    async def ask(self, prompt: Prompt, *, timeout_s: float) -> Reply:
        """One attempt. Raises Unanswered."""
        body = await self._complete(prompt, timeout_s)
        try:
            answer = _Completion.model_validate_json(body)
        except ValidationError as error:
            raise garbled(f"{error.error_count()} things in {len(body)} bytes are not as they should be") from error
        given, fault = _read(answer.choices[0], prompt)
        tokens_in, tokens_out = _used(answer, prompt, body)
        return Reply(given, fault, tokens_in, tokens_out, self._cost_usd(tokens_in, tokens_out))

    async def _complete(self, prompt: Prompt, timeout_s: float) -> bytes:
        request = json.dumps(write_request(prompt, self._model_id)).encode()  # escaped, so any string can travel
        try:
            async with (
                asyncio.timeout(timeout_s),  # a body that drips never meets the read time-out
                self._client.stream("POST", "chat/completions", content=request) as response,
            ):
                if not response.is_success:
                    wait_s = retry_after_s(response.headers.get("retry-after"), self._now())
                    raise refused(response.status_code, f"status {response.status_code}", wait_s=wait_s)
                return await _read_body(response)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise late(timeout_s) from error
        except httpx.TransportError as error:
            raise unreachable(error, was_sent=not isinstance(error, NEVER_SENT)) from error

    def _cost_usd(self, tokens_in: int, tokens_out: int) -> float:
        per_in, per_out = self._usd_per_m_tokens
        return (tokens_in * per_in + tokens_out * per_out) / TOKENS_PER_PRICE


@asynccontextmanager
async def open_openai_compatible(
    base_url: str,
    model_id: str,
    *,
    api_key: Callable[[], SecretStr | None] = lambda: None,
    usd_per_m_tokens_in: float = 0,
    usd_per_m_tokens_out: float = 0,
    now: Clock = clock.now,
) -> AsyncIterator[OpenAICompatibleExplainer]:
    """An explainer whose client lives as long as the context. `api_key` is asked before each call: it may change.

    It goes where it is sent and nowhere else: no redirects, which would carry the evidence to another host, no
    proxies and no passwords out of the environment.
    """
    async with httpx.AsyncClient(
        base_url=base_url,
        headers={"content-type": "application/json", "accept-encoding": "identity"},  # unpacked sizes have no bound
        auth=_Bearer(api_key),
        timeout=TIMEOUT,
        limits=CONNECTIONS,
        follow_redirects=False,
        trust_env=False,
    ) as client:
        prices = {"usd_per_m_tokens_in": usd_per_m_tokens_in, "usd_per_m_tokens_out": usd_per_m_tokens_out}
        yield OpenAICompatibleExplainer(client, model_id, now, **prices)


def write_request(prompt: Prompt, model_id: str) -> dict[str, Any]:
    """The body. "required" forces the one tool there is, and servers know it that refuse a tool by its name.

    No temperature: some models take none, and a local one has a default that suits it.
    """
    function = {
        "name": prompt.tool_name,
        "description": prompt.tool_description,
        "parameters": dict(prompt.schema),
    }
    return {
        "model": model_id,
        "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "required",
        "max_tokens": MAX_TOKENS,
    }


class _Bearer(httpx.Auth):
    """The key that holds when a request is sent."""

    def __init__(self, api_key: Callable[[], SecretStr | None]) -> None:
        self._api_key = api_key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """One header, and no second request."""
        if (key := self._api_key()) is not None:
            request.headers["authorization"] = f"Bearer {key.get_secret_value()}"
        yield request


class _Wire(BaseModel):
    """A part of a completion. Its errors quote nothing of what the model said."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)


class _Function(_Wire):
    name: str
    arguments: str  # JSON


class _ToolCall(_Wire):
    function: _Function


class _Message(_Wire):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(_Wire):
    message: _Message
    finish_reason: str | None = None


class _Usage(_Wire):
    prompt_tokens: PromptTokenCount
    completion_tokens: TokenCount


class _Completion(_Wire):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


async def _read_body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > ANSWER_LIMIT_BYTES:
            raise garbled(f"longer than {ANSWER_LIMIT_BYTES} bytes")
    return bytes(body)


def _read(choice: _Choice, prompt: Prompt) -> tuple[Any, str | None]:
    message = choice.message
    if fault := FAULTS.get(choice.finish_reason):
        return None, fault
    if message.refusal:
        return None, "The model refused to answer."
    if not message.tool_calls:
        return _read_text(message.content, prompt)
    calls = [(call.function.name, _parse(call.function.arguments)) for call in message.tool_calls]
    return only_call(calls, prompt)


def _read_text(content: str | None, prompt: Prompt) -> tuple[Any, str | None]:
    """Servers that know no tools let the model write the input down; that counts where it wrote nothing else."""
    written = _parse(content or "")
    return only_call([(prompt.tool_name, written)] if isinstance(written, dict) else [], prompt)


def _parse(text: str) -> Any:
    """None where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _used(answer: _Completion, prompt: Prompt, body: bytes) -> tuple[int, int]:
    """Many local servers count nothing; then it is estimated from the text, with all of the answer's frame."""
    if answer.usage is not None:
        return answer.usage.prompt_tokens, answer.usage.completion_tokens
    return prompt_tokens(prompt), tokens_of(body.decode(errors="replace"))
