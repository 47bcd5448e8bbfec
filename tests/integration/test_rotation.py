"""Secrets that change while services run: in the stand-in's Secrets Manager, and in a file."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from structlog.testing import capture_logs

from iops.contract import ALERTS_SECRETS, PEPPER_SECRETS
from iops.observability import Metrics
from iops.peppers import Peppers, add_pepper
from iops.secrets import SecretUnread, open_secret
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from services.alerts.app import create_app
from services.alerts.settings import AlertsSettings, Webhook, WebhookKind
from tests.doubles.hook import running_hook
from tests.integration.stand_ins import Cloud, wait_until
from tests.integration.test_alerts import insight_now, write
from tests.integration.test_changing_flags import wait_for
from tests.secret_documents import PEPPERS, write_secrets
from tests.unit.test_peppers import NOW, counting_bytes
from tests.unit.virtual_time import cancelled

SHORT_S = 0.02  # between two reads


@pytest.fixture
async def table(settings: ServiceSettings) -> AsyncIterator[Table]:
    async with open_table(settings) as opened:
        yield opened


async def put(cloud: Cloud, name: str, document: Any) -> None:
    """A new version; the first time, a new secret."""
    text = json.dumps(document)
    known = await cloud.call("secretsmanager", "list_secrets")
    if name in [each["Name"] for each in known["SecretList"]]:
        await cloud.call("secretsmanager", "put_secret_value", SecretId=name, SecretString=text)
    else:
        await cloud.call("secretsmanager", "create_secret", Name=name, SecretString=text)


async def test_a_new_version_in_secrets_manager_holds_without_a_restart(cloud: Cloud) -> None:
    await put(cloud, PEPPER_SECRETS, PEPPERS)
    settings = ServiceSettings(aws_endpoint_url=cloud.endpoint_url, secrets_interval_s=SHORT_S)
    async with open_secret(settings, PEPPER_SECRETS, Peppers, Metrics()) as peppers, running(peppers.run()):
        before = peppers.current
        await put(cloud, PEPPER_SECRETS, add_pepper(before, NOW, counting_bytes()).reveal())
        await wait_until(lambda: peppers.current.current.value == bytes([2] * 32))

        assert peppers.current.of(before.current.id) == before.current


async def test_a_secret_that_is_not_there_refuses_to_start(cloud: Cloud) -> None:
    settings = ServiceSettings(aws_endpoint_url=cloud.endpoint_url)

    with pytest.raises(SecretUnread, match=r"iops-dashboard/none cannot be read .*\(ResourceNotFoundException\)"):
        async with open_secret(settings, "iops-dashboard/none", Peppers, Metrics()):
            pass


@asynccontextmanager
async def running(loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Beside the test."""
    task = asyncio.create_task(loop)
    try:
        yield
    finally:
        await cancelled(task)


def rotate(path: Path, url: str) -> None:
    write_secrets(path, {ALERTS_SECRETS: {"webhooks": {"team": {"url": url, "key": "k" * 16}}}})


@asynccontextmanager
async def alerts_service(cloud: Cloud, path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """With one webhook, whose secret is in the file."""
    settings = AlertsSettings(
        aws_endpoint_url=cloud.endpoint_url,
        poll_s=0.02,
        canary=False,
        secrets_file=path,
        secrets_interval_s=SHORT_S,
        webhooks=(Webhook(name="team", kind=WebhookKind.GENERIC),),
        webhook_hosts=frozenset({"127.0.0.1"}),
        webhook_private=True,
    )
    async with LifespanManager(create_app(settings), startup_timeout=30) as manager:
        transport = httpx.ASGITransport(app=manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client


async def test_the_next_delivery_goes_to_the_url_that_was_rotated_in_and_no_log_line_shows_one(
    cloud: Cloud, table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "secrets.json"
    async with running_hook() as old, running_hook() as new:
        rotate(path, old.url())
        async with alerts_service(cloud, path) as client:
            await write(table, insight_now("web-1:sda", 99.0))
            await wait_until(lambda: len(old.bodies) == 1)

            rotate(path, "https://elsewhere.example.org/")  # which is on no list
            await wait_for(client, "iops_secrets_unread_total", 1)
            with capture_logs() as told:
                rotate(path, new.url())
                await wait_until(lambda: "secret_changed" in [line["event"] for line in told])
            await write(table, insight_now("web-2:sda", 99.0, peer_group="web-2"))
            await wait_until(lambda: len(old.bodies) + len(new.bodies) == 2)

        assert len(new.bodies) == 1
    lines = capsys.readouterr().err
    assert "event_delivered" in lines
    shown = [value for value in (old.url(), new.url(), "elsewhere.example.org", "k" * 16) if value in lines]
    assert shown == []
