"""Bodies to the server: sent when it answers, kept on disk while it does not, dropped only when it refuses them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import httpx
import structlog

from agent.body import Body
from agent.spool import Spool
from iops.clock import Clock

log: structlog.stdlib.BoundLogger = structlog.get_logger()

TIMEOUT: Final = httpx.Timeout(10, connect=3)  # seconds; the server answers only when the table has it
POST_LIMIT_S: Final = 15.0  # of a whole request, for a server that trickles
FIRST_WAIT_S: Final = 1.0
WAIT_LIMIT_S: Final = 30.0
DENIED_WAIT_S: Final = 60.0  # somebody must change the key or the address; asking often does not help
RETRY_AFTER_LIMIT_S: Final = 600.0  # whatever the server says: the spool is finite
FRESH_LIMIT_BYTES: Final = 8 * 1024 * 1024  # held in memory where the spool's disk takes nothing
DETAIL_LIMIT: Final = 300  # characters of somebody else's text in our log

Outcome = Literal["accepted", "refused", "denied", "unanswered"]
REFUSED: Final = frozenset({400, 413, 422})  # this body will never be taken
COME_AGAIN: Final = frozenset({408, 425, 429})  # and every 5xx


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one POST."""

    outcome: Outcome
    status: int | None = None  # None: no answer at all
    detail: str = ""
    retry_after_s: float = 0.0


class Sender:
    """Fresh bodies first wait in memory; when one fails all go to the spool, which is then sent oldest first.

    While both have bodies they take turns, so that neither starves. One request at a time: ten thousand spooled
    bodies must not fall upon a server that has just come back.
    """

    def __init__(self, client: httpx.AsyncClient, spool: Spool, *, rng: random.Random, clock: Clock) -> None:
        self.refused = 0  # bodies the server will not have
        self.lost = 0  # bodies that neither server nor disk took
        self._client, self._spool, self._rng, self._clock = client, spool, rng, clock
        self._fresh: deque[Body] = deque()
        self._is_spool_turn = True
        self._failures = 0
        self._due_at_s = 0.0  # no request before this monotonic instant
        self._deadline_s: float | None = None  # of the last requests, once told to finish
        self._limit: asyncio.Timeout | None = None  # of the request under way
        self._changed = asyncio.Event()

    def offer(self, bodies: Iterable[Body]) -> None:
        """Take bodies to send; never waits."""
        self._fresh.extend(bodies)
        self._changed.set()

    def finish(self, limit_s: float) -> None:
        """Let `run` send what it can within `limit_s`, spool the rest and return."""
        self._deadline_s = time.monotonic() + limit_s
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + limit_s)
        self._changed.set()

    async def run(self) -> None:
        """Send until told to finish."""
        while self._deadline_s is None:
            if await self._wait_until_due():
                await self._send_next()
        while self._has_work() and time.monotonic() < self._deadline_s and await self._send_next():
            pass
        await self._spool_fresh("stopping")
        self._lose_fresh(down_to_bytes=0)

    async def _wait_until_due(self) -> bool:
        """Sleep until there is something to send and the server may be asked, or the world changes."""
        self._changed.clear()
        wait_s = self._due_at_s - time.monotonic()
        if self._has_work() and wait_s <= 0:
            return True
        try:
            async with asyncio.timeout(wait_s if self._has_work() else None):
                await self._changed.wait()
        except TimeoutError:
            return True
        return False

    def _has_work(self) -> bool:
        return bool(self._fresh) or len(self._spool) > 0

    async def _send_next(self) -> bool:
        """Send one body; False when the server is away."""
        if self._fresh and not (len(self._spool) and self._is_spool_turn):
            self._is_spool_turn = True
            return await self._send_fresh(self._fresh[0])
        self._is_spool_turn = False
        return await self._send_spooled()

    async def _send_fresh(self, body: Body) -> bool:
        reply = await self._post(body.content)
        is_settled = reply.outcome in ("accepted", "refused")
        if is_settled:
            self._fresh.popleft()
            self._log_settled(reply, body.content, batches=body.batches, samples=body.samples)
        else:
            await self._spool_fresh(reply.detail, status=reply.status)
        return is_settled

    async def _send_spooled(self) -> bool:
        damaged = self._spool.damaged
        found = await asyncio.to_thread(self._spool.oldest)
        if self._spool.damaged > damaged:
            log.warning("spool_damaged", damaged_bodies=self._spool.damaged)
        if found is None:
            return True
        name, content = found
        reply = await self._post(content)
        is_settled = reply.outcome in ("accepted", "refused")
        if is_settled:
            await asyncio.to_thread(self._spool.remove, name)
            self._log_settled(reply, content, was_spooled=True)
        return is_settled

    async def _spool_fresh(self, reason: str, *, status: int | None = None) -> None:
        if not self._fresh:
            return
        bodies, dropped = len(self._fresh), self._spool.dropped
        try:
            while self._fresh:
                await asyncio.to_thread(self._spool.put, self._fresh[0].content)
                self._fresh.popleft()
        except OSError as error:
            log.warning("spool_failed", error=str(error), held_bodies=len(self._fresh))
            self._lose_fresh(down_to_bytes=FRESH_LIMIT_BYTES)
        facts = {"bodies": bodies - len(self._fresh), "spool_bytes": self._spool.size_bytes}
        log.warning("batches_spooled", reason=reason, status=status, **facts)
        if self._spool.dropped > dropped:
            log.warning("spool_trimmed", dropped_bodies=self._spool.dropped)

    def _lose_fresh(self, *, down_to_bytes: int) -> None:
        """Drop the oldest that neither server nor spool took."""
        lost = self.lost
        while sum(len(body.content) for body in self._fresh) > down_to_bytes:
            self._fresh.popleft()
            self.lost += 1
        if self.lost > lost:
            log.error("batches_lost", lost_bodies=self.lost)

    def _log_settled(self, reply: Reply, content: bytes, **facts: int) -> None:
        if reply.outcome == "accepted":
            log.info("batches_sent", size_bytes=len(content), spooled_bodies=len(self._spool), **facts)
            return
        self.refused += 1
        log.error("batches_refused", status=reply.status, detail=reply.detail, refused_bodies=self.refused, **facts)

    async def _post(self, content: bytes) -> Reply:
        reply = await self._ask(content)
        if reply.outcome in ("accepted", "refused"):
            self._failures, self._due_at_s = 0, 0.0
            return reply
        self._failures += 1
        wait_s = self._wait_after(reply)
        self._due_at_s = time.monotonic() + wait_s
        say = log.error if reply.outcome == "denied" else log.warning
        say("server_unavailable", status=reply.status, detail=reply.detail, retry_in_s=round(wait_s, 1))
        return reply

    def _wait_after(self, reply: Reply) -> float:
        """Full jitter, growing; on top of what the server asked for, so that a fleet does not return as one."""
        if reply.outcome == "denied":
            return self._rng.uniform(DENIED_WAIT_S / 2, DENIED_WAIT_S)
        longest_s = min(WAIT_LIMIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 10))
        return reply.retry_after_s + self._rng.uniform(0, longest_s)

    async def _ask(self, content: bytes) -> Reply:
        limit_s = POST_LIMIT_S if self._deadline_s is None else self._deadline_s - time.monotonic()
        try:
            async with asyncio.timeout(limit_s) as self._limit:
                response = await self._client.post("/metrics", content=content)
        except (httpx.TransportError, TimeoutError) as error:
            return Reply("unanswered", detail=str(error) or type(error).__name__)
        finally:
            self._limit = None
        return read_reply(response, clock=self._clock)


def read_reply(response: httpx.Response, *, clock: Clock) -> Reply:
    """What a response means for the body that it answers."""
    status = response.status_code
    if response.is_success:
        return Reply("accepted", status)
    detail = _read_detail(response)
    if status in REFUSED:
        return Reply("refused", status, detail)
    if status in COME_AGAIN or status >= 500:
        return Reply("unanswered", status, detail, _read_retry_after_s(response, clock=clock))
    return Reply("denied", status, detail)


def _read_detail(response: httpx.Response) -> str:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    detail = problem.get("detail") if isinstance(problem, dict) else None
    return str(detail or response.reason_phrase)[:DETAIL_LIMIT]


def _read_retry_after_s(response: httpx.Response, *, clock: Clock) -> float:
    """Seconds or a date, as HTTP allows; anything else is as if nothing was said."""
    text = response.headers.get("Retry-After", "")
    try:
        if text.isascii() and text.isdecimal():
            wait_s = float(text)
        else:
            at = parsedate_to_datetime(text)
            wait_s = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - clock()).total_seconds()
    except ValueError:
        return 0.0
    return min(max(wait_s, 0.0), RETRY_AFTER_LIMIT_S)
