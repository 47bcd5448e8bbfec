"""Dead letters: looking takes nothing, a replay loses nothing, and what cannot be read stays."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.web import Health, create_service
from services.alerts import letter_routes, routes
from services.alerts.dead_letters import LetterCounts
from services.alerts.letters import LetterQueue
from tests.unit.fakes import FakeBus, aws_error
from tests.unit.post import RULE_SAYS, SNS_SAYS, FakePost, a_notification_body, an_event_body
from tests.unit.routed import nothing_to_open

PATH = "/alerts/dead-letters"
SCORING = '{"peer_group":"web-1","since_ms":1795399200000}'
UNREADABLE = [
    (LetterQueue.SCORING, "not a request"),
    (LetterQueue.RULE, "{"),
    (LetterQueue.RULE, an_event_body(source="aws.ec2")),
    (LetterQueue.RULE, an_event_body(detail="text")),
    (LetterQueue.RULE, an_event_body().replace("90.5", "NaN")),
    (LetterQueue.SUBSCRIPTION, "whatever"),
    (LetterQueue.SUBSCRIPTION, a_notification_body(Type="SubscriptionConfirmation")),
    (LetterQueue.SUBSCRIPTION, a_notification_body(TopicArn="arn:aws:sns:us-east-1:123456789012:another")),
]


class Office:
    """The routes on a post and a bus of their own."""

    def __init__(self, app: FastAPI) -> None:
        self.post, self.bus = FakePost(), FakeBus()
        app.state.redrive = self.post.redrive(self.bus)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")

    async def get(self, **params: Any) -> Any:
        answer = await self.client.get(PATH, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def redrive(self, queue: LetterQueue, **body: Any) -> Any:
        answer = await self.client.post(f"{PATH}/redrive", json={"queue": queue, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def app() -> FastAPI:
    routers = [letter_routes.router, routes.router]
    return create_service(
        "test",
        routers=routers,
        lifespan=nothing_to_open,
        metrics=Metrics(),
        health=Health(),
        settings=ServiceSettings(),
    )


@pytest.fixture
async def office(app: FastAPI) -> AsyncIterator[Office]:
    office = Office(app)
    async with office.client:
        yield office


async def test_the_list_counts_each_queue_and_says_how_old_its_oldest_is(office: Office) -> None:
    for _ in range(12):
        office.post.add(LetterQueue.RULE, an_event_body(), RULE_SAYS)

    queues = await office.get()

    assert [(queue["queue"], queue["count"]) for queue in queues] == [("scoring", 0), ("rule", 12), ("subscription", 0)]
    assert [queue["oldest_at"] for queue in queues] == [None, "2026-11-23T02:00:00.001000Z", None]
    assert [queue["letters"] for queue in queues] == [[], [], []]


async def test_a_letter_says_why_it_lies_there_and_what_it_is(office: Office) -> None:
    office.post.add(LetterQueue.RULE, an_event_body(), RULE_SAYS)

    ((letter,),) = [queue["letters"] for queue in await office.get(queue="rule")]

    assert letter == {
        "message_id": "m01",
        "at": "2026-11-23T02:00:00.001000Z",
        "error_code": "NO_PERMISSIONS",
        "error_message": "not authorized to perform: SNS:Publish",
        "retry_attempts": 185,
        "kind": "Insight",
        "title": "web-1:sda stalled",
        "stream": "web-1:sda",
        "risk_score": 90.5,
        "event_id": "01K",
        "unreadable": None,
    }


async def test_sns_says_why_in_its_own_words(office: Office) -> None:
    office.post.add(LetterQueue.SUBSCRIPTION, a_notification_body(), SNS_SAYS)

    (queue,) = await office.get(queue="subscription")

    (letter,) = queue["letters"]
    assert (letter["error_code"], letter["error_message"]) == ("503", "The endpoint did not answer.")
    assert (letter["kind"], letter["title"]) == ("Notification", "web-1:sda stalled")


async def test_looking_takes_and_hides_nothing(office: Office) -> None:
    ids = [office.post.add(LetterQueue.RULE, an_event_body()) for _ in range(25)]

    (queue,) = await office.get(queue="rule", limit=50)

    assert [letter["message_id"] for letter in queue["letters"]] == ids
    assert office.post.seen(LetterQueue.RULE) == ids


async def test_a_look_that_fails_half_way_hides_nothing(office: Office) -> None:
    ids = [office.post.add(LetterQueue.RULE, an_event_body()) for _ in range(12)]
    receives = iter([None, aws_error("InternalFailure", status=500)])
    begin = office.post._begin

    async def fail_second(call: str) -> None:
        await begin(call)
        if call == "ReceiveMessage" and (failure := next(receives)) is not None:
            raise failure

    office.post._begin = fail_second  # type: ignore[method-assign]

    assert (await office.client.get(PATH, params={"queue": "rule"})).status_code == 503
    assert office.post.seen(LetterQueue.RULE) == ids


async def test_a_dry_run_is_what_is_meant_unless_it_is_said(office: Office) -> None:
    office.post.add(LetterQueue.RULE, an_event_body())

    report = await office.redrive(LetterQueue.RULE)

    assert (report["dry_run"], report["replayed_total"], report["left"]) == (True, 1, 1)
    assert (office.bus.entries, office.post.seen(LetterQueue.RULE)) == ([], ["m01"])


async def test_an_event_goes_on_the_bus_again_with_its_detail_and_time(office: Office) -> None:
    office.post.add(LetterQueue.RULE, an_event_body())

    report = await office.redrive(LetterQueue.RULE, dry_run=False)

    (entry,) = office.bus.entries
    assert json.loads(entry["Detail"]) == json.loads(an_event_body())["detail"]
    assert (entry["Source"], entry["DetailType"]) == ("iops.insights", "Insight")
    assert (entry["EventBusName"], entry["Time"].isoformat()) == ("iops-dashboard-alerts", "2026-11-23T02:00:00+00:00")
    assert (report["replayed_total"], report["left"]) == (1, 0)


async def test_a_scoring_goes_to_the_scoring_queue_as_it_was(office: Office) -> None:
    office.post.add(LetterQueue.SCORING, SCORING)

    await office.redrive(LetterQueue.SCORING, dry_run=False)

    bodies = [message.item["Body"] for message in office.post.queues["iops-dashboard-scoring"].values()]
    assert (bodies, office.post.seen(LetterQueue.SCORING)) == ([SCORING], [])


@pytest.mark.parametrize(
    ("body", "published"),
    [(a_notification_body("text", Subject="Stalled"), ("text", "Stalled")), ("raw text", ("raw text", None))],
)
async def test_a_message_is_published_again(office: Office, body: str, published: tuple[str, str | None]) -> None:
    office.post.add(LetterQueue.SUBSCRIPTION, body, SNS_SAYS)

    await office.redrive(LetterQueue.SUBSCRIPTION, dry_run=False)

    topic = "arn:aws:sns:us-east-1:123456789012:iops-dashboard-high-risk-alerts"
    assert office.post.published == [(topic, *published)]
    assert office.post.seen(LetterQueue.SUBSCRIPTION) == []


@pytest.mark.parametrize(("queue", "body"), UNREADABLE)
async def test_what_cannot_be_read_stays_and_is_named(office: Office, queue: LetterQueue, body: str) -> None:
    stays = office.post.add(queue, body)

    report = await office.redrive(queue, dry_run=False)

    assert [letter["message_id"] for letter in report["unreadable"]] == [stays]
    assert report["unreadable"][0]["unreadable"]
    assert (report["replayed_total"], office.post.seen(queue)) == (0, [stays])


async def test_a_bus_that_refuses_keeps_the_letters(office: Office) -> None:
    ids = [office.post.add(LetterQueue.RULE, an_event_body()) for _ in range(3)]
    office.bus.accepts.extend([1, 0])

    report = await office.redrive(LetterQueue.RULE, dry_run=False)

    assert (report["replayed_total"], report["stopped_by"]) == (1, "the bus did not accept an event")
    assert office.post.seen(LetterQueue.RULE) == ids[1:]


async def test_a_topic_that_was_deleted_keeps_the_letters(office: Office) -> None:
    stays = office.post.add(LetterQueue.SUBSCRIPTION, a_notification_body())
    office.post.has_topic = False

    report = await office.redrive(LetterQueue.SUBSCRIPTION, dry_run=False)

    assert "Publish failed" in report["stopped_by"]
    assert office.post.seen(LetterQueue.SUBSCRIPTION) == [stays]


async def test_no_more_are_sent_than_were_asked_for(office: Office) -> None:
    for _ in range(15):
        office.post.add(LetterQueue.RULE, an_event_body())

    report = await office.redrive(LetterQueue.RULE, dry_run=False, limit=12)

    assert (len(office.bus.entries), report["left"]) == (12, 3)


async def test_strings_in_a_letter_are_one_short_printable_line(office: Office) -> None:
    says = RULE_SAYS | {"ERROR_MESSAGE": "a\n\x1b[31mb" + "x" * 900, "RETRY_ATTEMPTS": "many"}
    office.post.add(LetterQueue.RULE, an_event_body(detail={"stream_id": "web\u202e1", "risk_score": "90"}), says)

    ((letter,),) = [queue["letters"] for queue in await office.get(queue="rule")]

    assert letter["error_message"] == "a  [31mb" + "x" * 292
    assert (letter["stream"], letter["risk_score"], letter["retry_attempts"]) == ("web 1", None, None)


async def test_the_counts_are_gauges_and_a_queue_that_is_away_keeps_its_last() -> None:
    post, metrics = FakePost(), Metrics()
    counts = LetterCounts(post.redrive(FakeBus()).letters, metrics)
    post.add(LetterQueue.RULE, an_event_body())
    await counts.count_once()
    post.is_away = True
    await counts.count_once()

    assert metrics.registry.get_sample_value("iops_dead_letters", {"queue": "rule"}) == 1
    assert metrics.registry.get_sample_value("iops_dead_letters", {"queue": "scoring"}) == 0
