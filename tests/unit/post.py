"""SQS and SNS in memory, as far as dead letters and canaries use them: queues with hidden messages, and a topic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from iops import contract
from iops.items import Item
from services.alerts.dead_letters import DeadLetters
from services.alerts.letters import QUEUE_NAMES, LetterQueue
from services.alerts.redrive import Redrive
from tests.unit.builders import AT_MS
from tests.unit.fakes import FakeBus, _Client, aws_error

# As EventBridge and SNS write them beside a message.
RULE_SAYS: Final = {
    "RULE_ARN": "arn:aws:events:us-east-1:123456789012:rule/iops-dashboard-alerts/iops-dashboard-high-risk",
    "TARGET_ARN": "arn:aws:sns:us-east-1:123456789012:iops-dashboard-high-risk-alerts",
    "ERROR_CODE": "NO_PERMISSIONS",
    "ERROR_MESSAGE": "not authorized to perform: SNS:Publish",
    "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
    "RETRY_ATTEMPTS": "185",
}
SNS_SAYS: Final = {"RequestID": "5a6", "ErrorCode": "503", "ErrorMessage": "The endpoint did not answer."}


def an_event_body(**fields: Any) -> str:
    """An event as EventBridge leaves it."""
    detail = {"event_id": "01K", "stream_id": "web-1:sda", "risk_score": 90.5, "mail": {"title": "web-1:sda stalled"}}
    event = {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": "Insight",
        "source": "iops.insights",
        "account": "123456789012",
        "time": "2026-11-23T02:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }
    return json.dumps(event | fields)


def a_notification_body(message: str = '"web-1:sda stalled"\n"Risk: 90"', **fields: Any) -> str:
    """A message as SNS leaves it."""
    topic = f"arn:aws:sns:us-east-1:123456789012:{contract.ALERT_TOPIC}"
    envelope = {"Type": "Notification", "MessageId": "m", "TopicArn": topic, "Message": message}
    return json.dumps(envelope | {"Timestamp": "2026-11-23T02:00:00.000Z", "SignatureVersion": "1"} | fields)


@dataclass(slots=True)
class _Message:
    item: Item
    is_hidden: bool = False


class FakePost(_Client):
    """One client for SQS and SNS. Receipts are message ids; what is hidden stays so until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        names = (*QUEUE_NAMES.values(), contract.SCORING_QUEUE, contract.CANARY_QUEUE)
        self.queues: dict[str, dict[str, _Message]] = {name: {} for name in names}
        self.published: list[tuple[str, str, str | None]] = []
        self.has_topic = True
        self._count = 0

    def redrive(self, bus: FakeBus) -> Redrive:
        client: Any = self
        return Redrive(DeadLetters(client), client, client, bus.bus())

    def add(self, queue: LetterQueue | str, body: str, says: Mapping[str, str] | None = None) -> str:
        self._count += 1
        message_id = f"m{self._count:02}"
        item: Item = {
            "MessageId": message_id,
            "ReceiptHandle": message_id,
            "Body": body,
            "Attributes": {"SentTimestamp": str(AT_MS + self._count)},
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": text} for name, text in (says or {}).items()
            },
        }
        name = QUEUE_NAMES[queue] if isinstance(queue, LetterQueue) else queue
        self.queues[name][message_id] = _Message(item)
        return message_id

    def seen(self, queue: LetterQueue | str) -> list[str]:
        """The ids that anybody may receive."""
        name = QUEUE_NAMES[queue] if isinstance(queue, LetterQueue) else queue
        return [message_id for message_id, message in self.queues[name].items() if not message.is_hidden]

    async def get_queue_url(self, *, QueueName: str) -> Item:  # noqa: N803
        await self._begin("GetQueueUrl")
        return {"QueueUrl": QueueName}

    async def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: Sequence[str]) -> Item:  # noqa: N803
        await self._begin("GetQueueAttributes")
        hidden = sum(message.is_hidden for message in self.queues[QueueUrl].values())
        known = {
            "ApproximateNumberOfMessages": str(len(self.queues[QueueUrl]) - hidden),
            "ApproximateNumberOfMessagesNotVisible": str(hidden),
            "QueueArn": f"arn:aws:sqs:us-east-1:123456789012:{QueueUrl}",
        }
        return {"Attributes": {name: known[name] for name in AttributeNames if name in known}}

    async def receive_message(self, *, QueueUrl: str, MaxNumberOfMessages: int, **_: Any) -> Item:  # noqa: N803
        await self._begin("ReceiveMessage")
        assert 1 <= MaxNumberOfMessages <= 10
        ids = self.seen(QueueUrl)[:MaxNumberOfMessages]
        for message_id in ids:
            self.queues[QueueUrl][message_id].is_hidden = True
        return {"Messages": [self.queues[QueueUrl][message_id].item for message_id in ids]} if ids else {}

    async def change_message_visibility_batch(self, *, QueueUrl: str, Entries: Sequence[Item]) -> Item:  # noqa: N803
        await self._begin("ChangeMessageVisibilityBatch")
        assert 1 <= len(Entries) <= 10
        for entry in Entries:
            assert entry["VisibilityTimeout"] == 0
            self.queues[QueueUrl][entry["ReceiptHandle"]].is_hidden = False
        return {}

    async def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> Item:  # noqa: N803
        await self._begin("DeleteMessage")
        del self.queues[QueueUrl][ReceiptHandle]
        return {}

    async def delete_message_batch(self, *, QueueUrl: str, Entries: Sequence[Item]) -> Item:  # noqa: N803
        await self._begin("DeleteMessageBatch")
        for entry in Entries:
            del self.queues[QueueUrl][entry["ReceiptHandle"]]
        return {}

    async def send_message(self, *, QueueUrl: str, MessageBody: str) -> Item:  # noqa: N803
        await self._begin("SendMessage")
        self.add(QueueUrl, MessageBody)
        return {}

    async def publish(self, *, TopicArn: str, Message: str, Subject: str | None = None) -> Item:  # noqa: N803
        await self._begin("Publish")
        if not self.has_topic:
            raise aws_error("NotFound", status=404)
        self.published.append((TopicArn, Message, Subject))
        return {}
