"""The daily canary on its way back: a queue at the topic, the age of the last one, and an alarm when none came."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from iops import contract, items
from iops.aws import open_client
from iops.bus import LONG_POLL_S
from iops.clock import Clock
from iops.errors import Conflict, Unavailable
from iops.events import is_canary
from iops.observability import Metrics
from iops.table import Table
from services.alerts.canary import canary_hour_before
from services.alerts.dead_letters import naming_missing
from services.alerts.settings import AlertsSettings

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

log = structlog.get_logger()

PAUSE_S: Final = 20.0  # with the poll itself two requests a minute: 87,000 a month and replica, $0.04
RECEIVE_LIMIT: Final = 10  # messages, SQS's limit
PATIENCE: Final = timedelta(minutes=15)  # after the hour of canaries, for one that is on its way


class CanaryWatch:
    """Every alert comes by here too, and is deleted unread: only canaries are noted."""

    def __init__(self, sqs: SQSClient, table: Table, clock: Clock, metrics: Metrics, *, hour_utc: int) -> None:
        self._sqs = sqs
        self._table = table
        self._clock = clock
        self._hour_utc = hour_utc
        self._began_at = clock()
        self._url: str | None = None
        self._back_at: datetime | None = None  # None: not read yet
        self._complained_of: datetime | None = None
        self._age_s = metrics.gauge(
            "iops_canary_age_seconds", "Since a canary last came back, or since the first watch for one began"
        )
        self._age_s.set(math.nan)  # 0 would say that all is well

    async def run(self) -> None:
        """Polls until it is cancelled; the age grows on while the queue or the table is away."""
        while True:
            await self._look()
            pause_s = PAUSE_S
            try:
                received = await self.receive_once()
                pause_s = 0 if received == RECEIVE_LIMIT else PAUSE_S  # behind a storm of alerts may wait a canary
            except Unavailable as error:
                log.warning("canary_watch_waited", reason=error.detail)
            except Exception:  # a loop that died would never tell that nothing comes
                log.exception("canary_watch_failed")
            await asyncio.sleep(pause_s)

    async def receive_once(self) -> int:
        """Deletes whatever came, after a canary was noted; answers how many messages. Raises Unavailable."""
        url = await self._queue_url()
        with naming_missing("ReceiveMessage"):
            reply = await self._sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=RECEIVE_LIMIT, WaitTimeSeconds=LONG_POLL_S
            )
        messages = reply.get("Messages", [])
        if any(is_canary(message["Body"]) for message in messages):
            await self._note(self._clock())
        if messages:
            entries: list[Any] = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]} for index, message in enumerate(messages)
            ]
            with naming_missing("DeleteMessageBatch"):
                await self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        return len(messages)

    async def look_once(self) -> None:
        """Shows the age, and complains once of each day without a canary that it was there for. Raises Unavailable."""
        now = self._clock()
        try:
            self._back_at = await self._read_back(now)
        finally:
            if self._back_at is not None:
                self._age_s.set(max(0.0, (now - self._back_at).total_seconds()))
        due_at = canary_hour_before(now - PATIENCE, self._hour_utc)
        if self._began_at <= due_at and self._back_at < due_at and self._complained_of != due_at:
            self._complained_of = due_at
            log.error("canary_missing", due_at=due_at.isoformat(), last_back_at=self._back_at.isoformat())

    async def _look(self) -> None:
        try:
            await self.look_once()
        except Unavailable as error:
            log.warning("canary_watch_waited", reason=error.detail)
        except Exception:  # as above
            log.exception("canary_watch_failed")

    async def _note(self, at: datetime) -> None:
        log.info("canary_came_back")
        with suppress(Conflict):  # a later one is noted
            await self._table.transact([{"Put": items.canary_back_put(at)}])

    async def _read_back(self, now: datetime) -> datetime:
        row = await self._table.get(items.canary_back_key())
        if row is not None:
            return items.item_to_canary_back(row)
        with suppress(Conflict):
            await self._table.transact([{"Put": items.canary_watch_put(now)}])
        return now

    async def _queue_url(self) -> str:
        if self._url is None:
            with naming_missing(f"GetQueueUrl {contract.CANARY_QUEUE}"):
                self._url = (await self._sqs.get_queue_url(QueueName=contract.CANARY_QUEUE))["QueueUrl"]
        return self._url


@asynccontextmanager
async def open_canary_watch(
    settings: AlertsSettings, table: Table, clock: Clock, metrics: Metrics
) -> AsyncIterator[CanaryWatch]:
    """The watch through a client of its own, which may wait as long as a poll takes."""
    waiting = settings.model_copy(update={"aws_timeout_s": settings.aws_timeout_s + LONG_POLL_S})
    async with open_client("sqs", waiting) as sqs:
        yield CanaryWatch(sqs, table, clock, metrics, hour_utc=settings.canary_hour_utc)
