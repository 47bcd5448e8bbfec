"""What every answer tells a browser, and who sees the reference pages."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from iops.gate import PUBLIC, Agent
from iops.headers import AnswerHeaders
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.web import Health, create_service
from local.gateway import Gateway
from services.alerts.app import create_app as create_alerts
from services.alerts.settings import AlertsSettings
from services.ingest.app import create_app as create_ingest
from services.ingest.settings import IngestSettings
from services.insights.app import create_app as create_insights
from services.insights.settings import InsightsSettings

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
HTTPS = "https://iops.example.com"
router = APIRouter(dependencies=[PUBLIC])


@router.get("/page", response_class=HTMLResponse)
async def page() -> str:
    return "<p>hello"


@router.get("/script.js")
async def script() -> Response:
    return Response("1", media_type="text/javascript", headers={"Cache-Control": "max-age=60"})


async def quick(request: Request, caller: Agent) -> Response:
    return Response(status_code=202)


@asynccontextmanager
async def nothing_to_open(_: FastAPI) -> AsyncIterator[None]:
    yield


def a_service(*, docs: bool = False, public_url: str = "http://127.0.0.1:8080") -> FastAPI:
    return create_service(
        "test",
        routers=[router],
        lifespan=nothing_to_open,
        metrics=Metrics(),
        health=Health(),
        settings=ServiceSettings(docs=docs, public_url=public_url),
        quick={"/quick": quick},
    )


async def ask(app: FastAPI | Gateway, path: str, method: str = "GET") -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", trust_env=False) as client:
        return await client.request(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/page"), ("POST", "/quick"), ("GET", "/nothing"), ("DELETE", "/page"), ("GET", "/health/live")],
)
async def test_every_answer_has_the_security_headers(method: str, path: str) -> None:
    headers = (await ask(a_service(), path, method)).headers

    assert EVERYWHERE.items() <= dict(headers).items()
    assert "strict-transport-security" not in headers


async def test_a_page_may_run_only_what_is_its_own() -> None:
    assert (await ask(a_service(), "/page")).headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )


async def test_data_may_run_nothing() -> None:
    headers = (await ask(a_service(), "/health/live")).headers

    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_what_an_answer_says_itself_is_said_once() -> None:
    assert (await ask(a_service(), "/script.js")).headers.get_list("cache-control") == ["max-age=60"]


async def test_the_gateways_own_answers_have_them_too() -> None:
    response = await ask(Gateway({}), "/internal/metrics")

    assert response.status_code == 404
    assert EVERYWHERE.items() <= dict(response.headers).items()
    assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("public_url", [HTTPS, "HTTPS://iops.example.com"])
def test_browsers_are_kept_to_https_where_people_come_in_by_https(public_url: str) -> None:
    assert (b"strict-transport-security", b"max-age=31536000") in AnswerHeaders(public_url).complete([])


@pytest.mark.parametrize(
    "create",
    [
        lambda: create_ingest(IngestSettings(auth="on", public_url=HTTPS)),
        lambda: create_insights(InsightsSettings(auth="on", public_url=HTTPS)),
        lambda: create_alerts(AlertsSettings(auth="on", public_url=HTTPS)),
    ],
    ids=["ingest", "insights", "alerts"],
)
async def test_each_service_takes_it_from_its_settings_and_shows_no_reference(create: Callable[[], FastAPI]) -> None:
    service = create()  # not while tests are collected: it configures the logging of all of them
    for path in ("/docs", "/redoc", "/openapi.json"):
        response = await ask(service, path)
        assert response.status_code == 404
        assert response.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_reference_page_runs_its_own_scripts_only(path: str) -> None:
    response = await ask(a_service(docs=True), path)

    (policy,) = response.headers.get_list("content-security-policy")
    assert response.status_code == 200
    assert policy.count("'sha256-") == response.text.count("<script>")
    assert "script-src https://cdn.jsdelivr.net/npm/ " in policy
    assert re.findall(r'<script src="([^"]*)', response.text)[0].startswith("https://cdn.jsdelivr.net/npm/")


async def test_the_reference_is_the_document_without_itself() -> None:
    document = (await ask(a_service(docs=True), "/openapi.json")).json()

    assert "/page" in document["paths"]
    assert not {"/docs", "/redoc", "/openapi.json"} & document["paths"].keys()
