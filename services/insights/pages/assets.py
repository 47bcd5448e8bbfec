"""The files that pages load, by the digest of all of them: a browser keeps them until one changes."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Response
from fastapi import Path as InPath

from iops.errors import NotFound
from iops.gate import PUBLIC
from iops.problems import error_responses

router = APIRouter(include_in_schema=False)

STATIC: Final = Path(__file__).with_name("static")
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
VENDOR: Final = ("vendor/htmx.min.js", "vendor/uPlot.iife.min.js", "vendor/uPlot.min.css")  # `make assets`
A_YEAR: Final = "public, max-age=31536000, immutable"


@cache
def files() -> dict[str, bytes]:
    """By their names under static/, as they were when the process first looked; 200 KB."""
    found = (path for path in sorted(STATIC.rglob("*")) if path.is_file() and path.suffix in MEDIA_TYPES)
    return {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in found}


@cache
def digest() -> str:
    """Of all of them, 12 hex digits."""
    whole = hashlib.sha256()
    for name, content in files().items():
        whole.update(f"{name}\0{len(content)}\0".encode() + content)
    return whole.hexdigest()[:12]


def url_of(name: str) -> str:
    """Where a page loads a file from; modules find each other beside it."""
    return f"/static/{digest()}/{name}"


def has_vendor() -> bool:
    """Whether the libraries of others were copied. Without them pages can be read, but nothing in them moves."""
    return all(name in files() for name in VENDOR)


@router.get("/static/{version}/{name:path}", dependencies=[PUBLIC], responses=error_responses(NotFound))
async def get_asset(version: str, name: Annotated[str, InPath(max_length=200)]) -> Response:
    """A file. Under another digest than ours, which a page of another replica named, it is not to be kept."""
    content = files().get(name)
    if content is None:
        raise NotFound(f"no page loads a file {name[:100]!r}")
    headers = {"Cache-Control": A_YEAR if version == digest() else "no-store"}
    return Response(content, headers=headers, media_type=MEDIA_TYPES[Path(name).suffix])
