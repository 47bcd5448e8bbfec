"""When the samples of a device are worth a request: at first, when full, and when something looks bad."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from iops.telemetry import Sample

LATENCY_FACTOR: Final = 4.0  # times its own median; design.md section 3
MEDIAN_SAMPLES: Final = 150  # 5 minutes at the default interval
MEDIAN_SAMPLES_MIN: Final = 15  # fewer say nothing of what is usual here
COMPLETIONS_MIN: Final = 5  # of an interval: the mean of fewer is chance
AWAIT_MIN_MS: Final = 2.0  # below it nobody is in a hurry; on a busy disk it saves half of all requests (measured)
EARLY_EVERY_S: Final = 10.0  # a write costs the same up to 45 samples, so being early costs money


class UsualAwait:
    """The running median await of one direction of one device."""

    def __init__(self) -> None:
        self._recent_ms: deque[float] = deque(maxlen=MEDIAN_SAMPLES)

    def is_exceeded(self, await_ms: float | None, completions: float) -> bool:
        """Whether this interval is far above what was usual before it; it counts as usual from now on."""
        if await_ms is None or completions < COMPLETIONS_MIN:
            return False
        has_usual = len(self._recent_ms) >= MEDIAN_SAMPLES_MIN
        usual_ms = median(self._recent_ms) if has_usual else math.inf
        self._recent_ms.append(await_ms)
        return await_ms > max(AWAIT_MIN_MS, LATENCY_FACTOR * usual_ms)


@dataclass(slots=True)
class Holding:
    """What is held of one device until it is sent, and how urgent that is."""

    limit: int  # samples
    _held: list[Sample] = field(default_factory=list)
    _read: UsualAwait = field(default_factory=UsualAwait)
    _write: UsualAwait = field(default_factory=UsualAwait)
    _is_known: bool = False  # the first sample goes at once: somebody waits to see this stream
    _is_urgent: bool = False
    _early_at_s: float = -math.inf

    def add(self, sample: Sample) -> None:
        """Keep a sample."""
        self._held.append(sample)
        self._is_urgent |= self._looks_bad(sample)

    def is_due(self, now_s: float) -> bool:
        """Whether to send now."""
        if not self._held:
            return False
        is_early = self._is_urgent and now_s - self._early_at_s >= EARLY_EVERY_S
        return not self._is_known or len(self._held) >= self.limit or is_early

    def take(self, now_s: float) -> tuple[Sample, ...]:
        """Everything held, which is then somebody else's."""
        taken, self._held = tuple(self._held), []
        if self._is_urgent:
            self._early_at_s = now_s
        self._is_known, self._is_urgent = True, False
        return taken

    def _looks_bad(self, sample: Sample) -> bool:
        # Both directions always learn, so neither may be skipped by the other's answer.
        is_slow = [
            self._read.is_exceeded(sample.read_await_ms, sample.read_iops * sample.interval_s),
            self._write.is_exceeded(sample.write_await_ms, sample.write_iops * sample.interval_s),
        ]
        is_stalled = sample.in_flight > 0 and sample.read_iops == 0 and sample.write_iops == 0
        return is_stalled or bool(sample.io_errors) or any(is_slow)
