"""The doors for who has a key but no directory: a link that signs in the one browser that opens it first."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from iops import items
from iops.body import body_schema, read_body
from iops.errors import (
    ExpiredCode,
    Forbidden,
    InvalidInput,
    RateExceeded,
    SlowBody,
    TableUnavailable,
)
from iops.gate import PUBLIC, Viewer, address_of
from iops.problems import error_responses
from iops.sign_in import Link
from services.insights.session.cookies import set_session
from services.insights.session.desk import Desk, TheDesk
from services.insights.session.mint import BROWSER, Minted, grant_of, hash_of, mint
from services.insights.session.pages import LINK, LINK_SCRIPT, page

router = APIRouter(tags=["session"])

LINK_LIFE: Final = timedelta(seconds=60)
CODE_BYTES: Final = 32
USED: Final = "the link was used already, or is older than a minute; `iops open` makes another"


class LinkView(BaseModel):
    """Whoever opens it first is signed in. The code is behind the #, so no server's log has it."""

    url: str
    expires_at: datetime


class OpenBody(BaseModel):
    """The code of a link."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


class Opened(BaseModel):
    """Until when the browser is signed in."""

    expires_at: datetime


@router.post("/session/links", status_code=201, responses=error_responses(TableUnavailable))
async def make_link(request: Request, desk: TheDesk, caller: Viewer) -> LinkView:
    """A link that signs in one browser, within a minute, with the caller's own role and streams."""
    code = base64.urlsafe_b64encode(desk.random_bytes(CODE_BYTES)).decode().rstrip("=")
    link = Link(grant=await grant_of(desk, request, caller), expires_at=desk.clock() + LINK_LIFE)
    await desk.table.transact([{"Put": items.link_put(hash_of(code), link)}])
    return LinkView(url=desk.url_of(f"/session/link#{code}"), expires_at=link.expires_at)


@router.get("/session/link", dependencies=[PUBLIC], response_class=HTMLResponse)
async def show_link() -> Response:
    """The page that a link leads to."""
    return page("Signing in", LINK)


@router.get("/session/link.js", dependencies=[PUBLIC], include_in_schema=False)
async def script() -> Response:
    return Response(LINK_SCRIPT, media_type="text/javascript")


@router.post(
    "/session/open",
    dependencies=[PUBLIC],
    responses=error_responses(ExpiredCode, Forbidden, SlowBody, InvalidInput, RateExceeded, TableUnavailable),
    openapi_extra=body_schema(OpenBody),
)
async def open_link(request: Request, desk: TheDesk) -> Opened:
    """Signs the browser in with the code of its link, once."""
    desk.check_origin(request)
    desk.limits.addresses.take(address_of(request.scope))
    body = await read_body(request, OpenBody)
    minted = await _take(desk, request, body.code)
    response = JSONResponse(Opened(expires_at=minted.expires_at).model_dump(mode="json"))
    set_session(response, desk, minted.key, ends_at=minted.expires_at)
    return response  # type: ignore[return-value]


async def _take(desk: Desk, request: Request, code: str) -> Minted:
    """Raises ExpiredCode for all but the first who comes in time."""
    code_hash = hash_of(code)
    link = await desk.table.get_readable(items.link_key(code_hash), items.item_to_link)
    if link is None or link.expires_at <= desk.clock():
        raise ExpiredCode(USED)
    takes = items.delete_present(items.link_key(code_hash))
    return await mint(desk, request, link.grant, name=f"{BROWSER} {link.grant.name}", takes=takes, gone=USED)
