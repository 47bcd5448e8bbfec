"""What goes wrong before a page is made, as a page: a person who meets a problem+json meets a riddle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from iops.errors import InvalidQuery, IopsError, NotFound
from iops.problems import invalid_query, keep_reason
from services.insights.pages.render import error_page

Answer = Callable[[Request, Any], Response | Awaitable[Response]]
KINDS: Final = (IopsError, RequestValidationError, HTTPException)


def answer_pages(app: FastAPI) -> None:
    """Makes `app` answer with a page where a page was asked for, and else as before."""
    for kind in KINDS:
        app.add_exception_handler(kind, _or_a_page(app.exception_handlers[kind]))


def _or_a_page(otherwise: Answer) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        is_page = request.url.path == "/" or request.url.path.startswith("/ui/")
        shown = _shown(error) if is_page else None
        if shown is None:
            answered = otherwise(request, error)
            return answered if isinstance(answered, Response) else await answered
        keep_reason(request, shown)
        return error_page(request, shown)

    return answer


def _shown(error: Exception) -> IopsError | None:
    """None for what is no page: the way to the sign-in, and methods that no page has."""
    if isinstance(error, RequestValidationError):
        return InvalidQuery(invalid_query(error))
    if isinstance(error, HTTPException):
        return NotFound("no page is at this address") if error.status_code == NotFound.status else None
    return error if isinstance(error, IopsError) else None
