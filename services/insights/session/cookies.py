"""The two cookies: the session itself, and what waits in a browser while its person signs in."""

from __future__ import annotations

import base64
import hmac
from datetime import datetime, timedelta
from typing import Final

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict

from iops.errors import Unauthenticated
from iops.gate import SECURE_SESSION_COOKIE, SESSION_COOKIE
from iops.peppers import Pepper, Peppers
from services.insights.session.desk import Desk

ATTEMPT_COOKIE: Final = "iops_sign_in"
ATTEMPT_LIFE: Final = timedelta(minutes=10)
SEAL: Final = b"session-state"  # what the pepper's key is for; keys are hashed with another
STALE: Final = "this sign-in was not begun in this browser, or more than ten minutes ago; sign in again"


class Attempt(BaseModel):
    """One sign-in that is under way. PKCE's verifier leaves the browser's cookie for us and the directory only."""

    model_config = ConfigDict(frozen=True)

    state: str
    nonce: str
    verifier: str
    next_path: str
    expires_at: datetime


def set_session(response: Response, desk: Desk, credential: str, *, ends_at: datetime) -> None:
    """Signs the browser in with a token or a key.

    Lax, not Strict: somebody who follows a link in an alert's mail should not have to sign in again. What changes
    things is no GET, and the gate takes it from our own origin only.
    """
    left_s = int((ends_at - desk.clock()).total_seconds())
    _set(response, desk, _session_name(desk), value=credential, max_age_s=left_s)


def session_of(request: Request, desk: Desk) -> str:
    """What the browser is signed in with; empty where it is not."""
    return request.cookies.get(_session_name(desk), "")


def clear_session(response: Response, desk: Desk) -> None:
    """Signs the browser out."""
    _set(response, desk, _session_name(desk), value="", max_age_s=0)


def set_attempt(response: Response, desk: Desk, attempt: Attempt) -> None:
    """Keeps it in the browser."""
    sealed = seal(attempt, desk.peppers().current)
    _set(response, desk, _attempt_name(desk), value=sealed, max_age_s=int(ATTEMPT_LIFE.total_seconds()))


def attempt_of(request: Request, desk: Desk) -> Attempt:
    """Raises Unauthenticated where the browser has none that we gave it, or that is over."""
    attempt = unseal(request.cookies.get(_attempt_name(desk), ""), desk.peppers())
    if attempt.expires_at <= desk.clock():
        raise Unauthenticated(STALE)
    return attempt


def clear_attempt(response: Response, desk: Desk) -> None:
    """It serves once."""
    _set(response, desk, _attempt_name(desk), value="", max_age_s=0)


def seal(attempt: Attempt, pepper: Pepper) -> str:
    """Readable, but nobody else can write one."""
    payload = base64.urlsafe_b64encode(attempt.model_dump_json().encode()).decode().rstrip("=")
    return f"{pepper.id}.{payload}.{_mac(payload, pepper)}"


def unseal(sealed: str, peppers: Peppers) -> Attempt:
    """Raises Unauthenticated."""
    pepper_id, _, rest = sealed.partition(".")
    payload, _, mac = rest.partition(".")
    pepper = peppers.of(pepper_id)
    if pepper is None or not hmac.compare_digest(_mac(payload, pepper).encode(), mac.encode()):
        raise Unauthenticated(STALE)
    return Attempt.model_validate_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def _mac(payload: str, pepper: Pepper) -> str:
    key = hmac.digest(pepper.value, SEAL, "sha256")
    return hmac.digest(key, payload.encode(), "sha256").hex()


def _session_name(desk: Desk) -> str:
    return (SECURE_SESSION_COOKIE if desk.is_https else SESSION_COOKIE).decode()


def _attempt_name(desk: Desk) -> str:
    """With the prefix, a browser takes it from this very host only: a sibling host cannot plant its own attempt."""
    return f"__Host-{ATTEMPT_COOKIE}" if desk.is_https else ATTEMPT_COOKIE


def _set(response: Response, desk: Desk, name: str, *, value: str, max_age_s: int) -> None:
    response.set_cookie(name, value, max_age=max_age_s, path="/", secure=desk.is_https, httponly=True, samesite="lax")
