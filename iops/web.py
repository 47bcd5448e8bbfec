"""What the three services share at their door: errors as problem+json, health, request ids, one line per request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Literal

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import RouteContext, iter_route_contexts
from pydantic import BaseModel
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from iops.auth import Caller, Role
from iops.cors import allow_origins
from iops.errors import IopsError, NotFound, Unavailable
from iops.gate import PUBLIC, OpenGate, role_of, roles_of
from iops.headers import AnswerHeaders
from iops.observability import Metrics
from iops.problems import ERROR_RESPONSE, PROBLEM_SCHEMAS, answer_errors, keep_reason, problem_response
from iops.reference import reference_pages
from iops.request_line import METHODS, QUIET_ROUTES, RequestLine
from iops.settings import ServiceSettings

log = structlog.get_logger()

# What a request may come with; which of them a route takes is its `x-role`.
SECURITY_SCHEMES: Final = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, or a token of the people's directory"},
    "session": {"type": "apiKey", "in": "cookie", "name": "__Host-iops_session"},
}
FORWARDED: Final = "x-forwarded-for"  # whatever comes through a load balancer has it
ANY_CREDENTIAL: Final[Sequence[Mapping[str, Sequence[str]]]] = [{name: []} for name in SECURITY_SCHEMES]

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


Endpoint = Callable[[Request, Caller], Awaitable[Response]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Service(FastAPI):
    """An application with a short way to its quick endpoints, around FastAPI's layers.

    Its OpenAPI document also holds `schemas`: those of bodies that a route parses by itself.
    """

    schemas: Mapping[str, Any] = {}
    quick: Mapping[str, ASGIApp] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.stopping = asyncio.Event()  # set when the process is told to end: what streams without an end stops then

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
        document["components"]["securitySchemes"] = SECURITY_SCHEMES
        for route, role in routes_with_roles(self):
            for method in METHODS & (route.methods or set()) if route.include_in_schema else ():
                operation = document["paths"][route.path_format][method.lower()]
                operation |= {"x-role": role or "public", "security": ANY_CREDENTIAL if role else []}
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
        responses={"default": dict(ERROR_RESPONSE)},
    )
    for router in (*routers, _operations(metrics, health), *([reference_pages()] if settings.docs else [])):
        app.include_router(router)
    for _ in routes_with_roles(app):  # it raises where one does not say who may call it
        pass
    if settings.auth == "off":
        app.state.gate = OpenGate()
    answer_errors(app)
    allow_origins(app, settings.cors_origins)
    headers = AnswerHeaders(settings.public_url)
    outermost = partial(RequestLine, metrics=metrics, sampled={**QUIET_ROUTES, **sampled}, headers=headers)
    app.add_middleware(outermost)
    app.quick = {path: outermost(QuickDoor(path, endpoint)) for path, endpoint in quick.items()}
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


class QuickDoor:
    """Answers one path's POST without FastAPI's layers, routing and injection, which cost more than storing a sample.

    The route stays declared with its router, which documents it and answers the other methods.
    """

    def __init__(self, path: str, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._role = role_of(endpoint)
        self._route = Route(path, endpoint)  # the request's line names it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self._route
        request = Request(scope, receive)
        try:
            caller = await scope["app"].state.gate.admit(scope, self._role)
            response = await self._endpoint(request, caller)
        except IopsError as error:
            keep_reason(request, error)
            response = problem_response(error)
            error.forget_frames()
        await response(scope, receive, send)


def routes_with_roles(app: FastAPI) -> Iterator[tuple[RouteContext, Role | None]]:
    """Every route and what it asks for, None where it is for everybody; raises TypeError where one does not say."""
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)  # a mounted application has none
        roles = roles_of(dependant) if dependant else set()
        if len(roles) != 1:
            raise TypeError(f"{route.path} asks for {len(roles)} roles: it needs one, or PUBLIC (iops.gate)")
        yield route, roles.pop()


def _operations(metrics: Metrics, health: Health) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/health/live", dependencies=[PUBLIC])
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @router.get(
        "/health/ready",
        dependencies=[PUBLIC],
        responses={503: {"description": "what fails, and why", "model": Readiness}},
    )
    async def ready() -> JSONResponse:
        """The process can do its work: 200, or 503 with what cannot."""
        failed = await health.failures()
        return JSONResponse({"status": "not ready" if failed else "ready", "failed": failed}, 503 if failed else 200)

    # A load balancer leads nobody there, but it compares paths as they are written, and `/%69nternal/` is another one.
    @router.get("/internal/metrics", include_in_schema=False, dependencies=[PUBLIC])
    async def expose(request: Request) -> Response:
        if FORWARDED in request.headers:
            raise NotFound(f"nothing answers {request.url.path} from outside")
        return Response(metrics.expose(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
