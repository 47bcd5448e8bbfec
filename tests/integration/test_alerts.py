"""From an outbox row to a mail: through the alerts service, the real bus, its rule, the topic and the mailbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager

from iops import contract, items
from iops.bus import EventBus, open_event_bus
from iops.clock import now
from iops.insight import Insight, PredictionType
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from services.alerts.app import create_app
from services.alerts.deliver import Outbox
from services.alerts.settings import AlertsSettings
from tests.integration.examples import an_insight
from tests.integration.stand_ins import Cloud, Wire, wait_until, wire_to


@pytest.fixture
async def table(settings: ServiceSettings) -> AsyncIterator[Table]:
    async with open_table(settings) as opened:
        yield opened


async def write(table: Table, *insights: Insight) -> None:
    """As the insights service does."""
    for insight in insights:
        rows = (items.insight_item(insight), items.outbox_item(insight))
        await table.transact([{"Put": {"Item": row}} for row in rows])


def insight_now(stream_id: str, risk_score: float, **fields: Any) -> Insight:
    return an_insight(stream_id, risk_score=risk_score, created_at=now(), **fields)


@asynccontextmanager
async def alerts_service(url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(AlertsSettings(aws_endpoint_url=url, poll_s=0.02, aws_timeout_s=1))
    async with LifespanManager(app, startup_timeout=30) as manager:
        transport = httpx.ASGITransport(app=manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://alerts") as client:
            yield client


@asynccontextmanager
async def replica(settings: ServiceSettings, owner: str) -> AsyncIterator[Outbox]:
    tuned = AlertsSettings(aws_endpoint_url=settings.aws_endpoint_url, poll_s=0.01)
    async with open_table(tuned) as table, open_event_bus(tuned) as bus:
        yield Outbox(table, bus, tuned, clock=now, owner=owner, metrics=Metrics())


async def wait_until_handled(table: Table) -> None:
    async def is_empty() -> bool:
        return not (await table.query_page(items.list_query("outbox", limit=1)))[0]

    await wait_until(is_empty)


async def mailed(cloud: Cloud, table: Table, *, count: int) -> list[str]:
    """The streams that mails name, once the outbox is empty and every mail has had its time.

    The time is that of a last insight, whose mail closes the row.
    """
    await wait_until_handled(table)
    await write(table, insight_now("the-last:sda", 99))
    await wait_until_handled(table)
    await wait_until(lambda: any("the-last:sda" in mail for mail in cloud.mails()) and len(cloud.mails()) > count)
    streams = [mail.partition("Where: ")[2].partition(" in peer group")[0] for mail in cloud.mails()]
    return sorted(stream for stream in streams if stream != "the-last:sda")


async def test_80_is_mailed_and_79_is_not(cloud: Cloud, table: Table) -> None:
    scores = {"web-1:a": 79.0, "web-1:b": 79.9, "web-1:c": 80.0, "web-1:d": 80.5, "web-1:e": 100.0, "web-1:f": 60.0}
    await write(table, *(insight_now(stream_id, score) for stream_id, score in scores.items()))

    async with alerts_service(cloud.endpoint_url) as client:
        assert await mailed(cloud, table, count=3) == ["web-1:c", "web-1:d", "web-1:e"]
        alerts = (await client.get("/alerts")).json()["items"]

    assert {alert["stream_id"] for alert in alerts} == {"web-1:c", "web-1:d", "web-1:e", "the-last:sda"}
    assert {alert["state"] for alert in alerts} == {"firing"}
    assert alerts[0]["facts"][0]["sentence"] == "nothing completed for 20 s"


async def test_a_mail_says_what_is_wrong_where_and_what_to_do(cloud: Cloud, table: Table) -> None:
    insight = insight_now(
        "web-1:a", 80.5, title='web-1:a "has"\n<stalled>', recommendations=("Look \\ at it.", "Move.")
    )
    await write(table, insight)

    async with alerts_service(cloud.endpoint_url):
        await wait_until(lambda: len(cloud.mails()) == 1)

    mail = cloud.mails()[0]
    assert "web-1:a 'has' (stalled)" in mail
    assert "Risk: 80.5 (stall) of 100" in mail
    assert "nothing completed for 20 s" in mail
    assert "Next step: Look / at it." in mail
    assert "http://127.0.0.1:8080/alerts/" in mail


async def test_an_episode_that_goes_on_is_mailed_once(cloud: Cloud, table: Table) -> None:
    async with alerts_service(cloud.endpoint_url) as client:
        for score in (85, 95, 81, 98):
            await write(table, insight_now("web-1:a", score))
            await wait_until_handled(table)
        assert await mailed(cloud, table, count=1) == ["web-1:a"]
        alerts = (await client.get("/alerts?state=firing")).json()["items"]

    assert next(alert["risk_score"] for alert in alerts if alert["stream_id"] == "web-1:a") == 98


async def test_after_a_recovery_the_next_episode_is_mailed(cloud: Cloud, table: Table) -> None:
    async with alerts_service(cloud.endpoint_url) as client:
        for score in (85, 20):
            await write(table, insight_now("web-1:a", score))
            await wait_until_handled(table)
        resolved = (await client.get("/alerts?state=resolved")).json()["items"]
        await write(table, insight_now("web-1:a", 85))
        assert await mailed(cloud, table, count=2) == ["web-1:a", "web-1:a"]

    assert [(alert["stream_id"], alert["risk_score"]) for alert in resolved] == [("web-1:a", 20)]


async def test_insights_written_together_are_handled_in_their_order(cloud: Cloud, table: Table) -> None:
    begin = now() - timedelta(seconds=10)
    scores = (85, 20, 90, 10)
    await write(
        table,
        *(
            an_insight("web-1:a", risk_score=float(score), created_at=begin + timedelta(seconds=second))
            for second, score in enumerate(scores)
        ),
    )

    async with alerts_service(cloud.endpoint_url) as client:
        assert await mailed(cloud, table, count=2) == ["web-1:a", "web-1:a"]
        alerts = (await client.get("/alerts?state=resolved")).json()["items"]

    assert [alert["risk_score"] for alert in alerts] == [10]


async def test_two_faults_of_one_stream_are_two_mails(cloud: Cloud, table: Table) -> None:
    kinds = (PredictionType.STALL, PredictionType.IO_ERRORS)
    await write(table, *(insight_now("web-1:a", 90, prediction_type=kind) for kind in kinds))

    async with alerts_service(cloud.endpoint_url):
        assert await mailed(cloud, table, count=2) == ["web-1:a", "web-1:a"]


async def test_two_replicas_publish_each_insight_once(cloud: Cloud, table: Table, settings: ServiceSettings) -> None:
    streams = [f"web-{number:02d}:sda" for number in range(30)]

    async with replica(settings, "one") as one, replica(settings, "two") as two:
        loops = [asyncio.create_task(outbox.run()) for outbox in (one, two)]
        await asyncio.gather(*(write(table, insight_now(stream_id, 90)) for stream_id in streams))
        assert await mailed(cloud, table, count=30) == streams
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def test_passes_at_the_same_moment_share_the_rows(cloud: Cloud, table: Table, settings: ServiceSettings) -> None:
    streams = [f"web-{number:02d}:sda" for number in range(20)]
    await write(table, *(insight_now(stream_id, 90) for stream_id in streams))

    async with replica(settings, "one") as one, replica(settings, "two") as two:
        await asyncio.gather(one.deliver_once(), two.deliver_once())
        await wait_until(lambda: len(cloud.mails()) >= 20)
        loop = asyncio.create_task(one.run())
        assert await mailed(cloud, table, count=20) == streams
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


class DeafBus(EventBus):
    """Publishes and never hears that it did."""

    async def put(self, entries: Any) -> list[bool]:
        return [False for _ in await super().put(entries)]


async def test_what_was_not_confirmed_is_published_again(cloud: Cloud, table: Table, settings: ServiceSettings) -> None:
    await write(table, insight_now("web-1:a", 90))
    tuned = AlertsSettings(aws_endpoint_url=settings.aws_endpoint_url)
    async with open_event_bus(tuned) as bus, replica(settings, "one") as other:
        deaf = Outbox(table, DeafBus(bus._client), tuned, clock=now, owner="one", metrics=Metrics())
        assert await deaf.deliver_once() is False
        assert await other.deliver_once() is True  # the same owner, as after a pass that failed

    await wait_until_handled(table)
    await wait_until(lambda: len(cloud.mails()) == 2)  # at least once: a page too many, never one too few


async def test_a_bus_that_is_away_keeps_the_row(cloud: Cloud, table: Table) -> None:
    async with wire_to(cloud.endpoint_url) as wire, alerts_service(wire.url) as client:
        await assert_waits_while_cut(wire, cloud, table, client)
        assert await mailed(cloud, table, count=1) == ["web-1:a"]


async def assert_waits_while_cut(wire: Wire, cloud: Cloud, table: Table, client: httpx.AsyncClient) -> None:
    wire.cut()
    await write(table, insight_now("web-1:a", 90))
    assert (await client.get("/health/ready")).status_code == 503
    assert cloud.mails() == []
    wire.mend()


async def test_an_unreadable_row_stops_nobody_else(cloud: Cloud, table: Table) -> None:
    broken = items.outbox_item(insight_now("web-1:a", 90)) | {"doc": {"S": "{}"}}
    await table.put(broken)
    await write(table, insight_now("web-1:b", 90))

    async with alerts_service(cloud.endpoint_url):
        await wait_until(lambda: len(cloud.mails()) == 1)

    assert "web-1:b" in cloud.mails()[0]
    assert await table.get({name: broken[name] for name in (contract.PARTITION_KEY, contract.SORT_KEY)})
