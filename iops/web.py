"""What the three services share at their door: errors as problem+json, health, request ids, one line per request."""

import asyncio
import gc
import os
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
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

from iops.errors import IopsError, Unavailable
from iops.observability import Metrics
from iops.problems import ERROR_RESPONSE, PROBLEM_SCHEMAS, answer_errors, bare_500, problem_response

log = structlog.get_logger()

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds: their good answers are not logged.
QUIET_ROUTES: Final[Mapping[str, float]] = {"/health/live": 0.0, "/health/ready": 0.0, "/internal/metrics": 0.0}
CLIENT_CLOSED_REQUEST: Final = 499  # nginx's word for it; only the log and the counters see it
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

# Objects made and not yet freed before the garbage collector looks at them, and how many looks go before it looks at
# older ones. At the interpreter's (700, 10, 10) it took a fifth of the CPU of ingest.
COLLECTIONS: Final = (20_000, 20, 10)

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
                failed[name] = error.detail
            except Exception as error:  # whatever it is, it is named, and the answer is 503
                log.exception("check_failed", check=name)
                failed[name] = type(error).__name__
        return failed


Endpoint = Callable[[Request], Awaitable[Response]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Service(FastAPI):
    """An application whose OpenAPI document also holds `schemas`: those of bodies that a route parses by itself."""

    schemas: Mapping[str, Any] = {}

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
        responses={"default": ERROR_RESPONSE},
    )
    for router in (*routers, _operations(metrics, health)):
        app.include_router(router)
    answer_errors(app)
    if quick:
        app.add_middleware(QuickDoor, endpoints=quick)
    app.add_middleware(RequestLine, metrics=metrics, sampled={**QUIET_ROUTES, **sampled})
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


@contextmanager
def rare_collections() -> Iterator[None]:
    """The garbage collector leaves alone what is there at the start, and looks at the rest less often.

    For a service of many small requests: reference counting frees what they make, and the collector finds nothing.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _log_failure(loop: asyncio.Task[None]) -> None:
    if not loop.cancelled() and (failure := loop.exception()) is not None:
        log.error("loop_failed", loop=loop.get_name(), exc_info=failure)


class RequestLine:
    """Outermost: gives each request an id, measures it, logs one line, turns what nobody expected into a bare 500."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, sampled: Mapping[str, float]) -> None:
        """`sampled` names routes of which only a share (0-1) of the good answers is logged."""
        self._app = app
        self._metrics = metrics
        self._sampled = sampled
        self._counters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}  # a look-up of labels costs 3 us

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        request_id = _request_id(scope)
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    *SECURITY_HEADERS,
                ]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
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
            **scope.get("state", {}).get("facts", {}),
        )

    def _counters_of(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        key = (method if method in METHODS else "other", route, status)
        if key not in self._counters:
            answered = self._metrics.requests.labels(key[0], route, str(status))
            self._counters[key] = (answered, self._metrics.request_s.labels(route))
        return self._counters[key]


class QuickDoor:
    """Answers POST on a few paths without FastAPI's routing and injection, which cost more than storing a sample does.

    The routes stay declared with their routers, which document them and answer the other methods.
    """

    def __init__(self, app: ASGIApp, *, endpoints: Mapping[str, Endpoint]) -> None:
        self._app = app
        # With each endpoint the route that the request's line names it by.
        self._endpoints = {path: (endpoint, Route(path, endpoint)) for path, endpoint in endpoints.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._endpoints.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if known is None:
            await self._app(scope, receive, send)
            return
        endpoint, scope["route"] = known
        try:
            response = await endpoint(Request(scope, receive))
        except IopsError as error:
            response = problem_response(error)
        await response(scope, receive, send)


def note(request: Request, **facts: object) -> None:
    """Adds facts to the request's line."""
    if not hasattr(request.state, "facts"):
        request.state.facts = {}
    request.state.facts.update(facts)


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
            if REQUEST_ID.fullmatch(given):
                return given
    return os.urandom(16).hex()


def _loggable(path: str) -> str:
    return path[:200]
