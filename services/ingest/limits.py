"""How much one stream and one caller may send; in memory, so each replica allows as much."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from iops.errors import RateExceeded
from services.ingest.settings import IngestSettings

CALLERS_LIMIT: Final = 10_000  # remembered, least recently used out
STREAMS_LIMIT: Final = 100_000
CALLER_MEMORY_S: Final = 3_600


class Limits:
    """A bucket of tokens for each stream, a set of streams for each caller.

    A request takes one token of each stream it speaks of, however many batches: a fleet that returns from an outage
    sends its hours in few requests.
    """

    def __init__(self, settings: IngestSettings, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._rate = settings.stream_rate
        self._burst = settings.stream_burst
        self._streams_per_caller = settings.streams_per_caller
        self._monotonic_s = monotonic_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted
        self._callers: OrderedDict[str, tuple[float, set[str]]] = OrderedDict()  # since when, and which streams

    def take(self, caller: str, stream_ids: Iterable[str]) -> None:
        """Lets a request pass, or raises RateExceeded and takes nothing."""
        wanted = set(stream_ids)
        if not wanted:
            return
        now_s = self._monotonic_s()
        self._check_caller(caller, wanted, now_s)
        left = {stream_id: self._tokens(stream_id, now_s) - 1 for stream_id in wanted}
        worst = min(left, key=left.__getitem__)
        if left[worst] < 0:
            wait_s = math.ceil(-left[worst] / self._rate)
            detail = f"{worst} is sent more often than {self._rate:g} times a second; send larger batches"
            raise RateExceeded(detail, retry_after_s=max(1, wait_s))
        for stream_id, tokens in left.items():
            self._buckets[stream_id] = (tokens, now_s)
            self._buckets.move_to_end(stream_id)
        while len(self._buckets) > STREAMS_LIMIT:
            self._buckets.popitem(last=False)

    def _tokens(self, stream_id: str, now_s: float) -> float:
        tokens, at_s = self._buckets.get(stream_id, (self._burst, now_s))
        return min(self._burst, tokens + (now_s - at_s) * self._rate)

    def _check_caller(self, caller: str, wanted: set[str], now_s: float) -> None:
        since_s, known = self._callers.get(caller, (now_s, set()))
        if now_s - since_s >= CALLER_MEMORY_S:  # streams that are gone do not count for ever
            since_s, known = now_s, set()
        new = wanted - known
        if len(known) + len(new) > self._streams_per_caller:
            detail = f"one caller may send {self._streams_per_caller} streams, and {caller} would send more"
            raise RateExceeded(detail, retry_after_s=60)
        known |= new
        self._callers[caller] = (since_s, known)
        self._callers.move_to_end(caller)
        while len(self._callers) > CALLERS_LIMIT:
            self._callers.popitem(last=False)
