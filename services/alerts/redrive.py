"""Sends dead letters where they were bound for, and deletes each only after it was accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from iops import contract
from iops.aws import open_client
from iops.bus import EventBus, ScoringRequest, open_event_bus
from iops.errors import BusUnavailable, MalformedBody
from services.alerts.dead_letters import DeadLetters, naming_missing
from services.alerts.letters import BusEvent, Letter, LetterQueue, Readable, read_letter
from services.alerts.settings import AlertsSettings

if TYPE_CHECKING:
    from types_aiobotocore_sns.client import SNSClient
    from types_aiobotocore_sqs.client import SQSClient

HIDES_S: Final = 60  # longer than a redrive takes, so that none of it is sent by two
KEPT_LIMIT: Final = 50  # letters of each kind, for the report
LIMIT_S: Final = 10.0  # then it begins no more letters: the caller asks again


@dataclass(slots=True)
class Pile:
    """Letters, of which only the first are kept: a thousand bodies may be a gigabyte."""

    first: list[Letter] = field(default_factory=list)
    total: int = 0

    def add(self, letter: Letter) -> None:
        """Counts it, and keeps it while there is room."""
        self.total += 1
        if len(self.first) < KEPT_LIMIT:
            self.first.append(letter)


@dataclass(slots=True)
class Redriven:
    """What came of it."""

    accepted: Pile = field(default_factory=Pile)
    unreadable: Pile = field(default_factory=Pile)  # they stay
    stopped_by: str | None = None  # None: it came to its end

    @property
    def total(self) -> int:
        """How many letters were dealt with."""
        return self.accepted.total + self.unreadable.total


class Redrive:
    """At least once: a letter that was accepted and could not be deleted is sent again."""

    def __init__(self, letters: DeadLetters, sqs: SQSClient, sns: SNSClient, bus: EventBus) -> None:
        self.letters = letters
        self._sqs = sqs
        self._sns = sns
        self._bus = bus

    async def run(self, queue: LetterQueue, *, limit: int) -> Redriven:
        """Up to `limit` letters, and no more than there are now: what comes back meanwhile waits for the next time.

        Stops at the first that its target does not take. Raises BusUnavailable where the queue cannot be counted.
        """
        result = Redriven()
        held: dict[str, Letter] = {}
        limit = min(limit, await self.letters.count(queue))
        try:
            await self._send_all(queue, limit, result, held)
        except BusUnavailable as error:
            result.stopped_by = error.detail
        finally:
            await self.letters.let_go(queue, list(held.values()))
        return result

    async def _send_all(self, queue: LetterQueue, limit: int, result: Redriven, held: dict[str, Letter]) -> None:
        """`held` has what was received and is not deleted."""
        give_up_at = asyncio.get_running_loop().time() + LIMIT_S
        while result.total < limit:
            got = await self.letters.receive(queue, limit=limit - result.total, hides_s=HIDES_S)
            if not got:
                return
            held |= {letter.message_id: letter for letter in got}
            for letter in got:
                if asyncio.get_running_loop().time() > give_up_at:
                    raise BusUnavailable(f"after {LIMIT_S:g} s it rests; ask again for the others")
                try:
                    readable = read_letter(queue, letter)
                except MalformedBody:
                    result.unreadable.add(letter)
                    held[letter.message_id] = replace(letter, body="")
                    continue
                await self._send(readable, letter.body)
                await self.letters.delete(queue, letter)
                del held[letter.message_id]
                result.accepted.add(letter)

    async def _send(self, readable: Readable, body: str) -> None:
        if isinstance(readable, ScoringRequest):
            url = await self.letters.url(contract.SCORING_QUEUE)
            with naming_missing("SendMessage"):
                await self._sqs.send_message(QueueUrl=url, MessageBody=body)
        elif isinstance(readable, BusEvent):
            (is_accepted,) = await self._bus.put([_event_to_entry(readable)])
            if not is_accepted:
                raise BusUnavailable("the bus did not accept an event")
        else:
            subject: Any = {"Subject": readable.subject} if readable.subject else {}
            topic_arn = await self.letters.topic_arn()
            with naming_missing("Publish"):
                await self._sns.publish(TopicArn=topic_arn, Message=readable.message, **subject)


@asynccontextmanager
async def open_redrive(settings: AlertsSettings) -> AsyncIterator[Redrive]:
    """The queues, the topic and the bus, each through a long-lived client."""
    async with (
        open_client("sqs", settings) as sqs,
        open_client("sns", settings) as sns,
        open_event_bus(settings) as bus,
    ):
        yield Redrive(DeadLetters(sqs), sqs, sns, bus)


def _event_to_entry(event: BusEvent) -> dict[str, Any]:
    """As it was put the first time: the detail, which holds our event id, and the time stay."""
    return {
        "Source": event.source,
        "DetailType": event.detail_type,
        "Detail": event.detail_text,
        "EventBusName": contract.EVENT_BUS,
        "Time": event.time,
    }
