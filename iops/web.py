"""What the three services share at their door: errors as problem+json, health, request ids, one line per request."""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Literal

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iops.errors import InvalidInput, IopsError, Unavailable
from iops.observability import Metrics

log = structlog.get_logger()

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
QUIET_ROUTES: Final = ("/health/live", "/health/ready", "/internal/metrics")  # asked every few seconds
CLIENT_CLOSED_REQUEST: Final = 499  # nginx's word for it; only the log and the counters see it
PROBLEM_TYPE: Final = "application/problem+json"
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

Check = Callable[[], Awaitable[None]]  # raises where the thing it checks cannot serve


class FieldProblem(BaseModel):
    """One thing wrong with the input."""

    field: str
    message: str


class Problem(BaseModel):
    """What every error looks like (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem] | None = None


PROBLEM_SCHEMA: Final = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
PROBLEM_SCHEMAS: Final = {**PROBLEM_SCHEMA.pop("$defs"), "Problem": PROBLEM_SCHEMA}
# FastAPI would say application/json of a `model`; errors are problem+json.
ERROR_RESPONSE: Final = {
    "description": "an error, with a code and a sentence",
    "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def error_responses(*errors: type[IopsError]) -> dict[int | str, dict[str, Any]]:
    """What a route's OpenAPI says of the errors it answers with."""
    return {
        error.status: {
            **ERROR_RESPONSE,
            "description": error.title,
            **({"headers": RETRY_AFTER} if issubclass(error, Unavailable) else {}),
        }
        for error in errors
    }


RETRY_AFTER: Final = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}


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
    name: str, *, routers: Sequence[APIRouter], lifespan: Lifespan, metrics: Metrics, health: Health
) -> Service:
    """A service with the routes given, the health routes and `/internal/metrics`; its lifespan opens what they use."""
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
    app.add_exception_handler(IopsError, _answer_expected)
    app.add_exception_handler(RequestValidationError, _answer_invalid_query)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_middleware(RequestLine, metrics=metrics)
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


def problem_response(error: IopsError) -> Response:
    """An expected failure as the sender sees it."""
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Unavailable) else {}
    extra: dict[str, Any] = {}
    if isinstance(error, InvalidInput):
        extra["errors"] = [{"field": problem.field, "message": problem.message} for problem in error.problems]
    body = _problem(error.status, error.code, error.title, error.detail) | extra
    return JSONResponse(body, error.status, headers, media_type=PROBLEM_TYPE)


class RequestLine:
    """Outermost: gives each request an id, measures it, logs one line, turns what nobody expected into a bare 500."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

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
                    await _bare_500()(scope, receive, send_marked)
            self._tell(scope, status, time.perf_counter() - started_s)

    def _tell(self, scope: Scope, status: int, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
        self._metrics.request_s.labels(route).observe(duration_s)
        if route in QUIET_ROUTES and status < 400:
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


async def _answer_expected(_: Request, error: Exception) -> Response:
    assert isinstance(error, IopsError)
    return problem_response(error)


async def _answer_invalid_query(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [
        {"field": ".".join(str(part) for part in problem["loc"][1:]), "message": problem["msg"]}
        for problem in error.errors()
    ]
    detail = f"{fields[0]['field']}: {fields[0]['message']}"
    body = _problem(400, "invalid_query", "The request's parameters cannot be used", detail) | {"errors": fields}
    return JSONResponse(body, 400, media_type=PROBLEM_TYPE)


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    body = _problem(error.status_code, code, str(error.detail), "the paths are in docs/openapi")
    return JSONResponse(body, error.status_code, error.headers, media_type=PROBLEM_TYPE)


def _problem(status: int, code: str, title: str, detail: str) -> dict[str, Any]:
    return {"type": f"urn:iops-dashboard:{code}", "title": title, "status": status, "code": code, "detail": detail}


def _bare_500() -> Response:
    body = _problem(500, "internal", IopsError.title, "the request id in x-request-id finds it in the log")
    return JSONResponse(body, 500, media_type=PROBLEM_TYPE)


def _request_id(scope: Scope) -> str:
    """The caller's, where it is one; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            if REQUEST_ID.fullmatch(given):
                return given
    return uuid.uuid4().hex


def _loggable(path: str) -> str:
    return path[:200]
