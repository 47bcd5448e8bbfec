"""The loop over the scoring queue: several workers, each message scored, put off, or buried."""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from typing import Final

import structlog

from iops.bus import ReceivedMessage, ScoringQueue, parse_scoring_request
from iops.errors import BusUnavailable, MalformedBody, Unavailable
from iops.observability import Metrics
from services.insights.score import Scorer

log = structlog.get_logger()

PUT_OFF_LONGEST_S: Final = 300
QUEUE_AWAY_S: Final = 5.0


class ScoringLoop:
    """Messages come at least once and in any order; scoring is idempotent, so that is enough."""

    def __init__(self, queue: ScoringQueue, scorer: Scorer, metrics: Metrics, *, workers: int) -> None:
        self._queue = queue
        self._scorer = scorer
        self._workers = workers
        self._handled = metrics.counter("iops_scoring_messages", "Scoring messages by what became of them", "outcome")
        self._group_s = metrics.histogram("iops_group_scoring_seconds", "Seconds to score a peer group")
        self._wait_s = metrics.gauge(
            "iops_scoring_wait_seconds", "How long the message taken last had waited; 0 where none was there to take"
        )
        self._wait_s.set(math.nan)  # 0 would say that somebody looked

    async def run(self) -> None:
        """Works until it is cancelled; what it holds then comes again after the queue's visibility time-out."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._workers):
                workers.create_task(self._work_forever())

    async def _work_forever(self) -> None:
        while True:
            try:
                messages = await self._queue.receive()
                self._show_wait(messages)
                for message in messages:
                    await self._handle(message)
            except BusUnavailable as error:
                log.warning("queue_away", reason=error.detail)
                await asyncio.sleep(random.uniform(0.5, QUEUE_AWAY_S))  # noqa: S311 - jitter
            except Exception:  # a worker that dies leaves the others the work of all; the log has the cause
                log.exception("worker_failed")
                await asyncio.sleep(random.uniform(0.5, QUEUE_AWAY_S))  # noqa: S311 - jitter

    def _show_wait(self, messages: Sequence[ReceivedMessage]) -> None:
        """Only of messages that come for the first time: the others were put off, and did not wait for us."""
        sent = [each.sent_ms for each in messages if each.receive_count == 1 and each.sent_ms is not None]
        if sent or not messages:
            self._wait_s.set(max(0.0, time.time() - min(sent) / 1000) if sent else 0.0)

    async def _handle(self, message: ReceivedMessage) -> None:
        started_s = time.perf_counter()
        try:
            await self._scorer.score_group(parse_scoring_request(message.body))
        except MalformedBody as error:
            await self._queue.bury(message)
            self._handled.labels("buried").inc()
            log.error("message_buried", reason=error.detail)  # noqa: TRY400 - the trace says no more than the reason
        except Unavailable as error:
            await self._put_off(message, error.detail)
        except Exception:
            log.exception("scoring_failed", receive_count=message.receive_count)
            await self._put_off(message, "see scoring_failed")
        else:
            await self._queue.delete(message)
            self._handled.labels("scored").inc()
            self._group_s.observe(time.perf_counter() - started_s)

    async def _put_off(self, message: ReceivedMessage, reason: str) -> None:
        """The queue moves a message to the dead letters when it was received too often; until then it waits longer."""
        delay_s = round(random.uniform(1, min(PUT_OFF_LONGEST_S, 2**message.receive_count)))  # noqa: S311 - jitter
        await self._queue.postpone(message, delay_s=delay_s)
        self._handled.labels("put_off").inc()
        log.warning("message_put_off", delay_s=delay_s, receive_count=message.receive_count, reason=reason)
