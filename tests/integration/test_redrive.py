"""Dead letters and the canary through ministack; it moves nothing to these queues itself, so the tests do."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from iops import contract
from iops.alert import Event, EventKind
from iops.bus import open_event_bus
from iops.clock import now
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.table import open_table
from services.alerts.canary import Canary
from services.alerts.canary_watch import CanaryWatch, open_canary_watch
from services.alerts.deliver import Courier, CourierMetrics
from services.alerts.entry import notice_to_entry
from services.alerts.event_bus import BusTarget
from services.alerts.letters import QUEUE_NAMES, LetterQueue, view_letter
from services.alerts.notice import Notice
from services.alerts.redrive import Redrive, open_redrive
from services.alerts.settings import AlertsSettings
from tests.integration.examples import AT, an_alert
from tests.integration.stand_ins import Cloud, wait_until
from tests.unit.post import RULE_SAYS, SNS_SAYS, a_notification_body, an_event_body

SCORING = '{"peer_group":"web-1","since_ms":1795399200000}'


@pytest.fixture
async def redrive(cloud: Cloud) -> AsyncIterator[Redrive]:
    for name in (*QUEUE_NAMES.values(), contract.CANARY_QUEUE):
        await cloud.call("sqs", "purge_queue", QueueUrl=cloud.queue_url(name))
    async with open_redrive(AlertsSettings(aws_endpoint_url=cloud.endpoint_url)) as opened:
        yield opened


async def bury(cloud: Cloud, queue: LetterQueue, body: str, says: Mapping[str, str] | None = None) -> None:
    attributes = {name: {"DataType": "String", "StringValue": text} for name, text in (says or {}).items()}
    url = cloud.queue_url(QUEUE_NAMES[queue])
    await cloud.call("sqs", "send_message", QueueUrl=url, MessageBody=body, MessageAttributes=attributes)


async def test_looking_twice_shows_the_same_and_why(cloud: Cloud, redrive: Redrive) -> None:
    for number in range(12):
        await bury(cloud, LetterQueue.RULE, an_event_body(detail={"stream_id": f"web-{number}:sda"}), RULE_SAYS)

    assert await redrive.letters.count(LetterQueue.RULE) == 12
    first = await redrive.letters.look(LetterQueue.RULE, limit=12)
    second = await redrive.letters.look(LetterQueue.RULE, limit=12)

    views = [view_letter(LetterQueue.RULE, letter) for letter in second]
    assert {letter.message_id for letter in first} == {letter.message_id for letter in second}
    assert {view.stream for view in views} == {f"web-{number}:sda" for number in range(12)}
    assert {view.error_code for view in views} == {"NO_PERMISSIONS"}


async def test_an_event_that_is_redriven_is_mailed_by_the_rule(cloud: Cloud, redrive: Redrive) -> None:
    event = Event(event_id="01", kind=EventKind.OPENED, at=AT)
    alert = an_alert("web-1:lost", risk_score=90.0)
    detail = notice_to_entry(Notice(event, "http://x/alerts/1", alert=alert))["Detail"]
    await bury(cloud, LetterQueue.RULE, an_event_body().replace(an_event_body_detail(), detail), RULE_SAYS)
    await bury(cloud, LetterQueue.RULE, "not an event")

    done = await redrive.run(LetterQueue.RULE, limit=10)

    assert (done.accepted.total, done.unreadable.total, done.stopped_by) == (1, 1, None)
    await wait_until(lambda: any("web-1:lost" in mail for mail in cloud.mails()))
    assert await redrive.letters.count(LetterQueue.RULE) == 1


def an_event_body_detail() -> str:
    return "{" + an_event_body().split('"detail": {')[1][:-1]


async def test_a_message_that_is_redriven_is_mailed_as_it_was(cloud: Cloud, redrive: Redrive) -> None:
    await bury(cloud, LetterQueue.SUBSCRIPTION, a_notification_body("a message that was lost"), SNS_SAYS)

    done = await redrive.run(LetterQueue.SUBSCRIPTION, limit=10)

    assert (done.accepted.total, done.stopped_by) == (1, None)
    await wait_until(lambda: any("a message that was lost" in mail for mail in cloud.mails()))
    assert await redrive.letters.count(LetterQueue.SUBSCRIPTION) == 0


async def test_a_scoring_that_is_redriven_waits_in_its_queue(cloud: Cloud, redrive: Redrive) -> None:
    await bury(cloud, LetterQueue.SCORING, SCORING)

    await redrive.run(LetterQueue.SCORING, limit=10)

    url = cloud.queue_url(contract.SCORING_QUEUE)
    reply = await cloud.call("sqs", "receive_message", QueueUrl=url, WaitTimeSeconds=1)
    assert [message["Body"] for message in reply["Messages"]] == [SCORING]


async def test_a_queue_that_is_missing_is_said_to_be(cloud: Cloud, redrive: Redrive) -> None:
    url = cloud.queue_url(contract.SCORING_QUEUE)
    await bury(cloud, LetterQueue.SCORING, SCORING)
    await cloud.call("sqs", "delete_queue", QueueUrl=url)
    try:
        done = await redrive.run(LetterQueue.SCORING, limit=10)
    finally:
        await cloud.call("sqs", "create_queue", QueueName=contract.SCORING_QUEUE)

    assert "does not exist" in (done.stopped_by or "")
    assert await redrive.letters.count(LetterQueue.SCORING) == 1


@pytest.mark.usefixtures("redrive")
async def test_a_canary_goes_all_the_way_and_comes_back(cloud: Cloud, settings: ServiceSettings) -> None:
    tuned = AlertsSettings(aws_endpoint_url=settings.aws_endpoint_url, canary_hour_utc=now().hour)
    metrics = Metrics()
    async with (
        open_table(tuned) as table,
        open_event_bus(tuned) as bus,
        open_canary_watch(tuned, table, now, metrics) as watch,
    ):
        began_at = now()
        courier = Courier(
            table,
            BusTarget(bus),
            now,
            CourierMetrics(metrics),
            owner="one",
            poll_s=0.1,
            lease_s=30,
            public_url="http://127.0.0.1:8080",
        )

        await Canary(table, lambda: began_at, hour_utc=began_at.hour).send_when_due()
        assert await courier.deliver_once() is True
        await until_it_is_back(watch, metrics)

    await wait_until(lambda: any("alerting works. Nothing is wrong" in mail for mail in cloud.mails()))


async def until_it_is_back(watch: CanaryWatch, metrics: Metrics) -> None:
    async def came() -> bool:
        return await watch.receive_once() > 0

    await wait_until(came)
    await watch.look_once()
    age_s: Any = metrics.registry.get_sample_value("iops_canary_age_seconds")
    assert 0 <= age_s < 20
