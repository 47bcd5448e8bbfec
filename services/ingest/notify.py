"""Asks insights to score a peer group: once in 10 s, and once more for a fault that cannot wait.

A message names the earliest sample that insights has not been told of.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from iops.bus import SEND_LIMIT, ScoringQueue, ScoringRequest
from iops.observability import Metrics

log = structlog.get_logger()

INTERVAL_S: Final = 10.0  # between two messages of one group, and between two that could not wait
RETRY_S: Final = 1.0
LAST_SEND_S: Final = 5.0
GROUPS_LIMIT: Final = 20_000  # groups waiting while the queue is away; the next batch of a group repeats it


class ScoringNotifier:
    """Best effort by design: a message that is lost is repeated by the group's next batch."""

    def __init__(self, queue: ScoringQueue, metrics: Metrics) -> None:
        self._queue = queue
        self._since_ms: dict[str, int] = {}
        self._sent_s: dict[str, float] = {}
        self._hurried_s: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._sent = metrics.counter("iops_scoring_requests", "Scoring messages sent")
        self._failed = metrics.counter("iops_scoring_request_failures", "Scoring messages that had to wait")

    def note(self, peer_group: str, since_ms: int, *, is_urgent: bool = False) -> None:
        """The group has new samples from `since_ms` (epoch ms) on; what is urgent goes now, if nothing did for 10 s."""
        if peer_group not in self._since_ms and len(self._since_ms) >= GROUPS_LIMIT:
            self._failed.inc()
            return
        self._since_ms[peer_group] = min(since_ms, self._since_ms.get(peer_group, since_ms))
        if is_urgent and peer_group not in self._hurried_s:
            self._hurried_s[peer_group] = _now_s()
            self._sent_s.pop(peer_group, None)
        self._wake.set()

    async def run(self) -> None:
        """Sends what is due until it is cancelled; then what is left, as far as 5 s reach."""
        try:
            while True:
                await self._send_due(_now_s())
                await self._sleep_until_due(_now_s())
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SEND_S):
                    await self._send(list(self._since_ms))
            raise

    async def _send_due(self, now_s: float) -> None:
        self._sent_s = _of_the_last_interval(self._sent_s, now_s)
        self._hurried_s = _of_the_last_interval(self._hurried_s, now_s)
        await self._send([group for group in self._since_ms if group not in self._sent_s])

    async def _send(self, groups: list[str]) -> None:
        for start in range(0, len(groups), SEND_LIMIT):
            requests = [
                ScoringRequest(peer_group=group, since_ms=self._since_ms.pop(group))
                for group in groups[start : start + SEND_LIMIT]
            ]
            # Before it is sent: what becomes urgent meanwhile must not wait behind it.
            self._sent_s |= dict.fromkeys((request.peer_group for request in requests), _now_s())
            refused = requests  # also where we are cancelled in the middle of it
            try:
                refused = await self._queue.send(requests)
            except Exception as error:  # noqa: BLE001 - a loop that dies would take a service that stores out of duty
                log.warning("scoring_requests_waited", requests=len(requests), reason=str(error))
            finally:
                self._settle(requests, refused)

    def _settle(self, requests: list[ScoringRequest], refused: list[ScoringRequest]) -> None:
        self._sent.inc(len(requests) - len(refused))
        for request in refused:
            self._failed.inc()
            self._sent_s[request.peer_group] = _now_s() - INTERVAL_S + RETRY_S
            self.note(request.peer_group, request.since_ms)

    async def _sleep_until_due(self, now_s: float) -> None:
        """Until a group that waits is due, or a new one arrives."""
        never_s = now_s - INTERVAL_S
        due_s = min((self._sent_s.get(group, never_s) for group in self._since_ms), default=now_s + 3600) + INTERVAL_S
        self._wake.clear()
        try:
            async with asyncio.timeout(max(0.01, due_s - now_s)):
                await self._wake.wait()
        except TimeoutError:
            return


def _of_the_last_interval(at_s: dict[str, float], now_s: float) -> dict[str, float]:
    return {group: at for group, at in at_s.items() if now_s - at < INTERVAL_S}


def _now_s() -> float:
    return asyncio.get_running_loop().time()
