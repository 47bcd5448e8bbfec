"""A person's whole way in: by the user pool's own pages, by `iops open`, and with a machine of theirs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx
import pytest
import uvicorn

from bench.processes import free_port
from cli import login_store
from cli.login import Surroundings, login, logout, open_dashboard
from cli.outcome import Outcome
from services.insights.app import create_app
from services.insights.settings import InsightsSettings
from tests.integration.stand_ins import Cloud, wait_until
from tests.integration.test_cognito import PASSWORD, Pool, a_pool
from tests.secret_documents import write_secrets

HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass(frozen=True, slots=True)
class Site:
    """The insights service at an address of its own, and the pool whose people it knows."""

    url: str
    pool: Pool

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=20) as client:
            yield client

    async def sign_in(self, browser: httpx.AsyncClient, next_path: str = "/streams") -> httpx.Response:
        """As ann does it: she follows, types, sends the form, and is led back."""
        sent = await browser.get("/session/sign-in", params={"next": next_path})
        page = await browser.get(sent.headers["Location"])
        form = {name: unescape(value) for name, value in HIDDEN.findall(page.text)}
        assert form["redirect_uri"] == f"{self.url}/session/callback", page.text
        typed = form | {"username": "ann", "password": PASSWORD}
        back = await browser.post(f"{self.pool.cloud.endpoint_url}/login", data=typed)
        assert back.status_code == 302, back.text
        return await browser.get(back.headers["Location"])


@asynccontextmanager
async def served(settings: InsightsSettings, port: int) -> AsyncIterator[None]:
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings), host="127.0.0.1", port=port, log_config=None, ws="none", timeout_graceful_shutdown=1
        )
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        await wait_until(lambda: server.started)
        try:
            yield
        finally:
            server.should_exit = True


@pytest.fixture
async def site(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    pool, port = await a_pool(cloud), free_port()
    await pool.join("operator")
    url = f"http://127.0.0.1:{port}"
    await pool.call(
        "update_user_pool_client",
        ClientId=pool.client_id,
        CallbackURLs=[f"{url}/session/callback"],
        AllowedOAuthFlows=["code"],
        AllowedOAuthScopes=["openid", "email"],
        AllowedOAuthFlowsUserPoolClient=True,
        SupportedIdentityProviders=["COGNITO"],
    )
    settings = InsightsSettings(
        aws_endpoint_url=cloud.endpoint_url,
        auth="on",
        secrets_file=write_secrets(tmp_path / "secrets.json"),
        public_url=url,
        issuer=f"https://cognito-idp.us-east-1.amazonaws.com/{pool.pool_id}",
        jwks_url=f"{cloud.endpoint_url}/{pool.pool_id}/.well-known/jwks.json",
        client_ids=(pool.client_id,),
        hosted_ui_url=cloud.endpoint_url,
    )
    async with served(settings, port):
        yield Site(url, pool)


async def test_somebody_of_the_pool_signs_in_looks_around_and_signs_out(site: Site) -> None:
    async with site.browser() as browser:
        assert (await browser.get("/streams")).status_code == 401
        answer = await site.sign_in(browser)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/streams"), answer.text
        assert (await browser.get("/streams")).status_code == 200

        out = await browser.post("/session/sign-out", headers={"Origin": site.url})
        assert out.json()["logout_url"].startswith(f"{site.pool.cloud.endpoint_url}/logout?client_id=")
        assert (await browser.get("/streams")).status_code == 401


async def test_the_directory_takes_no_code_twice_nor_without_its_verifier(site: Site) -> None:
    async with site.browser() as browser, site.browser() as other:
        answer = await site.sign_in(browser)
        again = await browser.get(answer.request.url)
        assert again.status_code == 401
        # Another browser's attempt is under way, and it is sent there with ann's code and its own state.
        begun = await other.get("/session/sign-in")
        state = httpx.URL(begun.headers["Location"]).params["state"]
        stolen = await other.get(
            "/session/callback", params={"code": answer.request.url.params["code"], "state": state}
        )
        assert stolen.status_code == 401
        assert "directory does not take the code" in stolen.text


async def test_a_machine_signs_in_with_a_person_opens_a_browser_and_signs_out(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ""

    async def approve_meanwhile(_: float) -> None:
        nonlocal shown
        shown += capsys.readouterr().out
        code = re.search(r"type the code (\S+)", shown)
        assert code is not None
        async with site.browser() as browser:
            sent = await browser.get("/session/device")
            assert sent.headers["Location"] == "/session/sign-in?next=%2Fsession%2Fdevice"
            await site.sign_in(browser, "/session/device")
            assert "Type the code" in (await browser.get("/session/device")).text
            origin = {"Origin": site.url}
            page = await browser.post("/session/device/look", data={"code": code[1]}, headers=origin)
            assert "<strong>ann-laptop</strong>, from the address 127.0.0.1" in page.text
            form = dict(HIDDEN.findall(page.text))
            done = await browser.post("/session/device/approve", data=form, headers=origin)
            assert done.status_code == 200, done.text

    around = Surroundings(sleep=approve_meanwhile)
    assert await login(site.url, name="ann-laptop", opens=False, around=around) == Outcome.OK
    key = login_store.kept(site.url)
    assert key is not None

    async with site.browser() as browser:
        assert (await browser.get("/streams", headers={"X-API-Key": key})).status_code == 200
        capsys.readouterr()
        await open_dashboard(site.url, prints=True, around=Surroundings())
        code = capsys.readouterr().out.strip().partition("#")[2]
        for status in (200, 400):
            opened = await browser.post("/session/open", json={"code": code}, headers={"Origin": site.url})
            assert opened.status_code == status, opened.text
        assert (await browser.get("/streams")).status_code == 200

    await logout(site.url, transport=None)
    assert login_store.kept(site.url) is None
