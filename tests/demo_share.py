"""Of how many findings of a demonstration a language model would be asked: `python -m tests.demo_share 7 1` prints it.

The demo's fleet, plan and batches go through the scorer of the service; table and clock are fakes.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from cli.demo import DISKS_PER_HOST, HISTORY, QUIET_S, SPREAD_S, DemoOptions
from cli.live import LiveFleet
from iops import items
from iops.bus import ScoringRequest
from iops.clock import Clock, to_epoch_ms
from iops.observability import Metrics
from iops.telemetry import Batch, window_from_samples
from ml.plan import Plan, plan_events
from ml.simulate import Fleet, Stream, samples
from services.ingest.notify import INTERVAL_S
from services.insights.score import Scorer
from services.insights.tell import Teller
from services.insights.windows import Windows
from tests.scored_host import HISTORY_S, shipped_judge
from tests.unit.fakes import FakeTable
from tests.unit.words import a_teller

START_AT: Final = datetime(2026, 11, 23, 14, 20, tzinfo=UTC)
USUAL: Final = DemoOptions(url="")


@dataclass
class _Replica:
    """Ingest's rows and messages, and the scorer that reads them."""

    clock: Clock
    fake: FakeTable = field(default_factory=FakeTable)
    due: dict[str, int] = field(default_factory=dict)  # by group, the earliest sample it was not told of
    told_at: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        metrics, table = Metrics(), self.fake.table()
        self.teller: Teller = a_teller(table, self.clock, metrics)
        windows = Windows(table, self.clock, metrics, limit=1_000)
        self.scorer = Scorer(table, windows, self.teller, self.clock, metrics, shipped_judge(metrics))

    async def store(self, batch: Batch) -> None:
        window = window_from_samples(batch.samples)
        key = items.key_of(batch.stream_id, "stream")
        if await self.fake.table().get(key) is None:
            seen = items.stream_seen_update(batch, now_ms=to_epoch_ms(self.clock()))
            await self.fake.table().update(seen)
            self.fake.add(items.member_item(batch.group, batch.stream_id))
        self.fake.add(*items.chunk_items(batch.stream_id, window))
        self.due[batch.group] = min(self.due.get(batch.group, window.at_ms[0]), window.at_ms[0])

    async def score(self, *, is_end: bool = False) -> None:
        """The groups whose message is due; at the end all that have new samples."""
        now = self.clock()
        never = now - timedelta(days=1)
        for group in list(self.due):
            if is_end or now - self.told_at.get(group, never) >= timedelta(seconds=INTERVAL_S):
                self.told_at[group] = now
                await self.scorer.score_group(ScoringRequest(peer_group=group, since_ms=self.due.pop(group)))


async def demonstrate(seed: int, *, watch: Callable[[Teller, Plan], None] | None = None) -> Teller:
    """Sixty streams, ten faults, three minutes; the teller has counted. `watch` sees it before anything is live."""
    now = START_AT
    streams = Fleet(seed=seed, hosts=USUAL.streams // DISKS_PER_HOST, disks_per_host=DISKS_PER_HOST).streams
    replica = _Replica(lambda: now)
    for stream in streams:
        await replica.store(_past(stream))
    await replica.score()
    begins_at = START_AT + timedelta(seconds=QUIET_S)
    plan = plan_events(streams, seed=seed, faults=USUAL.faults, begins_at=begins_at, spread_s=SPREAD_S)
    if watch is not None:
        watch(replica.teller, plan)
    end_at = START_AT + timedelta(seconds=USUAL.duration_s)
    live = LiveFleet(streams, plan, start_at=START_AT, end_at=end_at)
    while live.next_at < end_at:
        now = live.next_at
        await _take(replica, live.advance(now))
    await _take(replica, live.rest(), is_end=True)
    return replica.teller


async def _take(replica: _Replica, batches: Iterable[Batch], *, is_end: bool = False) -> None:
    for batch in batches:
        await replica.store(batch)
    await replica.score(is_end=is_end)


def _past(stream: Stream) -> Batch:
    """A day of coarse samples, longer than any door takes at once."""
    past = samples(stream, start_at=START_AT - HISTORY, end_at=START_AT, interval_s=HISTORY_S)
    return Batch.model_construct(
        stream_id=stream.stream_id,
        peer_group=stream.peer_group,
        labels=stream.labels,
        provisioned_iops=stream.provisioned_iops,
        samples=tuple(past),
    )


def line_of(seed: int, teller: Teller) -> str:
    """For a person."""
    share = teller.findings_for_a_model / max(1, teller.findings_ill)
    return f"seed {seed}: {share:.1%} of {teller.findings_ill} findings at risk 60 or more are for a language model"


def main() -> None:
    """One line for each seed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for seed in map(int, sys.argv[1:] or [str(USUAL.seed)]):
        print(line_of(seed, asyncio.run(demonstrate(seed))))  # noqa: T201


if __name__ == "__main__":
    main()
