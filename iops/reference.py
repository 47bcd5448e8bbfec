"""The pages that show a service's OpenAPI document in a browser, for whoever develops against it."""

import base64
import hashlib
import re
from typing import Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse

from iops.gate import PUBLIC

SCRIPTS: Final = "https://cdn.jsdelivr.net/npm/"  # where FastAPI's two pages load their scripts
INLINE_SCRIPT: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def reference_pages() -> APIRouter:
    """`/docs`, `/redoc` and `/openapi.json`."""
    router = APIRouter(include_in_schema=False, dependencies=[PUBLIC])

    @router.get("/openapi.json")
    async def document(request: Request) -> Response:
        return JSONResponse(_app(request).openapi())

    @router.get("/docs")
    async def docs(request: Request) -> Response:
        return _allowed(get_swagger_ui_html(openapi_url="openapi.json", title=_app(request).title))

    @router.get("/redoc")
    async def redoc(request: Request) -> Response:
        title = _app(request).title
        return _allowed(get_redoc_html(openapi_url="openapi.json", title=title, with_google_fonts=False))

    return router


def _app(request: Request) -> FastAPI:
    app = request.app
    assert isinstance(app, FastAPI)
    return app


def _allowed(page: HTMLResponse) -> HTMLResponse:
    """The page with a policy that lets exactly its own scripts run; both style themselves as they go."""
    hashes = (base64.b64encode(hashlib.sha256(text).digest()).decode() for text in INLINE_SCRIPT.findall(page.body))
    inline = " ".join(f"'sha256-{text}'" for text in hashes)
    page.headers["content-security-policy"] = (
        f"default-src 'none'; script-src {SCRIPTS} {inline}; style-src {SCRIPTS} 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return page
