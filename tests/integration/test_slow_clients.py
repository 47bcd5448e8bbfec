"""What a client may leave open, and for how long, over real connections."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator

import pytest
from starlette.types import Receive, Scope, Send

from iops import slow_clients
from iops.settings import ServiceSettings
from tests.integration.served import answer_of, say, served
from tests.integration.stand_ins import LIMIT_S, wait_until

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LARGE_BYTES = 20_000_000


class App:
    """Answers with how many headers it saw; `/large` at length; reads a POST's body to its end; `/wait` waits."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.waiting = 0
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for done in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{done}.complete"})
            return
        if scope["method"] == "POST":
            while (message := await receive()).get("more_body"):
                pass
            if message["type"] == "http.disconnect":
                return
        if scope["path"] == "/wait":
            self.waiting += 1
            await self.may_end.wait()
        body = b"x" * LARGE_BYTES if scope["path"] == "/large" else str(len(scope["headers"])).encode()
        self.answered.append(scope["path"])
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def port(app: App, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(slow_clients, "CHECK_S", 0.02)
    monkeypatch.setattr(slow_clients, "HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(slow_clients, "UNREAD_TIMEOUT_S", 0.2)
    async with served(app, ServiceSettings()) as opened:
        yield opened


async def dribble(port: int, first: bytes, drop: bytes) -> bytes:
    """A drop each 10 ms until the other end hangs up, or much too late; what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    try:
        async with asyncio.timeout(LIMIT_S):
            while not reader.at_eof():
                writer.write(drop)
                await asyncio.sleep(0.01)
                await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def test_a_connection_without_a_request_is_closed(port: int) -> None:
    async with asyncio.timeout(LIMIT_S / 2):
        assert await say(port) == b""


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nX-A: "], ids=["line breaks", "a header's end"])
async def test_a_head_a_byte_at_a_time_is_closed_in_time(port: int, app: App, first: bytes) -> None:
    await dribble(port, first, b"\r\n" if not first else b"x")

    assert app.answered == []


async def test_line_breaks_do_not_keep_an_idle_connection(port: int, app: App) -> None:
    heard = await dribble(port, GET + b"\r\n", b"\r\n")

    assert app.answered == ["/"]
    assert heard.count(b"HTTP/1.1 ") <= 1


async def test_a_connection_may_idle_between_two_requests_for_longer_than_a_head_may_take(port: int, app: App) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(GET + b"\r\n")
        async with asyncio.timeout(LIMIT_S):
            await reader.readuntil(b"\r\n\r\n1")
        await asyncio.sleep(0.4)  # twice the time of a head, which has not begun

    assert app.answered == ["/", "/"]
    writer.transport.abort()


async def test_a_later_head_has_no_more_time_than_the_first(port: int, app: App) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET + b"\r\n")
    async with asyncio.timeout(LIMIT_S):
        await reader.readuntil(b"\r\n\r\n1")
        writer.write(GET)
        assert await reader.read() == b""

    assert app.answered == ["/"]
    writer.transport.abort()


async def test_a_head_that_takes_its_parts_but_not_its_time_is_answered(port: int) -> None:
    heard = await say(port, GET, b"X-A: 1\r\n", b"Connection: close\r\n\r\n")

    assert answer_of(heard).body == b"3"


@pytest.mark.parametrize(
    "parts",
    [
        [GET, b"X-A: " + b"x" * 40_000 + b"\r\n\r\n"],
        [GET + b"X-A: " + b"x" * 40_000 + b"\r\n\r\n"],
        [GET, *[b"X-A: " + b"x" * 9_000 + b"\r\n"] * 5],
        [GET + b"".join(b"X-%d: 1\r\n" % number for number in range(100)) + b"\r\n"],
        [b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
    ],
    ids=["a value", "a value at once", "without an end", "101 headers", "a path"],
)
async def test_a_head_too_large_is_refused(port: int, app: App, parts: list[bytes]) -> None:
    answer = answer_of(await say(port, *parts))

    assert (answer.status, answer.json()["code"]) == (431, "head_too_large")
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert app.answered == []


async def test_a_hundred_headers_are_a_head(port: int) -> None:
    lines = b"".join(b"X-%d: 1\r\n" % number for number in range(98))

    assert answer_of(await say(port, GET + lines + b"Connection: close\r\n\r\n")).body == b"100"


async def test_trailers_are_no_headers_and_have_an_end(port: int, app: App) -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    heard = await say(port, chunked + b"X-API-Key: late\r\n\r\n" + GET + b"Connection: close\r\n\r\n")
    endless = answer_of(await say(port, chunked + b"X-A: ", *[b"x" * 9_000] * 5))

    assert re.findall(rb"\r\n\r\n(\d)", heard) == [b"2", b"2"]
    assert endless.status == 431


async def test_too_many_requests_ahead_of_their_answers_end_the_connection(port: int, app: App) -> None:
    assert await say(port, (GET + b"\r\n") * 1_000) == b""
    assert len(app.answered) <= 1


async def test_a_few_requests_ahead_of_their_answers_are_answered_in_turn(port: int) -> None:
    heard = await say(port, (GET + b"\r\n") * 5 + GET + b"Connection: close\r\n\r\n")

    assert heard.count(b"HTTP/1.1 200 OK") == 6


async def test_what_is_no_http_is_a_problem(port: int) -> None:
    answer = answer_of(await say(port, b"\x16\x03\x01\x02\x00 hello\r\n\r\n"))

    assert (answer.status, answer.json()["code"]) == (400, "malformed_request")


async def test_an_answer_nobody_reads_does_not_stay_in_memory(
    app: App, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    aborted = 0
    lost = slow_clients.BoundedHttpProtocol.connection_lost

    def connection_lost(self: slow_clients.BoundedHttpProtocol, exc: Exception | None) -> None:
        nonlocal aborted
        aborted += 1
        lost(self, exc)

    monkeypatch.setattr(slow_clients.BoundedHttpProtocol, "connection_lost", connection_lost)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        await wait_until(lambda: aborted == 1)

    assert app.answered == ["/large"]


async def test_an_answer_that_is_read_slowly_arrives_whole(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "UNREAD_STEP_BYTES", 1)
    heard = await say(port, b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")

    assert len(answer_of(heard).body) == LARGE_BYTES


async def test_a_body_nobody_reads_is_not_taken_from_the_wire(port: int, app: App) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PUT /wait HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50000000\r\n\r\n")
    await wait_until(lambda: app.waiting == 1)

    writer.write(b"x" * 50_000_000)
    with pytest.raises(TimeoutError):  # it stays with the client
        await asyncio.wait_for(writer.drain(), 0.3)
    assert writer.transport.get_write_buffer_size() > 20_000_000
    writer.transport.abort()
    app.may_end.set()


async def test_one_connection_too_many_is_told_to_come_again(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "CONNECTIONS_LIMIT", 2)
    monkeypatch.setattr(slow_clients, "HEAD_TIMEOUT_S", LIMIT_S)
    with socket.create_connection(("127.0.0.1", port)):
        with socket.create_connection(("127.0.0.1", port)):
            answer = answer_of(await say(port))

        assert (answer.status, answer.json()["code"]) == (503, "too_many_connections")
        assert answer.headers["retry-after"] == "2"
        await wait_until(lambda: _is_answered(port))


async def _is_answered(port: int) -> bool:
    return answer_of(await say(port, GET + b"Connection: close\r\n\r\n")).status == 200
