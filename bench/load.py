"""A lean HTTP/1.1 keep-alive client: as fast as it is answered (closed loop), or at given instants (open loop).

It runs in the process of the measurement, and the server in another, so that their CPU can be told apart.

Open-loop latency runs from the instant a request was meant to be sent, so that a server that stalls is charged for the
requests that had to wait for it, too.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, Self

LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
RETRY_AFTER: Final = re.compile(rb"\r\nretry-after:[ \t]*(\d+)", re.IGNORECASE)
RETRIED: Final = frozenset({0, 429, 503})  # 0: the connection broke
RECONNECT_S: Final = 0.1
TICK_S: Final = 0.001
DRAIN_LIMIT_S: Final = 40.0  # after the last intended instant, for retries


class UnreadableReply(Exception):
    """What came is no reply that this client reads."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply's head, and how many bytes of the stream it took with its body."""

    status: int
    retry_after_s: int
    size_bytes: int


def parse_reply(received: bytes | bytearray) -> Reply | None:
    """The first reply in `received`; None until it is whole.

    >>> parse_reply(b"HTTP/1.1 503 x\\r\\nRetry-After: 2\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
    Reply(status=503, retry_after_s=2, size_bytes=55)
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end])
    length = LENGTH.search(head)
    status = int(head[9:12])
    if length is None and status != 204:
        raise UnreadableReply(head[:80].decode(errors="replace"))
    size_bytes = end + 4 + (int(length[1]) if length else 0)
    if len(received) < size_bytes:
        return None
    retry_after = RETRY_AFTER.search(head)
    return Reply(status, int(retry_after[1]) if retry_after else 0, size_bytes)


@dataclass(slots=True)
class Request:
    """One body on its way. `sent_s` is when it was meant to be sent.

    On `perf_counter`, because uvloop's clock counts whole milliseconds.
    """

    content: bytes
    tag: object = None
    sent_s: float = 0.0
    written_s: float = 0.0  # when it was last written to a connection


@dataclass(slots=True)
class Tally:
    """What came of it."""

    answered: Counter[int] = field(default_factory=Counter)  # by status, of each attempt
    latencies_s: list[float] = field(default_factory=list)  # of each request's 2xx, retries included
    sent_s: list[float] = field(default_factory=list)  # when each of those was meant to be sent, from the begin on
    acknowledged: list[object] = field(default_factory=list)  # their tags
    last_tries_s: list[float] = field(default_factory=list)  # of the same, from the last writing to the 2xx
    sent_back_s: list[float] = field(default_factory=list)  # from writing to an answer that says: come again
    refused: list[object] = field(default_factory=list)  # tags of what was answered with anything else
    unanswered: int = 0  # given up
    elapsed_s: float = 0.0

    @property
    def succeeded(self) -> int:
        return len(self.latencies_s)


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, on_reply: Callable[[_Connection, Request, Reply], None], on_lost: Callable[..., None]) -> None:
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._received = bytearray()
        self._request: Request | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: Request) -> None:
        self._request = request
        request.written_s = perf_counter()
        self._transport.write(request.content)

    def data_received(self, data: bytes) -> None:
        self._received += data
        reply = parse_reply(self._received)
        if reply is None or self._request is None:
            return
        del self._received[: reply.size_bytes]
        request, self._request = self._request, None
        self._on_reply(self, request, reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        request, self._request = self._request, None
        self._on_lost(self, request)

    def close(self) -> None:
        self._transport.close()


class Client:
    """Some connections to one server, and a queue ahead of them."""

    def __init__(self, port: int, *, connections: int) -> None:
        self._port = port
        self._count = connections
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._waiting: deque[Request] = deque()
        self._on_way = 0
        self._tally = Tally()
        self._begin_s = 0.0
        self._next: Iterator[Request] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._all_sent = asyncio.Event()
        self._all_settled = asyncio.Event()

    async def __aenter__(self) -> Self:
        for _ in range(self._count):
            self._idle.append(await self._connect())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        for connection in tuple(self._open):
            connection.close()

    async def closed_loop(self, requests: Iterator[Request], *, duration_s: float) -> Tally:
        """Each connection sends its next request as soon as the last is answered, for `duration_s` or to the end."""
        self._begin(requests)
        for _ in range(len(self._idle)):
            self._send_next()
        with suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self._all_sent.wait()
        self._next = None
        tally = await self._drained()
        tally.elapsed_s = perf_counter() - self._begin_s
        return tally

    async def open_loop(self, requests: Iterator[Request], *, rate: float, duration_s: float) -> Tally:
        """`rate` requests a second for `duration_s`, each at its instant whatever became of those before."""
        self._begin(None)
        total = round(rate * duration_s)
        sent = 0
        while sent < total:
            due = min(total, int((perf_counter() - self._begin_s) * rate) + 1)
            while sent < due:
                request = next(requests)
                request.sent_s = self._begin_s + sent / rate
                sent += 1
                self._send(request)
            await asyncio.sleep(TICK_S)
        tally = await self._drained()
        tally.elapsed_s = duration_s
        return tally

    def _begin(self, requests: Iterator[Request] | None) -> None:
        self._tally = Tally()
        self._next = requests
        self._all_sent.clear()
        self._begin_s = perf_counter()

    async def _drained(self) -> Tally:
        """The tally once every request is settled, or the patience ends."""
        self._all_settled.clear()
        if self._on_way:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_LIMIT_S):
                    await self._all_settled.wait()
        self._tally.unanswered = self._on_way
        return self._tally

    def _send_next(self) -> None:
        if self._next is None:
            return
        request = next(self._next, None)
        if request is None:
            self._next = None
            self._all_sent.set()
            return
        request.sent_s = perf_counter()
        self._send(request)

    def _send(self, request: Request) -> None:
        self._on_way += 1
        self._push(request)

    def _push(self, request: Request) -> None:
        if self._is_closing:
            return
        if self._idle:
            self._idle.pop().send(request)
        else:
            self._waiting.append(request)

    def _on_reply(self, connection: _Connection, request: Request, reply: Reply) -> None:
        self._reuse(connection)
        self._settle(request, reply.status, reply.retry_after_s)

    def _reuse(self, connection: _Connection) -> None:
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _settle(self, request: Request, status: int, retry_after_s: float) -> None:
        self._tally.answered[status] += 1
        if status in RETRIED:
            self._tally.sent_back_s.append(perf_counter() - request.written_s)
            asyncio.get_running_loop().call_later(max(retry_after_s, RECONNECT_S), self._push, request)
            return
        self._on_way -= 1
        if 200 <= status < 300:
            self._tally.latencies_s.append(perf_counter() - request.sent_s)
            self._tally.last_tries_s.append(perf_counter() - request.written_s)
            self._tally.sent_s.append(request.sent_s - self._begin_s)
            if request.tag is not None:
                self._tally.acknowledged.append(request.tag)
        else:
            self._tally.refused.append(request.tag)
        self._send_next()
        if not self._on_way:
            self._all_settled.set()

    def _on_lost(self, connection: _Connection, request: Request | None) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._is_closing:
            return
        if request is not None:
            self._settle(request, 0, 0)
        task = asyncio.create_task(self._reconnect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reconnect(self) -> None:
        while True:
            try:
                connection = await self._connect()
                break
            except OSError:
                await asyncio.sleep(RECONNECT_S)
        self._reuse(connection)

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self._on_reply, self._on_lost), "127.0.0.1", self._port
        )
        self._open.add(connection)
        return connection


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A whole POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
