"""What the service makes of a token endpoint that is away, slow of mind, or means harm."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from iops.errors import IdentityUnavailable, Unauthenticated
from services.insights.session.hosted_ui import ANSWER_LIMIT_BYTES, HostedUi, asking
from services.insights.settings import InsightsSettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def a_directory(handler: Handler) -> AsyncIterator[HostedUi]:
    app = web.Application()
    app.router.add_post("/oauth2/token", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("/"))
        yield HostedUi(url, client_id="4f1s", public_url="https://iops.example.com/", ask=asking(session))


async def exchange(handler: Handler) -> str:
    async with a_directory(handler) as directory:
        return await directory.exchange("c0de", "verifier")


async def test_a_code_is_exchanged_with_its_verifier_and_without_a_secret() -> None:
    forms: list[dict[str, str]] = []

    async def give(request: web.Request) -> web.Response:
        forms.append({name: str(value) for name, value in (await request.post()).items()})
        return web.json_response({"id_token": "a.b.c", "access_token": "d.e.f"})

    assert await exchange(give) == "a.b.c"
    assert forms == [
        {
            "grant_type": "authorization_code",
            "client_id": "4f1s",
            "redirect_uri": "https://iops.example.com/session/callback",
            "code": "c0de",
            "code_verifier": "verifier",
        }
    ]


async def test_a_code_that_the_directory_refuses_signs_nobody_in() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": "invalid_grant", "error_description": "hunter2"}, status=400)

    with pytest.raises(Unauthenticated) as raised:
        await exchange(refuse)
    assert "hunter2" not in raised.value.detail


async def test_an_answer_without_an_end_is_not_read_to_it() -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 100 * ANSWER_LIMIT_BYTES:
            await response.write(b"x" * ANSWER_LIMIT_BYTES)
            sent += ANSWER_LIMIT_BYTES
        return response

    with pytest.raises(IdentityUnavailable, match="more than a token"):
        await exchange(pour)
    assert sent < 100 * ANSWER_LIMIT_BYTES


@pytest.mark.parametrize("status", [302, 307, 401, 404, 500, 503])
async def test_a_code_is_sent_nowhere_else_and_other_answers_are_an_outage(status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text="<html>hunter2</html>", headers={"Location": "http://127.0.0.1:9/"})

    with pytest.raises(IdentityUnavailable) as raised:
        await exchange(answer)
    assert "hunter2" not in raised.value.detail


async def test_a_directory_that_is_away_is_told_as_such() -> None:
    async with aiohttp.ClientSession() as session:
        directory = HostedUi(
            "http://127.0.0.1:9", client_id="c", public_url="https://iops.example.com", ask=asking(session)
        )
        with pytest.raises(IdentityUnavailable, match="does not answer"):
            await directory.exchange("c0de", "verifier")


def test_passwords_are_typed_behind_https_only() -> None:
    issuer = {"issuer": "https://id.example.com", "client_ids": ("4f1s",)}

    assert InsightsSettings(hosted_ui_url="https://login.example.com", **issuer).hosted_ui_url  # type: ignore[arg-type]
    assert InsightsSettings(hosted_ui_url="http://127.0.0.1:4566", **issuer).hosted_ui_url  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="https"):
        InsightsSettings(hosted_ui_url="http://login.example.com", **issuer)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="IOPS_ISSUER"):
        InsightsSettings(hosted_ui_url="https://login.example.com")
