"""Where a service listens, whom it believes, and when its doors may stand open."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from iops.cors import allow_origins
from iops.loopback import is_loopback_host, is_loopback_url
from iops.serve import server_config
from iops.settings import ServiceSettings
from iops.slow_clients import BoundedHttpProtocol

GRAFANA = "https://grafana.example.com"


async def nobody(*_: Any) -> None:
    """An app."""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST"])
def test_this_machines_own_addresses_are_loopback(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example.com", "127.1", "::ffff:10.0.0.1"])
def test_others_are_not(host: str) -> None:
    assert not is_loopback_host(host)


@pytest.mark.parametrize("url", ["http://127.0.0.1@evil.example", "http://[::1", "", "//", "http://0x7f.1"])
def test_a_url_that_only_looks_like_it_is_not_loopback(url: str) -> None:
    assert not is_loopback_url(url)


def test_by_default_only_this_machine_is_served_and_nobody_is_believed() -> None:
    settings = ServiceSettings(auth="on")
    config = server_config(nobody, settings)

    assert (config.host, config.port, config.proxy_headers) == ("127.0.0.1", 8000, False)
    assert (settings.trusted_proxies, settings.cors_origins) == ((), ())
    assert ServiceSettings.model_fields["auth"].default == "on"


def test_nothing_of_the_server_is_left_to_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    config = server_config(nobody, ServiceSettings())

    assert (config.workers, config.forwarded_allow_ips) == (1, [])
    assert (config.http, config.ws, config.access_log, config.server_header) == (
        BoundedHttpProtocol,
        "none",
        False,
        False,
    )
    assert (config.timeout_keep_alive, config.timeout_graceful_shutdown) == (5, 8)


def test_a_connection_idles_as_long_as_the_balancer_in_front_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOPS_KEEP_ALIVE_S", "65")

    assert server_config(nobody, ServiceSettings()).timeout_keep_alive == 65


def test_lists_are_said_as_a_shell_says_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOPS_TRUSTED_PROXIES", "10.0.0.7, 10.0.1.0/24,::1,")
    monkeypatch.setenv("IOPS_CORS_ORIGINS", f"{GRAFANA},http://localhost:3000")

    settings = ServiceSettings()

    assert settings.trusted_proxies == ("10.0.0.7", "10.0.1.0/24", "::1")
    assert settings.cors_origins == (GRAFANA, "http://localhost:3000")


@pytest.mark.parametrize("proxies", ["*", "0.0.0.0/0", "::/0", "proxy.example.com", "10.0.0.1/24", "10.0.0"])
def test_who_is_believed_is_named_exactly(proxies: str) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(trusted_proxies=(proxies,))


@pytest.mark.parametrize(
    "origin",
    [
        "*", "null", "grafana.example.com", "http://grafana.example.com", f"{GRAFANA}/", f"{GRAFANA}?a", f"{GRAFANA}:x",
        "https://*.example.com", "https://a@example.com", "https://", "ftp://127.0.0.1", "HTTPS://GRAFANA.example.com",
        "http://localhost.example.com",
    ],
)  # fmt: skip
def test_an_origin_is_exact_and_https_unless_it_is_this_machine(origin: str) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(cors_origins=(origin,))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"auth": "off", "listen_host": "0.0.0.0"}, "needs IOPS_LISTEN_HOST to be 127.0.0.1"),
        ({"auth": "off", "listen_host": "web-1"}, "needs IOPS_LISTEN_HOST to be 127.0.0.1"),
        ({"auth": "off", "public_url": "https://iops.example.com"}, "needs IOPS_PUBLIC_URL to be on 127.0.0.1"),
        ({"auth": "on", "docs": True, "public_url": "https://iops.example.com"}, "IOPS_DOCS=true needs"),
    ],
)
def test_a_door_stands_open_on_loopback_only(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ServiceSettings(**settings)


def test_with_authentication_a_service_may_listen_anywhere() -> None:
    settings = ServiceSettings(auth="on", listen_host="0.0.0.0", public_url="https://iops.example.com")

    assert settings.listen_host == "0.0.0.0"


def a_client(*origins: str) -> httpx.AsyncClient:
    app = FastAPI()

    @app.get("/streams")
    async def streams() -> list[str]:
        return []

    allow_origins(app, origins)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", trust_env=False)


async def preflight(client: httpx.AsyncClient, origin: str, method: str, header: str) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": header}
    return await client.options("/streams", headers=asked)


async def test_no_other_site_may_read_an_answer() -> None:
    async with a_client() as client:
        reply = await client.get("/streams", headers={"Origin": GRAFANA})
        asked = await preflight(client, GRAFANA, "GET", "X-API-Key")

    assert not [name for name in (*reply.headers, *asked.headers) if name.startswith("access-control")]
    assert asked.status_code == 405


@pytest.mark.parametrize("header", ["X-API-Key", "authorization", "Content-Type"])
async def test_a_named_site_may_ask_with_a_key_and_without_cookies(header: str) -> None:
    async with a_client(GRAFANA) as client:
        reply = await client.get("/streams", headers={"Origin": GRAFANA})
        asked = await preflight(client, GRAFANA, "DELETE", header)

    assert reply.headers["access-control-allow-origin"] == GRAFANA
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-methods"] == "GET, POST, DELETE"
    assert "access-control-allow-credentials" not in {**reply.headers, **asked.headers}


@pytest.mark.parametrize(
    ("origin", "method", "header"),
    [("https://evil.example", "GET", "X-API-Key"), (GRAFANA, "PUT", "X-API-Key"), (GRAFANA, "GET", "X-Other")],
)
async def test_other_sites_methods_and_headers_are_not_allowed(origin: str, method: str, header: str) -> None:
    async with a_client(GRAFANA) as client:
        assert (await preflight(client, origin, method, header)).status_code == 400
        reply = await client.get("/streams", headers={"Origin": "https://evil.example"})

    assert "access-control-allow-origin" not in reply.headers
