"""The user pool's own sign-in pages: where a browser is sent, and what its code is worth."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal
from urllib.parse import urlencode

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iops.errors import IdentityUnavailable, Unauthenticated

EXCHANGE_TIMEOUT_S: Final = 5.0  # of the whole answer
ANSWER_LIMIT_BYTES: Final = 64 * 1024  # three tokens are 4 KB
TOKEN_LIMIT: Final = 3_800  # characters; browsers drop a cookie of more than 4,096 bytes
SCOPES: Final = "openid email"
CALLBACK: Final = "/session/callback"
AGAIN: Final = "sign in again"

Ask = Callable[[str, Mapping[str, str]], Awaitable[bytes]]  # posts a form; raises Unauthenticated, IdentityUnavailable


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    id_token: str = Field(
        min_length=1, max_length=TOKEN_LIMIT, pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"
    )


class IdClaims(BaseModel):
    """What is read of an id token beside who it is, once `People` have verified it."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    exp: float
    token_use: Literal["id"]
    nonce: str = ""


class HostedUi:
    """A public client with PKCE: it has no secret that could leak."""

    def __init__(self, url: str, *, client_id: str, public_url: str, ask: Ask) -> None:
        self._url, self._client_id, self._ask = url.rstrip("/"), client_id, ask
        self._public_url = public_url.rstrip("/")

    def authorize_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where a browser is sent to sign in."""
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._public_url + CALLBACK,
            "scope": SCOPES,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        return f"{self._url}/oauth2/authorize?{urlencode(asked)}"

    def logout_url(self) -> str:
        """Where a browser is sent so that the directory, too, forgets it."""
        return f"{self._url}/logout?{urlencode({'client_id': self._client_id, 'logout_uri': self._public_url + '/'})}"

    async def exchange(self, code: str, verifier: str) -> str:
        """The id token, not yet verified. Raises Unauthenticated, IdentityUnavailable."""
        form = {
            "grant_type": "authorization_code",
            "client_id": self._client_id,
            "redirect_uri": self._public_url + CALLBACK,
            "code": code,
            "code_verifier": verifier,
        }
        answer = await self._ask(f"{self._url}/oauth2/token", form)
        try:
            return _Answer.model_validate_json(answer).id_token
        except ValidationError as error:
            raise IdentityUnavailable("the directory answered with no id token that fits a cookie") from error


def challenge_of(verifier: str) -> str:
    """PKCE's S256, of RFC 7636's own example.

    >>> challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def claims_of(verified_token: str) -> IdClaims:
    """Raises Unauthenticated for what is no id token."""
    payload = verified_token.split(".")[1]
    try:
        return IdClaims.model_validate_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError as error:
        raise Unauthenticated(f"the token is none of a sign-in; {AGAIN}") from error


def asking(session: aiohttp.ClientSession) -> Ask:
    """Posts a form there and nowhere else; reads as much as an answer may be and little more."""

    async def ask(url: str, form: Mapping[str, str]) -> bytes:
        try:
            return await _post(session, url, form)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise IdentityUnavailable("the directory does not answer") from error

    return ask


async def _post(session: aiohttp.ClientSession, url: str, form: Mapping[str, str]) -> bytes:
    # Packed, a small answer could be a large one.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with session.post(url, data=form, headers=headers, allow_redirects=False) as response:
        if response.status == 400:
            raise Unauthenticated(f"the directory does not take the code, or not any more; {AGAIN}")
        if response.status != 200:
            raise IdentityUnavailable("the directory does not answer as it should")
        answer = bytearray()
        async for part in response.content.iter_any():
            answer += part
            if len(answer) > ANSWER_LIMIT_BYTES:
                raise IdentityUnavailable("the directory answers with more than a token")
        return bytes(answer)
