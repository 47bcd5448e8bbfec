"""Errors as every caller sees them: problem+json (RFC 9457), the same from every service."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from iops.errors import InvalidInput, InvalidQuery, IopsError, Unauthenticated, Unavailable

FACTS: Final = "iops.facts"  # of a request, in its scope; they go into its line
PROBLEM_TYPE: Final = "application/problem+json"


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
ERROR_RESPONSE: Final[Mapping[str, Any]] = {
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


def answer_errors(app: FastAPI) -> None:
    """Makes `app` answer what its routes and its framework raise."""
    app.add_exception_handler(IopsError, _answer_expected)
    app.add_exception_handler(RequestValidationError, _answer_invalid_query)
    app.add_exception_handler(HTTPException, _answer_http)


def problem_response(error: IopsError) -> Response:
    """An expected failure as the sender sees it."""
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Unavailable) else {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    extra: dict[str, Any] = {}
    if isinstance(error, InvalidInput):
        extra["errors"] = [{"field": found.field, "message": found.message} for found in error.problems]
    body = problem(error.status, error.code, error.title, error.told) | extra
    return JSONResponse(body, error.status, headers, media_type=PROBLEM_TYPE)


def keep_reason(request: Request, error: IopsError) -> None:
    """For the request's line, where the caller is told less."""
    if error.told != error.detail:
        request.scope.setdefault(FACTS, {})["reason"] = error.detail


async def _answer_expected(request: Request, error: Exception) -> Response:
    assert isinstance(error, IopsError)
    keep_reason(request, error)
    return problem_response(error)


async def _answer_invalid_query(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    body = problem(400, InvalidQuery.code, InvalidQuery.title, invalid_query(error)) | {"errors": _fields(error)}
    return JSONResponse(body, 400, media_type=PROBLEM_TYPE)


def invalid_query(error: RequestValidationError) -> str:
    """The first thing that is wrong with the parameters."""
    first = _fields(error)[0]
    return f"{first['field']}: {first['message']}"


def _fields(error: RequestValidationError) -> list[dict[str, str]]:
    return [
        {"field": ".".join(str(part) for part in found["loc"][1:]), "message": found["msg"]} for found in error.errors()
    ]


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    body = problem(error.status_code, code, str(error.detail), "the paths are in docs/openapi")
    headers = {"Allow": _methods_of(request)} if error.status_code == 405 else error.headers
    return JSONResponse(body, error.status_code, headers, media_type=PROBLEM_TYPE)


def _methods_of(request: Request) -> str:
    """All that a path knows: the framework names those of its first route only."""
    routes = (route for route in iter_route_contexts(request.app.routes) if route.path_regex.match(request.url.path))
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


def problem(status: int, code: str, title: str, detail: str) -> dict[str, Any]:
    """The members that every problem has."""
    return {"type": f"urn:iops-dashboard:{code}", "title": title, "status": status, "code": code, "detail": detail}


def bare_500() -> Response:
    body = problem(500, "internal", IopsError.title, "the request id in x-request-id finds it in the log")
    return JSONResponse(body, 500, media_type=PROBLEM_TYPE)
