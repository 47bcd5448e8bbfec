"""What the three services share at their door: errors as problem+json, health, request ids, one line per request."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Any, Final, Literal

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import Counter, Histogram
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iops.cors import allow_origins
from iops.errors import IopsError, Unavailable
from iops.headers import AnswerHeaders
from iops.observability import REQUEST_ID, Metrics
from iops.problems import ERROR_RESPONSE, FACTS, PROBLEM_SCHEMAS, answer_errors, bare_500, keep_reason, problem_response
from iops.reference import reference_pages
from iops.settings import ServiceSettings

log = structlog.get_logger()

GIVEN_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds: their good answers are not logged.
QUIET_ROUTES: Final[Mapping[str, float]] = {"/health/live": 0.0, "/health/ready": 0.0, "/internal/metrics": 0.0}
CLIENT_CLOSED_REQUEST: Final = 499  # nginx's word for it; only the log and the counters see it

Check = Callable[[], Awaitable[None]]  # raises where the thing it checks cannot serve


class Readiness(BaseModel):
    """Whether a service can do its work, and what cannot."""

    status: Literal["ready", "not ready"]
    failed: dict[str, str]


class Health:
    """Whether a service is alive and ready; its lifespan names the checks."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}

    async def failures(self) -> dict[str, str]:
        """The checks that fail, and why."""
        failed = {}
        for name, check in self.checks.items():
            try:
                await check()
            except IopsError as error:
                log.warning("check_failed", check=name, reason=error.detail)
                failed[name] = error.told
            except Exception:  # whatever it is, the log has it, and the answer is 503
                log.exception("check_failed", check=name)
                failed[name] = "broken"
        return failed


Endpoint = Callable[[Request], Awaitable[Response]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Service(FastAPI):
    """An application with a short way to its quick endpoints, around FastAPI's layers.

    Its OpenAPI document also holds `schemas`: those of bodies that a route parses by itself.
    """

    schemas: Mapping[str, Any] = {}
    quick: Mapping[str, ASGIApp] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as FastAPI does, but a POST to a quick endpoint goes straight there."""
        quick = self.quick.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if quick is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await quick(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The document, complete."""
        document = super().openapi()
        document["components"]["schemas"] |= {**self.schemas, **PROBLEM_SCHEMAS}
        return document


def create_service(
    name: str,
    *,
    routers: Sequence[APIRouter],
    lifespan: Lifespan,
    metrics: Metrics,
    health: Health,
    settings: ServiceSettings,
    sampled: Mapping[str, float] = MappingProxyType({}),
    quick: Mapping[str, Endpoint] = MappingProxyType({}),
) -> Service:
    """A service with the routes given, the health routes and `/internal/metrics`; its lifespan opens what they use.

    `sampled` names routes of which only a share (0-1) of the good answers is logged; `quick` the endpoints of POSTs
    that cannot afford routing.
    """
    app = Service(
        title=f"IOPS Dashboard: {name}",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # the redirect's host would be what the client says
        responses={"default": ERROR_RESPONSE},
    )
    for router in (*routers, _operations(metrics, health), *([reference_pages()] if settings.docs else [])):
        app.include_router(router)
    answer_errors(app)
    logged = {**QUIET_ROUTES, **sampled}
    headers = AnswerHeaders(settings.public_url)
    allow_origins(app, settings.cors_origins)
    app.add_middleware(RequestLine, metrics=metrics, sampled=logged, headers=headers)
    app.quick = {
        path: RequestLine(QuickDoor(path, endpoint), metrics=metrics, sampled=logged, headers=headers)
        for path, endpoint in quick.items()
    }
    return app


@asynccontextmanager
async def running(health: Health, **loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs loops beside the requests and cancels them at the end; one that ends by itself makes the service unready."""
    tasks = {name: asyncio.create_task(loop, name=name) for name, loop in loops.items()}
    for task in tasks.values():
        task.add_done_callback(_log_failure)

    async def check() -> None:
        ended = [name for name, task in tasks.items() if task.done()]
        if ended:
            raise Unavailable(f"ended: {', '.join(ended)}")

    health.checks["loops"] = check
    try:
        yield
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


def _log_failure(loop: asyncio.Task[None]) -> None:
    if not loop.cancelled() and (failure := loop.exception()) is not None:
        log.error("loop_failed", loop=loop.get_name(), exc_info=failure)


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
            **scope.get(FACTS, {}),
        )

    def _counters_of(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        key = (method if method in METHODS else "other", route, status)
        if key not in self._counters:
            answered = self._metrics.requests.labels(key[0], route, str(status))
            self._counters[key] = (answered, self._metrics.request_s.labels(route))
        return self._counters[key]


class QuickDoor:
    """Answers one path's POST without FastAPI's layers, routing and injection, which cost more than storing a sample.

    The route stays declared with its router, which documents it and answers the other methods.
    """

    def __init__(self, path: str, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._route = Route(path, endpoint)  # the request's line names it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self._route
        request = Request(scope, receive)
        try:
            response = await self._endpoint(request)
        except IopsError as error:
            keep_reason(request, error)
            response = problem_response(error)
            error.forget_frames()
        await response(scope, receive, send)


def note(request: Request, **facts: object) -> None:
    """Adds facts to the request's line."""
    request.scope.setdefault(FACTS, {}).update(facts)


def caller_of(request: Request) -> str:
    """Who asks, as histories name it: an address, as long as nobody signs in."""
    return request.client.host if request.client else "unknown"


def _operations(metrics: Metrics, health: Health) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @router.get("/health/ready", responses={503: {"description": "what fails, and why", "model": Readiness}})
    async def ready() -> JSONResponse:
        """The process can do its work: 200, or 503 with what cannot."""
        failed = await health.failures()
        return JSONResponse({"status": "not ready" if failed else "ready", "failed": failed}, 503 if failed else 200)

    @router.get("/internal/metrics", include_in_schema=False)
    async def expose() -> Response:
        return Response(metrics.expose(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


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
