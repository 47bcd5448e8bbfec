"""More than a slow table can take: whether ingest sends back what it cannot hold, at once, and takes it when it can."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from bench import processes
from bench.bodies import DAY_MS, STEP_MS, requests
from bench.figures import percentile
from bench.load import Client, Tally
from local.supervisor import Supervisor
from ml.simulate import Stream

RATE_RPS: Final = 100.0  # twice what the table below takes
BODY_SAMPLES: Final = 500
TABLE_LATENCY_MS: Final = 500  # of a batch of 25 rows, and one writer: 50 requests/s
WAITING_SAMPLES_LIMIT: Final = 60_000  # 120 requests, 2.4 s of such a table
# More requests on their way than the queue may hold, or the sender would wait and the queue could never be full.
CONNECTIONS: Final = 400
FIRST_SIGHT_LIMIT_S: Final = 60.0
SETTINGS: Final = {"IOPS_WAITING_SAMPLES_LIMIT": str(WAITING_SAMPLES_LIMIT), "IOPS_STORE_WRITERS": "1"}


class Overload:
    """An ingest with a small queue on a slow table."""

    def __init__(self, supervisor: Supervisor) -> None:
        table_port, self._ingest_port = processes.free_port(), processes.free_port()
        supervisor.start(processes.table_double(table_port, "--latency-ms", str(TABLE_LATENCY_MS)))
        supervisor.start(processes.ingest(self._ingest_port, table_port, SETTINGS))

    async def run(self, streams: Sequence[Stream], *, duration_s: float) -> Tally:
        """Twice what the table takes for `duration_s`, then patience until all of it is in."""
        now_ms = int(time.time() * 1000)
        # At first sight a stream costs two more writes, which would be measured instead.
        first = requests(streams, count=1, begin_ms=now_ms - DAY_MS, step_ms=STEP_MS)
        bodies = requests(streams, count=BODY_SAMPLES, begin_ms=now_ms - 6 * DAY_MS, step_ms=STEP_MS)
        async with Client(self._ingest_port, connections=CONNECTIONS) as client:
            await client.closed_loop(islice(first, len(streams)), duration_s=FIRST_SIGHT_LIMIT_S)
            return await client.open_loop(bodies, rate=RATE_RPS, duration_s=duration_s)


def overload_figures(tally: Tally) -> dict[str, Any]:
    """How long a 503 took, and a 202 counted from the attempt that got it."""
    return {
        "rate_rps": RATE_RPS,
        "samples_a_request": BODY_SAMPLES,
        "waiting_samples_limit": WAITING_SAMPLES_LIMIT,
        "seconds": tally.elapsed_s,
        "answers": {str(status): count for status, count in sorted(tally.answered.items())},
        "acknowledged": tally.succeeded,
        "refused": len(tally.refused),
        "given_up": tally.unanswered,
        "sent_back_ms": _percentiles_ms(tally.sent_back_s),
        "taken_ms": _percentiles_ms(tally.last_tries_s),
        "with_retries_ms": _percentiles_ms(tally.latencies_s),
    }


def _percentiles_ms(seconds: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(seconds)
    shares = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    return {name: round(percentile(ordered, share) * 1000, 1) if ordered else None for name, share in shares}
