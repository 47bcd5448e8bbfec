"""From an outbox row to a mail: through the alerts service, the real bus, its rule, the topic and the mailbox."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager

from iops import contract, items
from iops.alert import Event, EventKind
from iops.bus import open_event_bus
from iops.clock import now
from iops.events import read_mail
from iops.insight import Insight, Neighbour, PredictionType
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.table import Table, open_table
from local import resources
from services.alerts.app import create_app
from services.alerts.deliver import Courier, CourierMetrics
from services.alerts.event_bus import BusTarget
from services.alerts.notice import Notice
from services.alerts.settings import AlertsSettings
from tests.integration.examples import an_insight
from tests.integration.stand_ins import Cloud, Wire, wait_until, wire_to

STREAM = "web-1:sda"


class MovableClock:
    """The real time, and what a test adds to it."""

    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return now() + self.ahead


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
async def alerts_service(url: str, clock: MovableClock | None = None) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(AlertsSettings(aws_endpoint_url=url, poll_s=0.02, aws_timeout_s=1), clock or now)
    async with LifespanManager(app, startup_timeout=30) as manager:
        transport = httpx.ASGITransport(app=manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client


async def wait_until_handled(table: Table) -> None:
    async def is_empty() -> bool:
        kinds = ("outbox", "delivery#bus")
        return not any([(await table.query_page(items.list_query(kind, limit=1)))[0] for kind in kinds])

    await wait_until(is_empty)


def read_all(cloud: Cloud) -> list[tuple[list[str], dict[str, Any]]]:
    """What each mail says to a person and to a program."""
    return [read_mail(mail.partition("\n\n")[2]) for mail in cloud.mails()]


async def mailed(cloud: Cloud, table: Table, *, count: int) -> list[str]:
    """The streams that mails name, once all is sent and every mail has had its time: that of a last one."""
    await wait_until_handled(table)
    await write(table, insight_now("the-last:sda", 99))
    await wait_until_handled(table)
    await wait_until(
        lambda: "the-last:sda" in (named := [body["stream_id"] for _, body in read_all(cloud)]) and len(named) > count
    )
    return sorted(body["stream_id"] for _, body in read_all(cloud) if body["stream_id"] != "the-last:sda")


async def the_mail(cloud: Cloud, kind: str) -> tuple[list[str], dict[str, Any]]:
    """The only mail of its kind, when it has come."""
    await wait_until(lambda: any(body["event"] == kind for _, body in read_all(cloud)))
    (found,) = [(lines, body) for lines, body in read_all(cloud) if body["event"] == kind]
    return found


async def test_80_is_mailed_and_79_is_not(cloud: Cloud, table: Table) -> None:
    scores = {"a:1": 79.0, "b:1": 79.9, "c:1": 80.0, "d:1": 80.5, "e:1": 100.0, "f:1": 60.0}
    await write(table, *(insight_now(stream_id, score) for stream_id, score in scores.items()))

    async with alerts_service(cloud.endpoint_url):
        assert await mailed(cloud, table, count=3) == ["c:1", "d:1", "e:1"]


async def test_a_finding_that_was_not_confirmed_is_not_mailed(cloud: Cloud, table: Table) -> None:
    await write(table, insight_now(STREAM, 95, is_confirmed=False))

    async with alerts_service(cloud.endpoint_url):
        assert await mailed(cloud, table, count=0) == []


async def test_a_mail_says_what_is_wrong_where_and_what_to_do(cloud: Cloud, table: Table) -> None:
    title = 'web-1:sda "has"\n<stalled> \\ {"risk_score":1}'
    insight = insight_now(STREAM, 80.5, title=title, recommendations=("Look \\ at it.", "Move."))
    await write(table, insight)

    async with alerts_service(cloud.endpoint_url):
        lines, body = await the_mail(cloud, "opened")

    assert lines[0] == "web-1:sda 'has' (stalled) / {'risk_score':1}"
    assert lines[1] == "Where: web-1:sda in peer group web-1"
    assert lines[3:6] == ["Risk: 80.5 of 100", "nothing completed for 20 s", "Next step: Look / at it."]
    assert lines[8] == body["url"] == f"http://127.0.0.1:8080/ui/alerts/{body['alert_id']}"
    assert (body["stream_id"], body["prediction_type"], body["risk_score"]) == (STREAM, "stall", 80.5)


async def test_what_a_mail_said_can_be_read_afterwards(cloud: Cloud, table: Table) -> None:
    await write(table, insight_now(STREAM, 97, title='web-1:sda "has" stalled'))

    async with alerts_service(cloud.endpoint_url) as client:
        lines, body = await the_mail(cloud, "opened")
        await wait_until_handled(table)
        (said,) = (await client.get(f"/alerts/{body['alert_id']}/mails")).json()["items"]

    assert (said["lines"], said["event_id"]) == (lines, body["event_id"])
    assert ([each["target"] for each in said["taken"]], said["waiting_for"]) == (["bus"], [])


async def test_an_episode_that_goes_on_is_mailed_once(cloud: Cloud, table: Table) -> None:
    async with alerts_service(cloud.endpoint_url):
        for score in (85, 95, 81, 98):
            await write(table, insight_now(STREAM, score))
            await wait_until_handled(table)
        assert await mailed(cloud, table, count=1) == [STREAM]


async def test_an_end_is_mailed_when_it_has_lasted(cloud: Cloud, table: Table) -> None:
    clock = MovableClock()
    async with alerts_service(cloud.endpoint_url, clock):
        await write(table, insight_now(STREAM, 97))
        await the_mail(cloud, "opened")
        await write(table, insight_now(STREAM, 20))
        await wait_until_handled(table)
        assert len(cloud.mails()) == 1
        clock.ahead = timedelta(minutes=11)
        lines, body = await the_mail(cloud, "resolved")

    assert lines[0] == "Resolved after 12 min: stall of web-1:sda"
    assert lines[3] == "Risk: 20 of 100 now, 97 at its worst"
    assert (body["risk_score"], body["risk_now"]) == (97, 20)


async def test_what_nobody_takes_is_mailed_again_after_four_hours(cloud: Cloud, table: Table) -> None:
    clock = MovableClock()
    async with alerts_service(cloud.endpoint_url, clock):
        await write(table, insight_now(STREAM, 97))
        await the_mail(cloud, "opened")
        await write(table, insight_now(STREAM, 65))
        await wait_until_handled(table)
        clock.ahead = timedelta(hours=4, minutes=1)
        lines, body = await the_mail(cloud, "reminder")

    assert lines[0] == "Still firing after 4 h 2 min: web-1:sda has stalled"
    assert lines[2].endswith("; nobody has acknowledged it")
    assert (body["risk_score"], body["risk_now"]) == (97, 65)


@pytest.mark.parametrize("count", [5, 20])
async def test_the_streams_of_a_host_at_once_are_one_mail_that_lists_them(
    cloud: Cloud, table: Table, count: int
) -> None:
    ill = (Neighbour(stream_id="web-1:x", risk_score=90, prediction_type=PredictionType.STALL),)
    await write(table, *(insight_now(f"web-1:nvme{number}", 90, neighbours=ill) for number in range(count)))

    async with alerts_service(cloud.endpoint_url):
        lines, body = await the_mail(cloud, "opened")
        await mailed(cloud, table, count=1)

    assert lines[0] == f"{count} streams of web-1: stall"
    assert lines[1].count("web-1:nvme") == 5
    assert (body["streams_total"], len(cloud.mails())) == (count, 2)


async def test_two_faults_of_one_stream_at_once_are_two_alerts_and_one_mail(cloud: Cloud, table: Table) -> None:
    kinds = (PredictionType.STALL, PredictionType.IO_ERRORS)
    await write(table, *(insight_now(STREAM, 90, prediction_type=kind) for kind in kinds))

    async with alerts_service(cloud.endpoint_url) as client:
        assert await mailed(cloud, table, count=1) == [STREAM]
        alerts = (await client.get("/alerts", params={"stream_id": STREAM})).json()["items"]
    assert {alert["prediction_type"] for alert in alerts} == set(kinds)


async def test_two_replicas_mail_each_alert_once(cloud: Cloud, table: Table) -> None:
    streams = [f"web-{number:02d}:sda" for number in range(30)]

    async with alerts_service(cloud.endpoint_url), alerts_service(cloud.endpoint_url):
        await asyncio.gather(*(write(table, insight_now(stream_id, 90)) for stream_id in streams))
        assert await mailed(cloud, table, count=30) == streams


class LastBreath(BusTarget):
    """Publishes, and lives no longer."""

    async def send(self, notices: Sequence[Notice]) -> list[bool]:
        await super().send(notices)
        raise asyncio.CancelledError


async def test_what_was_accepted_before_a_crash_is_mailed_again_under_the_same_id(
    cloud: Cloud, table: Table, settings: ServiceSettings
) -> None:
    event = Event(event_id="01E", kind=EventKind.CANARY, at=now())
    await table.put(items.delivery_item(event, "bus", not_before=now()))
    tuned = AlertsSettings(aws_endpoint_url=settings.aws_endpoint_url)
    async with open_event_bus(tuned) as bus:
        with pytest.raises(asyncio.CancelledError):
            await courier(table, LastBreath(bus), "dead").deliver_once()
        await courier(table, BusTarget(bus), "heir").deliver_once()
        assert await table.get(items.delivery_key("01E", "bus")), "the dead one's lease runs"
        await asyncio.sleep(0.3)
        assert await courier(table, BusTarget(bus), "heir").deliver_once()
        await wait_until(lambda: len(cloud.mails()) == 2)

    assert {body["event_id"] for _, body in read_all(cloud)} == {"01E"}


def courier(table: Table, target: BusTarget, owner: str) -> Courier:
    counts = CourierMetrics(Metrics())
    return Courier(table, target, now, counts, owner=owner, poll_s=1, lease_s=0.25, public_url="http://iops")


async def test_a_bus_that_is_away_keeps_the_mail_until_it_is_back(cloud: Cloud, table: Table) -> None:
    async with wire_to(cloud.endpoint_url) as wire, alerts_service(wire.url) as client:
        await assert_waits_while_cut(wire, cloud, table, client)
        assert await mailed(cloud, table, count=1) == [STREAM]


async def assert_waits_while_cut(wire: Wire, cloud: Cloud, table: Table, client: httpx.AsyncClient) -> None:
    wire.cut()
    await write(table, insight_now(STREAM, 90))
    assert (await client.get("/health/ready")).status_code == 503
    assert cloud.mails() == []
    wire.mend()


async def test_a_topic_that_is_gone_stops_nothing_and_a_new_one_gets_the_next(cloud: Cloud, table: Table) -> None:
    topic = resources.arn("sns", contract.ALERT_TOPIC)
    mail_url = f"{cloud.plan.internal_url('mailbox')}/sns"
    async with alerts_service(cloud.endpoint_url):
        try:
            await cloud.call("sns", "delete_topic", TopicArn=topic)
            await write(table, insight_now(STREAM, 90))
            await wait_until_handled(table)  # the bus took it; its rule's dead letters are for the rest
        finally:
            await resources.create_resources(cloud.endpoint_url, mail_url=mail_url)
        assert await mailed(cloud, table, count=0) == []


async def test_an_unreadable_row_stops_nobody_else(cloud: Cloud, table: Table) -> None:
    broken = items.outbox_item(insight_now(STREAM, 90)) | {"doc": {"S": "{}"}}
    await table.put(broken)
    await write(table, insight_now("web-1:b", 90))

    async with alerts_service(cloud.endpoint_url):
        await wait_until(lambda: len(cloud.mails()) == 1)

    assert read_all(cloud)[0][1]["stream_id"] == "web-1:b"
    assert await table.get({name: broken[name] for name in (contract.PARTITION_KEY, contract.SORT_KEY)})
