"""What the server answers to a question, or why it did not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Final, Self, TypeAlias

import httpx

from cli.credentials import KEY_BEGINNING, credential_for
from cli.outcome import CommandFailed, Misused, Refused, Unreachable

Row: TypeAlias = dict[str, object]

ANSWER_TIMEOUT_S: Final = 15.0  # a busy laptop may take a while to list
CONNECT_TIMEOUT_S: Final = 3.0
PAGE_LIMIT: Final = 100  # items the server gives at once
PAGES_LIMIT: Final = 1_000  # asked for one list, whatever a server answers
RETRY_AFTER_S: Final = 2.0  # when a busy server does not say
RETRY_AFTER_LEAST_S: Final = 0.5
RETRY_AFTER_MOST_S: Final = 30.0
# What a service that works says to an empty body: it is none, or its sender sends no telemetry.
WORKING: Final = (httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN, httpx.codes.UNPROCESSABLE_ENTITY)
NEXT_STEPS: Final[Mapping[int, str]] = {
    httpx.codes.UNAUTHORIZED: "`iops login` signs you in; or put an API key into IOPS_API_KEY or IOPS_API_KEY_FILE",
    httpx.codes.FORBIDDEN: "an admin can give you the role, or a key that has it (`iops keys create`)",
}
BUSY: Final = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
PATIENCE_S: Final = 60.0  # waiting altogether for a server that is busy or away, per request

# A proxy from the environment is for the outside; this machine itself is never behind it.
DIRECT: Final[dict[str, httpx.AsyncBaseTransport | None]] = {"all://127.0.0.1": None, "all://localhost": None}

Transport: TypeAlias = httpx.AsyncBaseTransport
Sleep: TypeAlias = Callable[[float], Awaitable[None]]


class Server:
    """A connection to the product behind its one address."""

    def __init__(
        self,
        url: str,
        *,
        transport: Transport | None = None,
        sleep: Sleep = asyncio.sleep,
        timeout_s: float = ANSWER_TIMEOUT_S,
        credential_for: Callable[[str], str | None] = credential_for,
    ) -> None:
        """Raises Misused for what is no URL, Refused where the credential's file cannot be used."""
        self._url = _checked_url(url)
        self._sleep = sleep
        self._client = httpx.AsyncClient(  # it follows no redirects: what it proves itself with goes nowhere else
            base_url=url,
            headers=_proof(credential_for(url)),
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=transport,
            mounts=DIRECT,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def read(self, path: str) -> Row | None:
        """One thing; None when there is no such thing."""
        response = await self._send(self._client.build_request("GET", path))
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return _row(response)

    async def read_items(self, path: str, *, limit: int, **params: str) -> list[Row]:
        """The first `limit` items of a list, over as many pages as that takes."""
        items: list[Row] = []
        cursor: str | None = None
        for _ in range(PAGES_LIMIT):
            query = {**params, "limit": str(min(PAGE_LIMIT, limit - len(items)))}
            response = await self._send(
                self._client.build_request("GET", path, params=query | ({"cursor": cursor} if cursor else {}))
            )
            page = _row(response)
            found, after = page.get("items"), page.get("cursor")
            if not isinstance(found, list):
                raise Refused(f"{path} answered something that is no list")
            items += [item for item in found if isinstance(item, dict)]
            if len(items) >= limit or not isinstance(after, str) or after == cursor:
                break  # a page without items may have a cursor: what is rare lies behind what is not asked for
            cursor = after
        return items[:limit]

    async def post_json(self, path: str, body: Row) -> Row:
        """What the server made of a body."""
        content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        return _row(await self._send(self._client.build_request("POST", path, content=content, headers=headers)))

    async def delete(self, path: str) -> Row:
        """What the server says of what it ended."""
        return _row(await self._send(self._client.build_request("DELETE", path)))

    async def probe(self, path: str) -> None:
        """Sends nothing: a service that refuses that for what it is works. Raises Refused where it does not."""
        response = await self._send(
            self._client.build_request("POST", path, content=b"", headers={"Content-Type": "application/json"})
        )
        if response.status_code not in WORKING:
            raise Refused(_detail(response))

    async def post_gzip(self, path: str, body: bytes) -> None:
        """A packed body, sent again while the server is busy or away; a batch sent twice is stored once."""
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        await self._insist(self._client.build_request("POST", path, content=body, headers=headers))

    async def read_patiently(self, path: str, **params: str) -> Row:
        """One thing, asked for again while the server is busy or away."""
        return await self._insist(self._client.build_request("GET", path, params=params))

    async def _insist(self, request: httpx.Request) -> Row:
        waited_s = 0.0
        while True:
            try:
                response = await self._send(request)
                if response.status_code not in BUSY:
                    return _row(response)
                delay_s = retry_delay_s(response.headers.get("Retry-After"))
                failure: CommandFailed = Refused(f"{request.url.path} is busy: {_detail(response)}")
            except Unreachable as error:
                delay_s, failure = RETRY_AFTER_S, error
            if waited_s + delay_s > PATIENCE_S:
                raise failure
            await self._sleep(delay_s)
            waited_s += delay_s

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._client.send(request)
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"{self._url} does not answer ({reason}); is it running? `iops up` starts it") from error


def retry_delay_s(header: str | None) -> float:
    """What a Retry-After header asks for, within reason.

    >>> retry_delay_s("5"), retry_delay_s(None), retry_delay_s("86400"), retry_delay_s("tomorrow")
    (5.0, 2.0, 30.0, 2.0)
    """
    if header is None or not header.isascii() or not header.isdigit():
        return RETRY_AFTER_S
    return max(RETRY_AFTER_LEAST_S, min(float(header), RETRY_AFTER_MOST_S))


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Misused(f"--url {url} is no URL: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Misused(f"--url {url} must be like http://127.0.0.1:8080")
    return url


def _row(response: httpx.Response) -> Row:
    body = _json(response)
    if not response.is_success:
        code = body.get("code") if isinstance(body, dict) else None
        raise Refused(_detail(response), code=code if isinstance(code, str) else None)
    if not isinstance(body, dict):
        raise Refused(f"{response.url.path} answered something that is no JSON object")
    return body


def _detail(response: httpx.Response) -> str:
    body = _json(response)
    detail = body.get("detail") if isinstance(body, dict) else None
    said = detail if isinstance(detail, str) and detail else f"{response.url.path} answered {response.status_code}"
    next_step = NEXT_STEPS.get(response.status_code)
    return f"{said}. {next_step}" if next_step else said


def _proof(credential: str | None) -> dict[str, str]:
    if credential is None:
        return {}
    return (
        {"X-API-Key": credential} if credential.startswith(KEY_BEGINNING) else {"Authorization": f"Bearer {credential}"}
    )


def _json(response: httpx.Response) -> object:
    try:
        body: object = response.json()
    except ValueError:
        return None
    return body
