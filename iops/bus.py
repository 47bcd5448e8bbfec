"""The two ways between programs: the queue that asks for a scoring, and the event bus that tells people."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iops import contract
from iops.aws import naming_failures, open_client
from iops.errors import BusUnavailable, MalformedBody
from iops.settings import ServiceSettings
from iops.telemetry import StreamId

if TYPE_CHECKING:
    from types_aiobotocore_events.client import EventBridgeClient
    from types_aiobotocore_sqs.client import SQSClient

SEND_LIMIT: Final = 10  # entries, the limit of SendMessageBatch and of PutEvents
RECEIVE_LIMIT: Final = 2
LONG_POLL_S: Final = 10


class ScoringRequest(BaseModel):
    """Score this peer group; its earliest new sample lies at `since_ms` (epoch ms)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    peer_group: StreamId
    since_ms: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as it lies in the queue, not yet understood."""

    body: str
    receipt: str
    receive_count: int
    sent_ms: int | None  # epoch ms, by the queue's clock; None where a stand-in does not say


def parse_scoring_request(body: str) -> ScoringRequest:
    """Raises MalformedBody for what no ingest can have sent: a poison message."""
    try:
        return ScoringRequest.model_validate_json(body)
    except ValidationError as error:
        raise MalformedBody(f"not a scoring request: {error.errors()[0]['msg']}") from error


class ScoringQueue:
    """SQS `iops-dashboard-scoring` and its dead letters; raises BusUnavailable where AWS fails."""

    def __init__(self, client: "SQSClient", *, url: str, dead_letters_url: str) -> None:
        self._client = client
        self._url = url
        self._dead_letters_url = dead_letters_url

    async def send(self, requests: Sequence[ScoringRequest]) -> list[ScoringRequest]:
        """Sends up to 10 requests and answers with those that the queue did not take."""
        entries: list[Any] = [
            {"Id": str(index), "MessageBody": request.model_dump_json()} for index, request in enumerate(requests)
        ]
        with naming_failures(BusUnavailable, "SendMessageBatch"):
            reply = await self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
        return [requests[int(failed["Id"])] for failed in reply.get("Failed", [])]

    async def receive(self) -> list[ReceivedMessage]:
        """Up to 2 messages, waiting up to 10 s for the first; each is ours for the queue's visibility time-out.

        More at once would wait behind the first here, while another worker could have them.
        """
        with naming_failures(BusUnavailable, "ReceiveMessage"):
            reply = await self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=RECEIVE_LIMIT,
                WaitTimeSeconds=LONG_POLL_S,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        return [_received(message) for message in reply.get("Messages", [])]

    async def delete(self, message: ReceivedMessage) -> None:
        """The message is dealt with."""
        with naming_failures(BusUnavailable, "DeleteMessage"):
            await self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    async def postpone(self, message: ReceivedMessage, *, delay_s: int) -> None:
        """The message comes again in `delay_s`."""
        with naming_failures(BusUnavailable, "ChangeMessageVisibility"):
            await self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=delay_s
            )

    async def bury(self, message: ReceivedMessage) -> None:
        """Moves a message that can never succeed to the dead letters at once."""
        with naming_failures(BusUnavailable, "SendMessage"):
            await self._client.send_message(QueueUrl=self._dead_letters_url, MessageBody=message.body)
        await self.delete(message)


def _received(message: Any) -> ReceivedMessage:
    attributes = message.get("Attributes", {})
    return ReceivedMessage(
        body=message["Body"],
        receipt=message["ReceiptHandle"],
        receive_count=int(attributes.get("ApproximateReceiveCount", "1")),
        sent_ms=int(attributes["SentTimestamp"]) if "SentTimestamp" in attributes else None,
    )


@asynccontextmanager
async def open_scoring_queue(settings: ServiceSettings) -> AsyncIterator[ScoringQueue]:
    """The queue through one long-lived client; its address is looked up once."""
    waiting = settings.model_copy(update={"aws_timeout_s": settings.aws_timeout_s + LONG_POLL_S})
    async with open_client("sqs", waiting) as client:
        with naming_failures(BusUnavailable, "GetQueueUrl"):
            url = await client.get_queue_url(QueueName=contract.SCORING_QUEUE)
            dead_letters_url = await client.get_queue_url(QueueName=contract.SCORING_DEAD_LETTERS)
        yield ScoringQueue(client, url=url["QueueUrl"], dead_letters_url=dead_letters_url["QueueUrl"])


class EventBus:
    """EventBridge `iops-dashboard-alerts`; raises BusUnavailable where AWS fails."""

    def __init__(self, client: "EventBridgeClient") -> None:
        self._client = client

    async def put(self, entries: Sequence[dict[str, Any]]) -> list[bool]:
        """Publishes up to 10 entries and says of each whether the bus accepted it."""
        with naming_failures(BusUnavailable, "PutEvents"):
            reply = await self._client.put_events(Entries=entries)  # type: ignore[arg-type]
        if reply["FailedEntryCount"] == 0:
            return [True] * len(entries)
        return ["EventId" in result for result in reply["Entries"]]


@asynccontextmanager
async def open_event_bus(settings: ServiceSettings) -> AsyncIterator[EventBus]:
    """The bus through one long-lived client."""
    async with open_client("events", settings) as client:
        yield EventBus(client)
