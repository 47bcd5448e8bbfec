"""The three dead-letter queues: counted, and looked at without taking anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog
from botocore.exceptions import ClientError

from iops import contract
from iops.aws import naming_failures
from iops.clock import from_epoch_ms
from iops.errors import BusUnavailable
from iops.observability import Metrics
from services.alerts.letters import QUEUE_NAMES, Letter, LetterQueue

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

log = structlog.get_logger()

RECEIVE_LIMIT: Final = 10  # messages, SQS's limit
LOOK_HIDES_S: Final = 15  # where a look dies before it lets go
COUNT_INTERVAL_S: Final = 60.0  # three requests each: 130,000 a month and replica, $0.05
COUNTED: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
MISSING: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NotFound"})


class DeadLetters:
    """Raises BusUnavailable where AWS fails, or where a queue is missing."""

    def __init__(self, sqs: SQSClient) -> None:
        self._sqs = sqs
        self._urls: dict[str, str] = {}
        self._topic_arn: str | None = None

    async def count(self, queue: LetterQueue) -> int:
        """How many there are, about; those that somebody looks at are counted too."""
        url = await self.url(QUEUE_NAMES[queue])
        with naming_missing("GetQueueAttributes"):
            reply = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(COUNTED))
        return sum(int(reply["Attributes"].get(name, "0")) for name in COUNTED)

    async def look(self, queue: LetterQueue, *, limit: int) -> list[Letter]:
        """Up to `limit` letters, which lie there again afterwards. What another one looks at just now is not seen."""
        seen: list[Letter] = []
        try:
            while len(seen) < limit:
                got = await self.receive(queue, limit=limit - len(seen), hides_s=LOOK_HIDES_S)
                if not got:
                    break
                seen += got
        finally:
            await self.let_go(queue, seen)
        return sorted(seen, key=lambda letter: letter.sent_at)

    async def receive(self, queue: LetterQueue, *, limit: int, hides_s: int) -> list[Letter]:
        """Up to 10 letters, which nobody else sees for `hides_s`; none: no more are to be seen."""
        url = await self.url(QUEUE_NAMES[queue])
        with naming_missing("ReceiveMessage"):
            reply = await self._sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(limit, RECEIVE_LIMIT),
                WaitTimeSeconds=1,  # a short poll asks some of SQS's servers only, and may find nothing
                VisibilityTimeout=hides_s,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            )
        return [_letter(message) for message in reply.get("Messages", [])]

    async def delete(self, queue: LetterQueue, letter: Letter) -> None:
        """It is dealt with."""
        url = await self.url(QUEUE_NAMES[queue])
        with naming_missing("DeleteMessage"):
            await self._sqs.delete_message(QueueUrl=url, ReceiptHandle=letter.receipt)

    async def let_go(self, queue: LetterQueue, letters: Sequence[Letter]) -> None:
        """They can be received at once; where this fails, when their time-out ends."""
        try:
            for start in range(0, len(letters), RECEIVE_LIMIT):
                some = letters[start : start + RECEIVE_LIMIT]
                entries: list[Any] = [
                    {"Id": str(index), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                    for index, letter in enumerate(some)
                ]
                url = await self.url(QUEUE_NAMES[queue])
                with naming_missing("ChangeMessageVisibilityBatch"):
                    await self._sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)
        except BusUnavailable as error:
            log.warning("letters_stay_hidden", queue=queue, letters=len(letters), reason=error.detail)

    async def url(self, name: str) -> str:
        """Looked up once, and not at the start: a queue that is missing must not keep alerts from people."""
        if name not in self._urls:
            with naming_missing(f"GetQueueUrl {name}"):
                self._urls[name] = (await self._sqs.get_queue_url(QueueName=name))["QueueUrl"]
        return self._urls[name]

    async def topic_arn(self) -> str:
        """SNS finds no topic by name; its dead letters lie in the topic's account and region, as SNS demands."""
        if self._topic_arn is None:
            url = await self.url(contract.SUBSCRIPTION_DEAD_LETTERS)
            with naming_missing("GetQueueAttributes"):
                reply = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
            _, partition, _, region, account, _ = reply["Attributes"]["QueueArn"].split(":")
            self._topic_arn = f"arn:{partition}:sns:{region}:{account}:{contract.ALERT_TOPIC}"
        return self._topic_arn


class LetterCounts:
    """The loop that shows how many dead letters there are."""

    def __init__(self, letters: DeadLetters, metrics: Metrics) -> None:
        self._letters = letters
        self._gauge = metrics.gauge("iops_dead_letters", "Messages in a dead-letter queue, about", "queue")

    async def run(self) -> None:
        """Counts once a minute until it is cancelled."""
        while True:
            await self.count_once()
            await asyncio.sleep(COUNT_INTERVAL_S)

    async def count_once(self) -> None:
        """A queue that cannot be asked keeps its last count."""
        for queue in LetterQueue:
            try:
                self._gauge.labels(queue.value).set(await self._letters.count(queue))
            except BusUnavailable as error:
                log.warning("dead_letters_uncounted", queue=queue, reason=error.detail)
            except Exception:  # a missing permission, say; the loop goes on, and so does the service
                log.exception("dead_letters_uncounted", queue=queue)


@contextmanager
def naming_missing(call: str) -> Iterator[None]:
    """As naming_failures; and a queue or a topic that somebody deleted is a failure that ends when it is made again."""
    try:
        with naming_failures(BusUnavailable, call):
            yield
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            raise BusUnavailable(f"{call} failed: what it is about does not exist") from error
        raise


def _letter(message: MessageTypeDef) -> Letter:
    attributes = {
        name: value["StringValue"]
        for name, value in message.get("MessageAttributes", {}).items()
        if "StringValue" in value
    }
    return Letter(
        message_id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        body=message["Body"],
        sent_at=from_epoch_ms(int(message["Attributes"]["SentTimestamp"])),
        attributes=attributes,
    )
