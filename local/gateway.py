"""One address before the three services, with the path rules of the load balancer."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import httpx
import structlog
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from iops.contract import service_for_path
from iops.errors import BodyTooLarge, IopsError, MalformedBody, NotFound, SlowBody, Unavailable
from iops.headers import AnswerHeaders
from iops.observability import configure_logging
from iops.serve import serve
from iops.settings import ServiceSettings

BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024  # above the services' own limit, so that theirs answers first
BODY_TIMEOUT_S: Final = 12.0  # for a whole body; httpx does not look for ingest's own 408, after 10 s, before it ends
CONNECTIONS: Final = 128  # to each service, so that a slow one keeps nobody from the others
IDLE_CONNECTION_S: Final = 3.0  # below uvicorn's 5 s, or we would write into connections it is closing
TIMEOUT: Final = httpx.Timeout(connect=2.0, write=10.0, read=30.0, pool=5.0)

# They speak of one connection, not of the message (RFC 9110, 7.6.1).
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What we say ourselves; `expect` was answered by our own server.
REPLACED: Final = frozenset({b"expect", b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})

EVENTS: Final = "text/event-stream"

OWN_HEADERS: Final = AnswerHeaders()  # of the answers that are no service's
REPLACED_IN_REPLY: Final = frozenset({b"date"})

Headers = list[tuple[bytes, bytes]]
log = structlog.get_logger()


class GatewaySettings(BaseSettings):
    """From IOPS_LOCAL_*: where each service listens."""

    model_config = SettingsConfigDict(env_prefix="IOPS_LOCAL_", frozen=True, extra="ignore")

    ingest_url: str
    insights_url: str
    alerts_url: str


def create_app() -> ASGIApp:
    """For uvicorn."""
    configure_logging("gateway")
    settings = GatewaySettings()
    return Gateway({"ingest": settings.ingest_url, "insights": settings.insights_url, "alerts": settings.alerts_url})


class Gateway:
    """A pure ASGI app that streams each request to its service and the reply back, unchanged.

    It speaks through httpx transports, not clients: no cookies kept, no redirects followed, no proxies of the
    environment, no headers of its own.
    """

    def __init__(self, service_urls: Mapping[str, str]) -> None:
        self._service_urls = service_urls
        self._transports: dict[str, httpx.AsyncHTTPTransport] = {}
        self.stopping = asyncio.Event()  # set by the server that is told to end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # no service speaks it

    async def _live(self, receive: Receive, send: Send) -> None:
        limits = httpx.Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=IDLE_CONNECTION_S
        )
        await receive()
        async with AsyncExitStack() as opened:
            for service in self._service_urls:
                transport = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
                self._transports[service] = await opened.enter_async_context(transport)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            service = _service_for(scope["path"])
            request = _to_upstream(self._service_urls[service], Request(scope, receive))
            async with self._sent(request, service) as response:
                if response.headers.get("content-type", "").startswith(EVENTS):
                    await self._pass_events(response, service, receive, send)
                else:
                    await _pass_back(response, service, send)
        except IopsError as error:
            await _problem(error)(scope, receive, send)
        except ClientDisconnect:
            return  # nobody is left to answer, and the service sees its body end early

    async def _pass_events(self, response: httpx.Response, service: str, receive: Receive, send: Send) -> None:
        """What has no end, until its reader leaves or the gateway ends: nobody else would notice for long."""
        passing = asyncio.create_task(_pass_back(response, service, send))
        others = [asyncio.create_task(_gone(receive)), asyncio.create_task(self.stopping.wait())]
        try:
            await asyncio.wait([passing, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (passing, *others):
                task.cancel()
            await asyncio.gather(passing, *others, return_exceptions=True)
        if self.stopping.is_set():
            await send({"type": "http.response.body", "body": b""})

    @asynccontextmanager
    async def _sent(self, request: httpx.Request, service: str) -> AsyncIterator[httpx.Response]:
        try:
            response = await self._transports[service].handle_async_request(request)
        except httpx.LocalProtocolError as error:
            raise MalformedBody(f"the request is not HTTP that can be passed on: {error}") from error
        except httpx.TransportError as error:
            log.warning("service_away", service=service, reason=repr(error))
            raise Unavailable(f"{service} does not answer ({type(error).__name__}); send it again") from error
        try:
            yield response
        finally:
            await response.aclose()


def _service_for(path: str) -> str:
    """Whose the decoded `path` is; a path that two programs could read differently is nobody's.

    >>> _service_for("/streams/web-1:sda")
    'insights'
    """
    segments = path.removeprefix("/").split("/")
    is_plain = path.startswith("/") and "" not in segments[:-1] and not {".", ".."} & set(segments)
    service = service_for_path(path) if is_plain else None
    if service is None:
        raise NotFound(f"nobody answers {path[:200]!r}")
    return service


def _to_upstream(service_url: str, request: Request) -> httpx.Request:
    """The request as the service gets it: the path byte for byte, the body as a stream."""
    headers = _end_to_end(request.scope["headers"], REPLACED)
    is_chunked = "transfer-encoding" in request.headers
    if is_chunked:  # then it counts alone (RFC 9112, 6.3)
        headers = [(name, value) for name, value in headers if name != b"content-length"]
    elif int(request.headers.get("content-length", 0)) > BODY_LIMIT_BYTES:
        raise _too_large()
    # Nobody stands before this door, so what a client says of those it came through is not believed.
    client_host = request.client.host if request.client else "unknown"
    headers += [(b"x-forwarded-for", client_host.encode()), (b"x-forwarded-proto", request.scope["scheme"].encode())]
    query = request.scope["query_string"]
    target = request.scope["raw_path"] + (b"?" + query if query else b"")
    return httpx.Request(
        request.method,
        service_url,
        headers=headers,
        content=_body(request) if is_chunked or "content-length" in request.headers else None,
        extensions={"target": target, "timeout": TIMEOUT.as_dict()},
    )


async def _body(request: Request) -> AsyncIterator[bytes]:
    size_bytes = 0
    parts = request.stream()
    deadline_s = asyncio.get_running_loop().time() + BODY_TIMEOUT_S
    while True:
        try:
            async with asyncio.timeout_at(deadline_s):
                part = await anext(parts, None)
        except TimeoutError as error:
            raise SlowBody(f"the body was not complete after {BODY_TIMEOUT_S:g} s; send it again") from error
        if part is None:
            return
        size_bytes += len(part)
        if size_bytes > BODY_LIMIT_BYTES:
            raise _too_large()
        yield part


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pass_back(response: httpx.Response, service: str, send: Send) -> None:
    headers = _end_to_end(response.headers.raw, REPLACED_IN_REPLY)
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    try:
        async for part in response.aiter_raw():
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except httpx.TransportError as error:
        log.warning("reply_broke_off", service=service, reason=repr(error))
        return  # too late for a status; the server closes the connection, so the client sees it too
    await send({"type": "http.response.body", "body": b""})


def _end_to_end(headers: Headers, replaced: frozenset[bytes]) -> Headers:
    lowered = [(name.lower(), value) for name, value in headers]
    listed = {name.strip().lower() for key, value in lowered if key == b"connection" for name in value.split(b",")}
    dropped = HOP_BY_HOP | replaced | listed
    return [(name, value) for name, value in lowered if name not in dropped]


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {BODY_LIMIT_BYTES} bytes; send fewer batches at once")


def _problem(error: IopsError) -> JSONResponse:
    body = {
        "type": f"urn:iops-dashboard:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Unavailable) else {}
    if isinstance(error, SlowBody):  # or a client that sends before it reads would go on sending
        headers["Connection"] = "close"
    response = JSONResponse(body, error.status, headers, media_type="application/problem+json")
    response.raw_headers = OWN_HEADERS.complete(response.raw_headers)
    return response


if __name__ == "__main__":
    serve(lambda _: create_app(), ServiceSettings)  # bounded as a service is: its heads, its trailers, its connections
