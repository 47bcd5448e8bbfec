"""The alerts service in memory: one table, one target, a clock, and any number of replicas of its loops."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from iops import items
from iops.alert import Alert, Change, EventKind, Page
from iops.errors import BusUnavailable
from iops.insight import Insight
from iops.observability import Metrics
from iops.table import Table
from services.alerts.deliver import Courier, CourierMetrics
from services.alerts.docket import Docket
from services.alerts.episode import Step
from services.alerts.intake import Intake
from services.alerts.notice import Notice
from services.alerts.silences import Silences
from services.alerts.timers import Timers
from tests.unit.builders import AT, an_insight
from tests.unit.fakes import FakeTable


class TargetDouble:
    """A target that keeps what it accepted."""

    name = "bus"
    limit = 10

    def __init__(self) -> None:
        self.accepted: list[Notice] = []
        self.is_away = False

    async def send(self, notices: Sequence[Notice]) -> list[bool]:
        if self.is_away:
            raise BusUnavailable("the bus is away")
        self.accepted += notices
        return [True] * len(notices)

    def words(self, notice: Notice) -> tuple[str, ...]:
        return ()

    def told(self) -> list[tuple[EventKind, str | None]]:
        """What people heard, in order: not of insights."""
        events = [notice.event for notice in self.accepted]
        return [(event.kind, event.page_id) for event in events if event.kind is not EventKind.INSIGHT]


class Replica:
    """One process's loops; `table` is its own client."""

    def __init__(self, table: Table, target: Any, scene: Scene, owner: str) -> None:
        metrics = self.metrics = Metrics()
        self.silences = Silences(table, scene.clock)
        self.intake = Intake(table, self.silences, scene.clock, metrics, targets=["bus"], poll_s=0.5)
        self.timers = Timers(table, self.silences, scene.clock, metrics, targets=["bus"])
        self.courier = Courier(
            table,
            target,
            scene.clock,
            CourierMetrics(metrics),
            owner=owner,
            poll_s=0.5,
            lease_s=30,
            public_url="http://here",
        )


class Scene:
    """What all replicas share."""

    def __init__(self) -> None:
        self.fake, self.target, self.now = FakeTable(), TargetDouble(), AT
        self.replica = self.a_replica()
        self._count = 0

    def clock(self) -> datetime:
        return self.now

    def a_replica(self, owner: str = "one") -> Replica:
        return Replica(self.fake.table(), self.target, self, owner)

    def emit(self, stream_id: str = "web-1:sda", risk_score: float = 90.0, **fields: Any) -> Insight:
        """The scorer writes an insight with its outbox row."""
        self._count += 1
        usual = {"insight_id": f"{self._count:06}", "created_at": self.now, "sequence": self._count}
        insight = an_insight(stream_id, risk_score=risk_score, **usual | fields)
        self.fake.add(items.insight_item(insight), items.outbox_item(insight))
        return insight

    async def settle(self, **passes: float) -> None:
        """Some time passes (`minutes=11`), and everything that is due is done."""
        self.now += timedelta(**passes)
        for _ in range(3):
            await self.replica.intake.take_once()
            await self.replica.timers.ring_once()
            await self.replica.courier.deliver_once()
            self.now += timedelta(seconds=2)

    async def do(self, step: Step | None) -> None:
        """A person's deed, as the routes do it."""
        assert step is not None
        docket = Docket(self.fake.table(), ["bus"], now=self.now)
        assert await docket.alert(step.alert.alert_id) is not None
        await docket.take(step)
        await docket.commit()

    def alerts(self) -> list[Alert]:
        return [items.item_to_alert(row) for row in self.fake.of_type("alert")]

    def pages(self) -> list[Page]:
        return [items.item_to_page(row) for row in self.fake.of_type("page")]

    def changes(self) -> list[Change]:
        return [items.item_to_change(row) for row in self.fake.of_type("change")]

    def left(self) -> list[str]:
        """Rows of work that is not done."""
        return [row["entity_id"]["S"] for kind in ("outbox", "delivery", "due") for row in self.fake.of_type(kind)]
