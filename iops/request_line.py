"""One line, one id and one measurement for each request."""

import random
import re
import time
from collections.abc import Mapping
from typing import Final

import structlog
from fastapi import Request
from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iops.gate import CALLER
from iops.headers import AnswerHeaders
from iops.observability import REQUEST_ID, Metrics
from iops.problems import FACTS, bare_500

log = structlog.get_logger()

GIVEN_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds: their good answers are not logged.
QUIET_ROUTES: Final[Mapping[str, float]] = {"/health/live": 0.0, "/health/ready": 0.0, "/internal/metrics": 0.0}
CLIENT_CLOSED_REQUEST: Final = 499  # nginx's word for it; only the log and the counters see it


class RequestLine:
    """Outermost: gives each request an id, measures it, logs one line, turns what nobody expected into a bare 500."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, sampled: Mapping[str, float], headers: AnswerHeaders) -> None:
        """`sampled` names routes of which only a share (0-1) of the good answers is logged."""
        self._app = app
        self._metrics = metrics
        self._sampled = sampled
        self._headers = headers
        self._counters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}  # a look-up of labels costs 3 us

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        token = REQUEST_ID.set(request_id)
        try:
            await self._answer(scope, receive, send, request_id=request_id.encode())
        finally:
            REQUEST_ID.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, request_id: bytes) -> None:
        started_s = time.perf_counter()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._headers.complete(message.get("headers", ()), (b"x-request-id", request_id))
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except ClientDisconnect:
            status = CLIENT_CLOSED_REQUEST
        except Exception:  # the last one to see it
            log.exception("request_failed", method=scope["method"], path=_loggable(scope["path"]))
            if status == 0:
                await bare_500()(scope, receive, send_marked)
        self._tell(scope, status, time.perf_counter() - started_s)

    def _tell(self, scope: Scope, status: int, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        answered, seconds = self._counters_of(scope["method"], route, status)
        answered.inc()
        seconds.observe(duration_s)
        if status < 400 and random.random() >= self._sampled.get(route, 1.0):  # noqa: S311 - which lines are kept
            return
        level = log.warning if status >= 500 else log.info
        level(
            "request_answered",
            method=scope["method"],
            path=_loggable(scope["path"]),
            status=status,
            duration_ms=round(duration_s * 1000, 2),
            **({"caller": scope[CALLER].name} if CALLER in scope else {}),
            **scope.get(FACTS, {}),
        )

    def _counters_of(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        key = (method if method in METHODS else "other", route, status)
        if key not in self._counters:
            answered = self._metrics.requests.labels(key[0], route, str(status))
            self._counters[key] = (answered, self._metrics.request_s.labels(route))
        return self._counters[key]


def note(request: Request, **facts: object) -> None:
    """Adds facts to the request's line."""
    request.scope.setdefault(FACTS, {}).update(facts)


def _request_id(scope: Scope) -> str:
    """The caller's, where it is one; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            if GIVEN_ID.fullmatch(given):
                return given
    return f"{random.getrandbits(128):032x}"  # it finds lines in a log; os.urandom would call the kernel


def _loggable(path: str) -> str:
    return path[:200]
