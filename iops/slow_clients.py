"""Connections that cost more than they bring: a head that does not end, an answer nobody takes, too many at once.

uvicorn ends a connection only where it idles between two requests (`IOPS_KEEP_ALIVE_S`). Here each has one timer, not
one a request, and a request pays one more call. What a service waits for in a body's name is its own (`iops.body`).
"""

import asyncio
import json
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from iops.headers import AnswerHeaders
from iops.problems import PROBLEM_TYPE, problem

HEAD_TIMEOUT_S: Final = 10.0  # from the connection, or a later head's first byte, to a whole head
HEAD_LIMIT_BYTES: Final = 32 * 1024  # line and headers; load balancers take half of that or twice it
HEADERS_LIMIT: Final = 100
UNREAD_TIMEOUT_S: Final = 30.0  # in which a client takes UNREAD_STEP_BYTES of what the kernel did not take, or all
UNREAD_STEP_BYTES: Final = 512 * 1024  # 17 KB/s, a poor mobile line
CONNECTIONS_LIMIT: Final = 2_000  # of a process; a body under way may hold 320 KB before its route reads it
PIPELINE_LIMIT: Final = 16  # requests ahead of their answers on one connection; each holds 2 KB
CHECK_S: Final = 1.0

REFUSALS: Final = {
    400: ("malformed_request", "The request is not HTTP", "send an HTTP/1.1 request with an origin-form path"),
    431: (
        "head_too_large",
        "The request's head is too large",
        f"line and headers may have {HEAD_LIMIT_BYTES} bytes and {HEADERS_LIMIT} headers",
    ),
    503: ("too_many_connections", "Not now; come again", "the service has all the connections it can hold"),
}
HEADERS: Final = AnswerHeaders()


class HeadRefused(Exception):
    """Makes the parser stop; it never leaves the connection."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to everything that a client can leave open."""

    _waiting_since: float | None = None  # for a head; None while a request is answered
    _unread_since: float | None = None
    _unread_bytes = 0  # at that time
    _fruitless_bytes = 0  # fed since a head was whole or a body went on: a head's beginning, line breaks, trailers
    _is_fruitful = False
    _read_bytes = _last_bytes = 0  # of this read and the one before: a head may begin behind a body's end
    _refusal = 400  # what a parser's error is answered with
    _check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuses what is too many."""
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        self._check = self.loop.call_later(CHECK_S, self._look)
        if len(self.connections) > CONNECTIONS_LIMIT:
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timer."""
        if self._check is not None:
            self._check.cancel()
            self._check = None
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what is neither a head's end nor a body."""
        self._is_fruitful = False
        self._last_bytes, self._read_bytes = self._read_bytes, len(data)
        super().data_received(data)
        if self._is_fruitful:
            self._fruitless_bytes = 0
            return
        self._fruitless_bytes += len(data)
        if self._waiting_since is None and _is_answered(self.cycle):
            self._waiting_since = self.loop.time()
        if self._fruitless_bytes > HEAD_LIMIT_BYTES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        """Refuses a head that came in few, large reads, and one too many in a row."""
        self._is_fruitful = True
        self._waiting_since = None
        if len(self.headers) > HEADERS_LIMIT or self._is_head_too_large():
            self._refusal = 431
            raise HeadRefused
        if len(self.pipeline) >= PIPELINE_LIMIT:
            raise HeadRefused
        super().on_headers_complete()
        self.headers = []  # where trailers go, which are no part of the head and which nobody reads

    def on_body(self, body: bytes) -> None:
        """Bodies are their routes' to bound."""
        self._is_fruitful = True
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says more
        """A problem instead of plain text."""
        self._refuse(self._refusal)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to say: the request is answered as if it had not asked for an upgrade."""

    def _refuse(self, status: int) -> None:
        """Answers, unless the client would take it for an earlier request's answer, and closes."""
        if self.transport.is_closing():
            return
        if not self.pipeline and _is_next(self.cycle):
            self.transport.write(_refusal_bytes(status, self.server_state.default_headers))
        self.transport.close()

    def _is_head_too_large(self) -> bool:
        if self._last_bytes + self._fruitless_bytes + self._read_bytes <= HEAD_LIMIT_BYTES:
            return False  # nearly always: adding up costs more than all else here
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_LIMIT_BYTES

    def _look(self) -> None:
        """Once a second: has it waited too long, for a head or to be read?"""
        now = self.loop.time()
        self._check = self.loop.call_later(CHECK_S, self._look)
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes == 0:
            self._unread_since = None
        elif self._unread_since is None or unread_bytes <= self._unread_bytes - UNREAD_STEP_BYTES:
            self._unread_since, self._unread_bytes = now, unread_bytes
        elif now - self._unread_since > UNREAD_TIMEOUT_S:
            self.transport.abort()
            return
        if self._waiting_since is not None and now - self._waiting_since > HEAD_TIMEOUT_S:
            self.transport.close()  # what it has not taken yet it may still take


def _is_answered(cycle: RequestResponseCycle | None) -> bool:
    return cycle is None or cycle.response_complete


def _is_next(cycle: RequestResponseCycle | None) -> bool:
    """Whether what we write now answers what was read last: nothing is under way, or its own body is at fault."""
    return cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started)


def _refusal_bytes(status: int, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    body = json.dumps(problem(status, *REFUSALS[status])).encode()
    own = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *([(b"retry-after", b"2")] if status == 503 else []),
    ]
    lines: list[Any] = [STATUS_LINE[status]]
    for name, value in HEADERS.complete([*default_headers, *own]):
        lines += (name, b": ", value, b"\r\n")
    return b"".join([*lines, b"\r\n", body])
