"""The session routes behind a real gate on a fake table, with a directory and browsers that a test leads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
from fastapi import APIRouter, FastAPI

from iops.auth import Caller, Role
from iops.errors import Unauthenticated
from iops.gate import Gate, Viewer
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.web import Health, create_service
from services.insights.session import ROUTERS
from services.insights.session.desk import Desk
from services.insights.session.hosted_ui import HostedUi, challenge_of
from tests.unit.builders import AT
from tests.unit.keyrings import Numbered, Ring
from tests.unit.routed import nothing_to_open
from tests.unit.signing import CLIENT, Identity, id_claims, signed

URL: Final = "https://iops.example.com"
DIRECTORY: Final = "https://id.example.com"
OURS: Final = {"Origin": URL}
AT_S: Final = int(AT.timestamp())

router = APIRouter()


@router.get("/whoami")
async def whoami(caller: Viewer) -> dict[str, Any]:
    return {"name": caller.name, "role": caller.role, "streams": caller.streams}


@cache
def an_app() -> FastAPI:
    return create_service(
        "test",
        routers=[*ROUTERS, router],
        lifespan=nothing_to_open,
        metrics=Metrics(),
        health=Health(),
        settings=ServiceSettings(auth="on", public_url=URL),
    )


class Directory:
    """A user pool: it holds browsers to PKCE, and gives a token for a code once."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.failure: Exception | None = None
        self.answer: bytes | None = None  # instead of a token's
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self._codes: dict[str, dict[str, str]] = {}

    def sign_in(self, location: str) -> dict[str, str]:
        """Ann signs in on the page that a browser was sent to; what the browser is sent back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return {"code": code, "state": asked["state"]}

    async def ask(self, url: str, form: Mapping[str, str]) -> bytes:
        self.asked.append((url, form))
        if self.failure:
            raise self.failure
        begun = self._codes.pop(form["code"], None)
        if begun is None or challenge_of(form["code_verifier"]) != begun["code_challenge"]:
            raise Unauthenticated("invalid_grant")
        return self.answer or json.dumps({"id_token": self.token(nonce=begun["nonce"])}).encode()

    def token(self, **claims: Any) -> str:
        return signed(id_claims(**{"exp": AT_S + 3_600, "iat": AT_S - 10} | claims | self.claims))


class Front:
    """The desk and what is around it."""

    def __init__(self, *, public_url: str = URL, has_directory: bool = True) -> None:
        identity = Identity()
        identity.at = AT
        self.directory, self.url = Directory(), public_url
        self.ring = Ring(people=identity.people)
        self.table, self.times = self.ring.table, self.ring.times
        hosted_ui = HostedUi(DIRECTORY, client_id=CLIENT, public_url=public_url, ask=self.directory.ask)
        app = an_app()
        app.state.gate = Gate(self.ring.keys, identity.people, origin=public_url, monotonic_s=self.times.monotonic_s)
        app.state.session = self.desk = Desk(
            self.table.table(),
            self.times.now,
            lambda: self.ring.peppers,
            identity.people,
            public_url,
            hosted_ui if has_directory else None,
            Numbered(),
            self.times.monotonic_s,
        )

    def browser(self, *, address: str = "10.0.0.7", **headers: str) -> httpx.AsyncClient:
        """It keeps cookies, and follows nothing by itself."""
        transport = httpx.ASGITransport(an_app(), client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url=self.url, trust_env=False, headers=headers)

    def holder(self, role: Role = Role.OPERATOR, **fields: Any) -> httpx.AsyncClient:
        """Who has a key."""
        return self.browser(**{"X-API-Key": self.ring.add(role, **fields)})

    async def signed_in(self) -> httpx.AsyncClient:
        """The browser of ann, an operator."""
        browser = self.browser()
        begun = await browser.get("/session/sign-in")
        answer = await browser.get("/session/callback", params=self.directory.sign_in(begun.headers["Location"]))
        assert answer.status_code == 303, answer.text
        return browser

    def pass_time(self, **length: float) -> None:
        self.ring.pass_s(timedelta(**length).total_seconds())


async def caller_of(browser: httpx.AsyncClient) -> Caller | None:
    """Who the gate finds in what a browser sends."""
    answer = await browser.get("/whoami")
    said = answer.json()
    return Caller(said["name"], Role(said["role"]), tuple(said["streams"])) if answer.status_code == 200 else None
