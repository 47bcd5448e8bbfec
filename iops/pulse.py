"""How each replica says that it is there and how it goes: a row every 30 s, which goes when the replica ends.

Nobody knows the addresses of all replicas, so whoever wants to know how the services are reads these rows. The numbers
are those that Prometheus scrapes; what only grows there is told here as what it grew in the last five minutes.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from iops import items
from iops.clock import Clock
from iops.emf import Numbers
from iops.errors import IopsError
from iops.items import Pulse
from iops.observability import Metrics
from iops.settings import ServiceSettings
from iops.table import Table
from iops.web import Health

log = structlog.get_logger()

EVERY_S: Final = 30.0  # a write unit each: 88,000 a month and replica, 5 cents
BEATS: Final = 10  # that counts are of: agents send once in five minutes at the most
BEAT_TIMEOUT_S: Final = 10.0
LEAVE_TIMEOUT_S: Final = 2.0  # of the time between SIGTERM and SIGKILL
MOST_NAMES: Final = 8  # of one list, the largest first: with them a row stays below 1 KB

Read = Callable[[Numbers], float]
ReadEach = Callable[[Numbers], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a service says of itself, by the names in its pulse."""

    counts: Mapping[str, Read]
    levels: Mapping[str, Read]
    by_name: Mapping[str, ReadEach]


def _refused(numbers: Numbers) -> float:
    """POSTs that senders were asked to send again."""
    return sum(numbers.grown("iops_requests", method="POST", status=status) for status in ("429", "503"))


def _scorer_fallbacks(numbers: Numbers) -> float:
    return numbers.grown("iops_scorer_fallbacks") + numbers.grown("iops_model_failures")


def _open_breakers(numbers: Numbers) -> dict[str, float]:
    """1 where calls do not pass freely."""
    closed = numbers.each("iops_explainer_breaker_state", "provider", state="closed")
    return {provider: 1 - is_closed for provider, is_closed in closed.items()}


def _drift(numbers: Numbers) -> dict[str, float]:
    """It is 0 until enough was seen to say."""
    return {name: index for name, index in numbers.each("iops_feature_drift", "feature").items() if index > 0}


SECRET_AGE: Final[Mapping[str, Read]] = {"secret_age_s": lambda numbers: numbers.highest("iops_secret_age_seconds")}
WANTED: Final[Mapping[str, Wanted]] = {
    "ingest": Wanted(
        counts={"samples": lambda numbers: numbers.grown("iops_samples_stored"), "refused": _refused},
        levels={"waiting_samples": lambda numbers: numbers.highest("iops_waiting_samples"), **SECRET_AGE},
        by_name={},
    ),
    "insights": Wanted(
        counts={
            "scored": lambda numbers: numbers.grown("iops_streams_scored"),
            "put_off": lambda numbers: numbers.grown("iops_scoring_messages", outcome="put_off"),
            "scorer_fallbacks": _scorer_fallbacks,
            "explained": lambda numbers: numbers.grown("iops_explanations", reason="answered"),
            "explainer_fallbacks": lambda numbers: numbers.grown("iops_explanations", reason="fallback"),
        },
        levels={
            "scoring_wait_s": lambda numbers: numbers.highest("iops_scoring_wait_seconds"),
            "silent_hosts": lambda numbers: numbers.highest("iops_silent_hosts"),
            **SECRET_AGE,
        },
        by_name={"open_breakers": _open_breakers, "drift": _drift},
    ),
    "alerts": Wanted(
        counts={},
        levels={
            "outbox_age_s": lambda numbers: numbers.highest("iops_outbox_oldest_seconds"),
            "canary_age_s": lambda numbers: numbers.highest("iops_canary_age_seconds"),
            **SECRET_AGE,
        },
        by_name={
            "delivery_wait_s": lambda numbers: numbers.each("iops_delivery_waiting_seconds", "target"),
            "dead_letters": lambda numbers: numbers.each("iops_dead_letters", "queue"),
        },
    ),
}


class Beating:
    """The loop that writes the row of one replica. Without it a service works as well, so it never fails."""

    def __init__(
        self, service: str, table: Table, health: Health, *, metrics: Metrics, clock: Clock, version: str
    ) -> None:
        self._service = service
        self._table = table
        self._health = health
        self._numbers = Numbers(metrics)
        self._clock = clock
        self._version = version
        self._replica = secrets.token_hex(4)
        self._started_at = clock()
        self._counted: deque[tuple[float, dict[str, float]]] = deque(maxlen=BEATS)  # seconds, and what grew in them
        self._counted_at_s: float | None = None  # of the loop's clock; None: not yet
        self._is_heard = True

    async def run(self) -> None:
        """Beats until it is cancelled, and takes the row away then."""
        log.info("replica_began", replica=self._replica, version=self._version)
        try:
            while True:
                await self._beat()
                await asyncio.sleep(EVERY_S)
        finally:
            await self._leave()

    async def pulse(self) -> Pulse:
        """As it is now; what was counted in it is not counted again."""
        wanted = WANTED[self._service]
        self._count(wanted)
        return Pulse(
            service=self._service,
            replica=self._replica,
            version=self._version,
            started_at=self._started_at,
            at=self._clock(),
            failed=await self._health.failures(),
            counted_s=_round(sum(seconds for seconds, _ in self._counted)),
            counts=_known({name: sum(grown[name] for _, grown in self._counted) for name in wanted.counts}),
            levels=_known({name: read(self._numbers) for name, read in wanted.levels.items()}),
            by_name={name: _largest(read(self._numbers)) for name, read in wanted.by_name.items()},
        )

    async def _beat(self) -> None:
        try:
            async with asyncio.timeout(BEAT_TIMEOUT_S):
                await self._table.put(items.pulse_item(await self.pulse()))
        except (IopsError, TimeoutError) as error:
            self._miss(reason=error.detail if isinstance(error, IopsError) else "no answer in time")
        except Exception as error:  # noqa: BLE001 - a loop that dies would make the service unready for a row
            self._miss(reason=type(error).__name__, exc_info=error)
        else:
            self._is_heard = True

    def _miss(self, *, reason: str, exc_info: Exception | None = None) -> None:
        """Said once, until it is heard again."""
        if self._is_heard:
            log.warning("pulse_missed", reason=reason, exc_info=exc_info)
        self._is_heard = False

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._table.delete(items.pulse_key(self._service, self._replica))
        except Exception as error:  # noqa: BLE001 - it ends anyway, and the row is gone in an hour
            log.warning("pulse_left_behind", reason=type(error).__name__)

    def _count(self, wanted: Wanted) -> None:
        now_s = asyncio.get_running_loop().time()
        grown = {name: read(self._numbers) for name, read in wanted.counts.items()}
        seconds = 0.0 if self._counted_at_s is None else now_s - self._counted_at_s
        self._counted.append((seconds, grown))
        self._counted_at_s = now_s


def beating(
    settings: ServiceSettings, service: str, *, table: Table, health: Health, metrics: Metrics, clock: Clock
) -> dict[str, Coroutine[Any, Any, None]]:
    """The loop for a service to run."""
    return {"pulse": Beating(service, table, health, metrics=metrics, clock=clock, version=settings.version).run()}


def _largest(values: Mapping[str, float]) -> dict[str, float]:
    known = _known(values)
    return {name: known[name] for name in heapq.nlargest(MOST_NAMES, known, key=lambda name: known[name])}


def _known(values: Mapping[str, float]) -> dict[str, float]:
    """NaN is a number that nobody has measured yet."""
    return {name: _round(value) for name, value in values.items() if math.isfinite(value)}


def _round(value: float) -> float:
    return round(value, 3)
