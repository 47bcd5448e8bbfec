"""The gateway before stand-in services, over real connections on 127.0.0.1."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from local import gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one stack for all, since servers take 0.1 s to end

SERVICE_LIMIT_BYTES = 1024 * 1024


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A service that says what reached it, and refuses a body over 1 MiB without reading the rest."""
    size_bytes = 0
    is_more = True
    while is_more and size_bytes <= SERVICE_LIMIT_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            await scope["disconnects"].put(size_bytes)
            return
        size_bytes += len(message.get("body", b""))
        is_more = message.get("more_body", False)
    status = 413 if size_bytes > SERVICE_LIMIT_BYTES else 200
    facts = {
        "method": scope["method"],
        "path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "size_bytes": size_bytes,
    }
    headers = [(b"content-type", b"application/json"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(facts).encode()})


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The app behind uvicorn on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_config=None, ws="none", proxy_headers=False, server_header=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    await server.on_tick(0)  # sets the Date header
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    await server.shutdown(sockets=[listener])


class Stack:
    """A gateway whose services all are `echo`, and a client of it."""

    def __init__(self, client: httpx.AsyncClient, port: int, disconnects: asyncio.Queue[int]) -> None:
        self.client = client
        self.port = port
        self.disconnects = disconnects

    async def ask_raw(self, request: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON for bytes that no well-behaved client would send."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        reply = await reader.read()
        writer.close()
        head, _, body = reply.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    disconnects: asyncio.Queue[int] = asyncio.Queue()

    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["disconnects"] = disconnects
            await echo(scope, receive, send)

    async with serving(service) as service_url:
        urls = dict.fromkeys(("ingest", "insights", "alerts"), service_url)
        async with serving(gateway.Gateway(urls)) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield Stack(client, client.base_url.port or 0, disconnects)


async def test_a_request_reaches_its_service_unchanged(stack: Stack) -> None:
    reply = await stack.client.post("/metrics?x=%20y", content=b"abc", headers={"Host": "iops.example.com"})

    seen = reply.json()
    assert (seen["method"], seen["path"], seen["query"], seen["size_bytes"]) == ("POST", "/metrics", "x=%20y", 3)
    assert ["host", "iops.example.com"] in seen["headers"]
    assert ["content-length", "3"] in seen["headers"]


async def test_every_header_of_a_reply_comes_back(stack: Stack) -> None:
    reply = await stack.client.get("/streams")

    assert reply.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert len(reply.headers.get_list("date")) == 1


async def test_one_persons_cookie_does_not_reach_anothers_request(stack: Stack) -> None:
    await stack.client.get("/streams")
    stack.client.cookies.clear()

    seen = (await stack.client.get("/streams")).json()

    assert "cookie" not in dict(seen["headers"])


async def test_hop_by_hop_headers_stay_on_their_hop(stack: Stack) -> None:
    headers = {"Connection": "keep-alive, X-Private", "X-Private": "1", "TE": "trailers", "X-Kept": "2"}

    seen = dict((await stack.client.get("/streams", headers=headers)).json()["headers"])

    assert "x-private" not in seen
    assert "te" not in seen
    assert seen["x-kept"] == "2"


async def test_a_claimed_forwarding_address_is_not_believed(stack: Stack) -> None:
    seen = (await stack.client.get("/streams", headers={"X-Forwarded-For": "10.0.0.1"})).json()

    assert [value for name, value in seen["headers"] if name == "x-forwarded-for"] == ["127.0.0.1"]
    assert dict(seen["headers"])["x-forwarded-proto"] == "http"


async def test_an_encoded_path_is_passed_on_as_it_was_written(stack: Stack) -> None:
    seen = (await stack.client.get("/streams/web-1%3Anvme0n1")).json()

    assert seen["path"] == "/streams/web-1%3Anvme0n1"


@pytest.mark.parametrize(
    "path",
    [
        "/internal/metrics",
        "/streams/../internal/metrics",
        "/streams/%2e%2e/internal/metrics",
        "//internal/metrics",
        "/%2Finternal/metrics",
        "/%69nternal/metrics",
        "/./internal/metrics",
        "http://127.0.0.1/internal/metrics",
    ],
)
async def test_no_spelling_of_a_path_reaches_the_internal_ones(stack: Stack, path: str) -> None:
    status, problem = await stack.ask_raw(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    )

    assert (status, problem["code"]) == (404, "not_found")


async def test_a_body_that_a_service_refuses_brings_the_services_answer(stack: Stack) -> None:
    reply = await stack.client.post("/metrics", content=b"x" * (2 * SERVICE_LIMIT_BYTES))

    assert reply.status_code == 413
    assert reply.json()["method"] == "POST"


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_over_the_gateways_limit_is_refused_by_the_gateway(stack: Stack, is_chunked: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 1024 * 1024

    content = parts() if is_chunked else b"x" * 5 * 1024 * 1024
    reply = await stack.client.post("/metrics", content=content)

    assert reply.status_code == 413
    if not is_chunked:  # a service may be first to refuse what streams through
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["code"] == "body_too_large"


async def test_a_client_that_leaves_in_the_middle_of_a_body_hurts_nobody(stack: Stack) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async with asyncio.timeout(5):
        assert await stack.disconnects.get() in (0, 4)
    reply = await stack.client.get("/streams")

    assert reply.status_code == 200


async def test_a_body_that_stops_half_way_is_answered(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "BODY_TIMEOUT_S", 0.05)

    request = b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf"
    status, problem = await stack.ask_raw(request)

    assert (status, problem["code"]) == (408, "slow_body")


async def test_a_body_that_never_stops_and_never_ends_is_answered(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "BODY_TIMEOUT_S", 0.1)

    async def dribble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    dribbling = asyncio.create_task(dribble(writer))
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    dribbling.cancel()
    writer.close()

    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close\r\n" in head.lower()


async def test_a_slow_service_keeps_nobody_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "CONNECTIONS", 1)
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"] == "/streams":
                is_asked.set()
                await may_answer.wait()
            await echo(scope, receive, send)

    async with serving(service) as service_url:
        urls = dict.fromkeys(("ingest", "insights", "alerts"), service_url)
        async with serving(gateway.Gateway(urls)) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            slow = asyncio.create_task(client.get("/streams"))
            await is_asked.wait()
            reply = await client.post("/metrics", content=b"abc")
            may_answer.set()
            assert (await slow).status_code == 200

    assert reply.status_code == 200


async def test_a_service_that_is_away_asks_the_sender_to_come_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    urls = dict.fromkeys(("ingest", "insights", "alerts"), closed_url)

    async with serving(gateway.Gateway(urls)) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        reply = await client.post("/metrics", json={})

    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "2"
    assert reply.json() == {
        "type": "urn:iops-dashboard:unavailable",
        "title": "Not now; come again",
        "status": 503,
        "code": "unavailable",
        "detail": "ingest does not answer (ConnectError); send it again",
    }


async def test_a_service_that_breaks_off_does_not_look_complete() -> None:
    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(b"content-length", b"100")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async with serving(breaking) as service_url:
        urls = dict.fromkeys(("ingest", "insights", "alerts"), service_url)
        async with serving(gateway.Gateway(urls)) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/streams")
