"""The services themselves over a table in memory: what fired in life, which a replay has to find again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from iops import items
from iops.alert import Alert
from iops.bus import ScoringRequest
from iops.clock import to_epoch_ms
from iops.observability import Metrics
from iops.telemetry import Batch, Sample, Window, row_to_dict
from ml.simulate import Stream
from services.alerts.intake import Intake
from services.alerts.silences import Silences
from services.alerts.timers import Timers
from services.insights.score import Scorer
from services.insights.windows import Windows
from tests.scored_host import shipped_judge
from tests.unit.fakes import FakeTable
from tests.unit.words import a_teller


class Life:
    """One peer group: samples arrive, are scored at once, and what is found changes alerts at once."""

    def __init__(self, streams: tuple[Stream, ...], *, at: datetime) -> None:
        self.fake, self.at, metrics = FakeTable(), at, Metrics()
        self._streams = streams
        table = self.fake.table()
        windows = Windows(table, self._now, metrics, limit=100)
        teller = a_teller(table, self._now, metrics)
        self._scorer = Scorer(table, windows, teller, self._now, metrics, shipped_judge(metrics))
        silences = Silences(table, self._now)
        self._intake = Intake(table, silences, self._now, metrics, targets=["bus"], poll_s=1.0)
        self._timers = Timers(table, silences, self._now, metrics, targets=["bus"])

    def _now(self) -> datetime:
        return self.at

    async def remember(self, past: Mapping[str, Window]) -> None:
        """What was stored before."""
        for stream in self._streams:
            window = past[stream.stream_id]
            sample = Sample.model_validate(row_to_dict(window, -1), strict=False)
            batch = Batch(
                stream_id=stream.stream_id,
                peer_group=stream.peer_group,
                labels=stream.labels,
                provisioned_iops=stream.provisioned_iops,
                samples=(sample,),
            )
            await self.fake.table().update(items.stream_seen_update(batch, now_ms=to_epoch_ms(self.at)))
            self.fake.add(items.member_item(batch.group, stream.stream_id))
            self.fake.add(*items.chunk_items(stream.stream_id, window))

    async def live(self, coming: Mapping[str, Window], *, to_at: datetime, every: timedelta) -> None:
        """Scores every so often, and lets timers ring."""
        group = self._streams[0].peer_group
        while self.at + every <= to_at:
            since_ms = to_epoch_ms(self.at) + 1
            self.at += every
            for stream_id, window in coming.items():
                new = window.since(since_ms).until(to_epoch_ms(self.at) + 1)
                if len(new):
                    self.fake.add(*items.chunk_items(stream_id, new))
            await self._timers.ring_once()
            await self._scorer.score_group(ScoringRequest(peer_group=group, since_ms=since_ms))
            while self.fake.of_type("outbox"):
                await self._intake.take_once()

    def alerts(self) -> list[Alert]:
        """The newest episode of each stream and type."""
        return [items.item_to_alert(row) for row in self.fake.of_type("alert")]
