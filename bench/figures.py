"""Numbers out of measurements: percentiles of latencies, rates and CPU of rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.load import Tally


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed; `ordered` ascends and is not empty.

    >>> percentile([1, 2, 3, 4], 0.5), percentile([1, 2, 3, 4], 0.99)
    (2, 4)
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Round:
    """A closed loop: what was acknowledged in how long, and the CPU it took in the server and in its table."""

    requests: int
    samples: int
    elapsed_s: float
    server_cpu_s: float
    table_cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rounds:
    """Rounds of one kind. Rates are medians, because other programs disturb one round more than another."""

    rounds: Sequence[Round]

    @property
    def requests_per_s(self) -> float:
        return median(part.requests / part.elapsed_s for part in self.rounds)

    @property
    def samples_per_s(self) -> float:
        return median(part.samples / part.elapsed_s for part in self.rounds)

    @property
    def cpu_us_per_request(self) -> float:
        return median(part.server_cpu_s / part.requests * 1e6 for part in self.rounds)

    @property
    def cpu_us_per_sample(self) -> float:
        return median(part.server_cpu_s / part.samples * 1e6 for part in self.rounds)

    @property
    def table_cpu_us_per_request(self) -> float:
        return median(part.table_cpu_s / part.requests * 1e6 for part in self.rounds)


def open_loop_figures(tally: Tally, *, rate: float) -> dict[str, Any]:
    """What an open loop came to. Latency runs from the intended instant to the 202, retries included."""
    ordered_ms = sorted(latency_s * 1000 for latency_s in tally.latencies_s)
    return {
        "rate_rps": rate,
        "seconds": tally.elapsed_s,
        "acknowledged": tally.succeeded,
        "refused": len(tally.refused),
        "given_up": tally.unanswered,
        "answers": {str(status): count for status, count in sorted(tally.answered.items())},
        **{
            name: round(percentile(ordered_ms, share), 2) if ordered_ms else None
            for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p99_9_ms", 0.999), ("max_ms", 1))
        },
    }


def per_second(tally: Tally, share: float) -> Mapping[int, float]:
    """A percentile of the latency (ms) of the requests meant for each second."""
    seconds: dict[int, list[float]] = {}
    for sent_s, latency_s in zip(tally.sent_s, tally.latencies_s, strict=True):
        seconds.setdefault(int(sent_s), []).append(latency_s * 1000)
    return {second: percentile(sorted(values), share) for second, values in sorted(seconds.items())}
