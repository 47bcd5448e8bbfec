"""The scoring queue as ministack understands SQS: nothing is lost, and what cannot succeed ends in the dead letters."""

import pytest

from iops import contract
from iops.bus import ReceivedMessage, ScoringQueue, ScoringRequest, open_scoring_queue, parse_scoring_request
from iops.errors import BusUnavailable, MalformedBody
from iops.settings import ServiceSettings
from tests.integration.stand_ins import Cloud, wire_to


async def send(queue: ScoringQueue, *groups: str) -> None:
    refused = await queue.send([ScoringRequest(peer_group=group, since_ms=1_795_399_200_000) for group in groups])
    assert refused == []


def groups_of(messages: list[ReceivedMessage]) -> set[str]:
    return {parse_scoring_request(message.body).peer_group for message in messages}


async def send_text(cloud: Cloud, name: str, text: str) -> None:
    await cloud.call("sqs", "send_message", QueueUrl=cloud.queue_url(name), MessageBody=text)


async def dead_letters(cloud: Cloud) -> list[str]:
    url = cloud.queue_url(contract.SCORING_DEAD_LETTERS)
    reply = await cloud.call("sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=10)
    return [message["Body"] for message in reply.get("Messages", [])]


async def test_ten_requests_arrive_and_are_ours_until_we_delete_them(queue: ScoringQueue) -> None:
    await send(queue, *(f"rack-{number}" for number in range(10)))

    messages: list[ReceivedMessage] = []
    while len(messages) < 10:  # SQS may answer with fewer than there are
        messages += await queue.receive()

    assert groups_of(messages) == {f"rack-{number}" for number in range(10)}
    assert {message.receive_count for message in messages} == {1}
    await queue.delete(messages[0])
    await send(queue, "marker")
    assert groups_of(await queue.receive()) == {"marker"}  # the nine are invisible, the tenth is gone


async def test_a_postponed_message_comes_again_and_counts(queue: ScoringQueue) -> None:
    await send(queue, "rack-1")

    first = (await queue.receive())[0]
    await queue.postpone(first, delay_s=0)
    second = (await queue.receive())[0]

    assert (second.body, second.receive_count) == (first.body, 2)


async def test_a_message_received_too_often_is_a_dead_letter(queue: ScoringQueue, cloud: Cloud) -> None:
    await send(queue, "rack-1")
    for count in range(1, contract.SCORING_RECEIVE_LIMIT + 1):
        message = (await queue.receive())[0]
        assert message.receive_count == count
        await queue.postpone(message, delay_s=0)
    assert await dead_letters(cloud) == []

    await send(queue, "marker")

    assert groups_of(await queue.receive()) == {"marker"}
    assert await dead_letters(cloud) == ['{"peer_group":"rack-1","since_ms":1795399200000}']


async def test_a_buried_message_is_a_dead_letter_at_once(queue: ScoringQueue, cloud: Cloud) -> None:
    await send_text(cloud, contract.SCORING_QUEUE, "not a request")
    message = (await queue.receive())[0]
    with pytest.raises(MalformedBody):
        parse_scoring_request(message.body)

    await queue.bury(message)

    assert await dead_letters(cloud) == ["not a request"]
    await send(queue, "marker")
    assert groups_of(await queue.receive()) == {"marker"}


async def test_a_queue_that_is_away_is_named(settings: ServiceSettings, cloud: Cloud) -> None:
    async with wire_to(cloud.endpoint_url) as wire:
        far = settings.model_copy(update={"aws_endpoint_url": wire.url})
        async with open_scoring_queue(far) as queue:
            wire.cut()
            with pytest.raises(BusUnavailable, match="SendMessageBatch failed"):
                await send(queue, "rack-1")
            wire.mend()
            await send(queue, "rack-1")
            assert groups_of(await queue.receive()) == {"rack-1"}
