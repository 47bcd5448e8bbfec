"""The doors for people of the directory: in by its own pages, and out again."""

from __future__ import annotations

import base64
import hmac
import re
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel

from iops import items
from iops.audit import DeedKind
from iops.errors import (
    Conflict,
    Forbidden,
    IdentityUnavailable,
    InvalidQuery,
    IopsError,
    NotFound,
    TableUnavailable,
    Unauthenticated,
)
from iops.gate import CALLER, PUBLIC, Viewer, address_of, key_of
from iops.problems import error_responses
from iops.witness import deed_of
from services.insights.session.cookies import (
    ATTEMPT_LIFE,
    STALE,
    Attempt,
    attempt_of,
    clear_attempt,
    clear_session,
    session_of,
    set_attempt,
    set_session,
)
from services.insights.session.desk import NEXT_LIMIT, Desk, TheDesk
from services.insights.session.hosted_ui import HostedUi, claims_of
from services.insights.session.mint import end_key
from services.insights.session.pages import NO_DIRECTORY, error_page, page, page_errors

router = APIRouter(tags=["session"])

LOCAL_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # printable ASCII without a backslash, and no second slash
RANDOM_BYTES: Final = 32

Given = Annotated[str, Query(max_length=2_000)]


class SignedOut(BaseModel):
    """Where a browser goes so that the directory forgets it too."""

    logout_url: str | None


class Ended(BaseModel):
    """Whether a key was revoked; a person's own token ends by itself."""

    revoked: bool


@router.get(
    "/session/sign-in",
    dependencies=[PUBLIC],
    status_code=303,
    response_class=HTMLResponse,
    responses=page_errors(InvalidQuery, NotFound),
)
async def sign_in(
    desk: TheDesk,
    next_path: Annotated[str, Query(alias="next", max_length=NEXT_LIMIT, description="a path of this site")] = "/",
) -> Response:
    """Sends a browser to the directory's sign-in page, and back to `next`; where there is no directory, a page
    says how to come in."""
    try:
        attempt = begin(desk, next_path)
        if desk.hosted_ui is None:
            url = desk.public_url.rstrip("/")
            return page("Sign in first", NO_DIRECTORY, status=NotFound.status, url=url, next=attempt.next_path)
        there = desk.hosted_ui.authorize_url(state=attempt.state, nonce=attempt.nonce, verifier=attempt.verifier)
    except IopsError as error:
        return error_page(error)
    answer = RedirectResponse(there, 303)
    set_attempt(answer, desk, attempt)
    return answer


@router.get(
    "/session/callback",
    dependencies=[PUBLIC],
    status_code=303,
    response_class=HTMLResponse,
    responses=page_errors(Unauthenticated, Forbidden, IdentityUnavailable),
)
async def callback(request: Request, desk: TheDesk, code: Given = "", state: Given = "") -> Response:
    """Where the directory sends a browser back: signs it in, with the id token as its session."""
    try:
        desk.limits.addresses.take(address_of(request.scope))
        answer = await finish(request, desk, code=code, state=state)
    except IopsError as error:
        answer = error_page(error)
    clear_attempt(answer, desk)
    return answer


@router.post("/session/sign-out", dependencies=[PUBLIC], responses=error_responses(Forbidden, Conflict))
async def sign_out(request: Request, desk: TheDesk) -> SignedOut:
    """Ends the browser's session; a key that was made for it is revoked."""
    desk.check_origin(request)
    desk.limits.addresses.take(address_of(request.scope))
    await end_key(desk, request, session_of(request, desk).encode())
    answer = SignedOut(logout_url=desk.hosted_ui.logout_url() if desk.hosted_ui else None)
    response = JSONResponse(answer.model_dump())
    clear_session(response, desk)
    return response  # type: ignore[return-value]


@router.delete("/session", responses=error_responses(Forbidden, Conflict, TableUnavailable))
async def end_session(request: Request, desk: TheDesk, _: Viewer) -> Ended:
    """Revokes the key that it came with, where that was made by `iops login` or `iops open`."""
    key = key_of(request.scope)
    return Ended(revoked=key is not None and await end_key(desk, request, key))


def begin(desk: Desk, next_path: str) -> Attempt:
    """A new sign-in. Raises InvalidQuery unless it ends on a page of ours."""
    if not is_local(next_path):
        raise InvalidQuery("next has to be a path of this site, such as /")
    state, nonce, verifier = (
        base64.urlsafe_b64encode(desk.random_bytes(RANDOM_BYTES)).decode().rstrip("=") for _ in range(3)
    )
    return Attempt(
        state=state, nonce=nonce, verifier=verifier, next_path=next_path, expires_at=desk.clock() + ATTEMPT_LIFE
    )


async def finish(request: Request, desk: Desk, *, code: str, state: str) -> Response:
    """The session, for the browser that began and for nobody else. The deed is stored, or nobody comes in."""
    hosted_ui, attempt = _hosted_ui(desk), attempt_of(request, desk)
    if not hmac.compare_digest(attempt.state.encode(), state.encode()):
        raise Unauthenticated(STALE)
    if not code:
        raise Unauthenticated("the directory did not sign you in; sign in again")
    token = await hosted_ui.exchange(code, attempt.verifier)
    caller = await desk.people.caller_of(token)
    claims = claims_of(token)
    if not hmac.compare_digest(attempt.nonce.encode(), claims.nonce.encode()):
        raise Unauthenticated(STALE)
    request.scope[CALLER] = caller
    deed = deed_of(request, caller, DeedKind.SIGNED_IN, about=caller.name, now=desk.clock())
    await desk.table.transact([{"Put": items.deed_put(deed)}])
    answer = RedirectResponse(attempt.next_path, 303)
    set_session(answer, desk, token, ends_at=datetime.fromtimestamp(claims.exp, UTC))
    return answer


def is_local(path: str) -> bool:
    """Whether a browser that is sent there stays here.

    >>> [is_local(path) for path in ("/fleet?risk=80", "//evil.example", "/\\\\evil.example", "https://evil.example")]
    [True, False, False, False]
    """
    return LOCAL_PATH.fullmatch(path) is not None


def _hosted_ui(desk: Desk) -> HostedUi:
    if desk.hosted_ui is None:
        raise NotFound("people do not sign in by a directory here: `iops open` opens a browser that is signed in")
    return desk.hosted_ui
