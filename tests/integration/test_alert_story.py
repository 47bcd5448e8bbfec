"""One alert from its first page to its end, through the API, the bus, its rule and the mailbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager

from iops import items
from iops.clock import now
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from services.alerts.app import create_app
from services.alerts.settings import AlertsSettings
from tests.integration.examples import an_insight
from tests.integration.stand_ins import Cloud, wait_until


@pytest.fixture
async def table(settings: ServiceSettings) -> AsyncIterator[Table]:
    async with open_table(settings) as opened:
        yield opened


@asynccontextmanager
async def alerts_service(url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(AlertsSettings(aws_endpoint_url=url, poll_s=0.02))
    async with LifespanManager(app, startup_timeout=30) as manager:
        transport = httpx.ASGITransport(app=manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client


async def post(client: httpx.AsyncClient, path: str, status: int = 200, **body: Any) -> Any:
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_an_alert_is_acknowledged_silenced_fires_again_and_is_resolved(cloud: Cloud, table: Table) -> None:
    insight = an_insight("web-1:sda", risk_score=91.0, created_at=now())
    await table.transact([{"Put": {"Item": row}} for row in (items.insight_item(insight), items.outbox_item(insight))])

    async with alerts_service(cloud.endpoint_url) as client:
        await wait_until(lambda: len(cloud.mails()) == 1)
        (alert,) = (await client.get("/alerts", params={"state": "firing"})).json()["items"]
        path = f"/alerts/{alert['alert_id']}"

        await post(client, f"{path}/acknowledge", reason="mine")
        await post(client, f"{path}/silence", until=(now() + timedelta(seconds=1.5)).isoformat(), reason="a restore")
        assert (await client.get(path)).json()["state"] == "silenced"

        async def fires() -> bool:
            state: str = (await client.get(path)).json()["state"]
            return state == "firing"

        await wait_until(fires)
        made = await post(client, "/alerts/silences", 201, scope="peer_group", value="web-1", duration_s=60, reason="x")
        assert made["alerts_changed"] == 1
        ended = (await client.delete(f"/alerts/silences/{made['silence_id']}")).json()
        assert (ended["alerts_changed"], (await client.get("/alerts/silences")).json()["items"]) == (1, [])
        await post(client, f"{path}/resolve", reason="replaced")
        shown = (await client.get(path)).json()

    history = [(change["what"], change["by"], change["reason"]) for change in reversed(shown["history"])]
    assert history == [
        ("opened", "scorer", None),
        ("acknowledged", "127.0.0.1", "mine"),
        ("silenced", "127.0.0.1", "a restore"),
        ("unsilenced", "time", None),
        ("silenced", "127.0.0.1", "x"),
        ("unsilenced", "127.0.0.1", "the silence was ended"),
        ("resolved", "127.0.0.1", "replaced"),
    ]
    assert (shown["changes_total"], shown["page"], shown["insight_id"]) == (7, None, insight.insight_id)


async def test_forty_alerts_of_one_page_are_silenced_and_fire_again(cloud: Cloud, table: Table) -> None:
    insights = [an_insight(f"web-1:d{number:02}", risk_score=91.0, created_at=now()) for number in range(40)]
    for insight in insights:
        await table.put(items.insight_item(insight))
        await table.put(items.outbox_item(insight))

    async with alerts_service(cloud.endpoint_url) as client:

        async def states() -> list[str]:
            listed = (await client.get("/alerts", params={"limit": 200})).json()["items"]
            return [alert["state"] for alert in listed]

        async def all_fire() -> bool:
            return await states() == ["firing"] * 40

        await wait_until(all_fire)
        body = {"scope": "prediction_type", "value": "stall", "duration_s": 60, "reason": "x"}
        first, second = await asyncio.gather(*(post(client, "/alerts/silences", 201, **body) for _ in range(2)))
        assert first["alerts_missed"] == second["alerts_missed"] == 0
        assert await states() == ["silenced"] * 40
        for made in (first, second):
            ended = (await client.delete(f"/alerts/silences/{made['silence_id']}")).json()
            assert ended["alerts_missed"] == 0
        assert await states() == ["firing"] * 40
