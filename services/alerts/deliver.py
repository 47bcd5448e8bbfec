"""The loop over the outbox: claim a row, change the episode, publish, and only then let the row go."""

import asyncio
import random
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import ValidationError

from iops import items
from iops.bus import SEND_LIMIT, EventBus
from iops.clock import Clock, to_epoch_ms
from iops.contract import PARTITION_KEY
from iops.errors import BusUnavailable, Conflict, Unavailable
from iops.events import insight_to_entry
from iops.insight import Alert, Insight
from iops.items import Item
from iops.observability import Metrics
from iops.table import Table
from services.alerts.episode import alert_id_of, decide
from services.alerts.settings import AlertsSettings

log = structlog.get_logger()

ROWS_AT_ONCE: Final = 50
PAGES_AT_ONCE: Final = 20  # looked through for rows that can be read
LONGEST_PAUSE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class _Row:
    key: Item
    insight: Insight


class Outbox:
    """Delivers each insight at least once, whatever dies in between; safe with any number of replicas.

    A row is claimed for a lease. The episode is stored before the event is published, and remembers which insight
    opened it, so that a replica that takes the row over publishes again what was not confirmed, and nothing else.
    """

    def __init__(
        self, table: Table, bus: EventBus, settings: AlertsSettings, *, clock: Clock, owner: str, metrics: Metrics
    ) -> None:
        self._table = table
        self._bus = bus
        self._settings = settings
        self._clock = clock
        self._owner = owner
        self._unreadable: set[str] = set()
        self._handled = metrics.counter("iops_outbox_rows", "Outbox rows by what became of them", "outcome")
        self._age_s = metrics.histogram("iops_outbox_age_seconds", "Age of an insight when its row was let go")

    async def run(self) -> None:
        """Passes until it is cancelled; pauses longer while the table or the bus is away."""
        pause_s = self._settings.poll_s
        while True:
            try:
                is_settled = await self.deliver_once()
                pause_s = self._settings.poll_s if is_settled else min(2 * pause_s, LONGEST_PAUSE_S)
            except Unavailable as error:
                log.warning("outbox_waited", reason=error.detail)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception:  # a loop that dies would tell nobody anything any more
                log.exception("outbox_failed")
                pause_s = LONGEST_PAUSE_S
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - replicas drift apart

    async def deliver_once(self) -> bool:
        """One pass over the oldest rows; False where something of it has to be tried again."""
        started_at = self._clock()
        claimed = [row for row in await self._oldest_of_streams() if await self._claim(row)]
        to_publish: list[_Row] = []
        to_release: list[_Row] = []
        is_settled = True
        for row in claimed:
            try:
                (to_publish if await self._change_episode(row.insight) else to_release).append(row)
            except Conflict:
                is_settled = False  # somebody changed the alert since we read it: decide again in the next pass
        if (self._clock() - started_at).total_seconds() > self._settings.lease_s / 2:
            return False  # a table this slow may cost us the lease: another replica must not tell it as well
        accepted = await self._publish(to_publish)
        for row in (*to_release, *accepted):
            await self._table.delete(row.key)
            self._age_s.observe((self._clock() - row.insight.created_at).total_seconds())
        self._handled.labels("published").inc(len(accepted))
        self._handled.labels("merged").inc(len(to_release))
        return is_settled and len(accepted) == len(to_publish)

    async def _oldest_of_streams(self) -> list[_Row]:
        """The oldest row of each stream: a recovery waits until what it ends was dealt with.

        A row that cannot be read stays, for a person or a newer program, and holds up nobody: the next page is read.
        """
        oldest: dict[str, _Row] = {}
        start: Item | None = None
        for _ in range(PAGES_AT_ONCE):
            page, start = await self._table.query_page(
                items.list_query("outbox", limit=ROWS_AT_ONCE, start=start, oldest_first=True)
            )
            for item in page:
                insight = self._read(item)
                if insight is not None:
                    oldest.setdefault(
                        insight.stream_id, _Row(items.key_of(item[PARTITION_KEY]["S"], "outbox"), insight)
                    )
            if oldest or start is None:
                break
        return list(oldest.values())

    def _read(self, item: Item) -> Insight | None:
        key = item[PARTITION_KEY]["S"]
        try:
            return items.item_to_insight(item)
        except ValidationError:
            if key not in self._unreadable:  # said once, not twice a second
                self._handled.labels("unreadable").inc()
                log.exception("outbox_row_unreadable", key=key)
                self._unreadable.add(key)
            return None

    async def _claim(self, row: _Row) -> bool:
        """False where another replica has it."""
        now_ms = to_epoch_ms(self._clock())
        lease_ms = round(self._settings.lease_s * 1000)
        try:
            await self._table.update(items.claim_update(row.key, owner=self._owner, now_ms=now_ms, lease_ms=lease_ms))
        except Conflict:
            return False
        return True

    async def _change_episode(self, insight: Insight) -> bool:
        """Stores what the insight changes, and says whether it is to be published; raises Conflict."""
        decision = decide(insight, await self._alerts_of(insight))
        if decision.changed:
            await self._table.transact([{"Put": items.alert_put(alert)} for alert in decision.changed])
        for alert in decision.changed:
            log.info(
                "episode_changed",
                alert_id=alert.alert_id,
                state=alert.state,
                stream_id=alert.stream_id,
                risk_score=alert.risk_score,
            )
        return decision.is_published

    async def _alerts_of(self, insight: Insight) -> list[Alert]:
        """The stream's alerts: from the index, which may lag, and the one the insight is about as it truly is."""
        alert_id = alert_id_of(insight.stream_id, insight.prediction_type)
        current = await self._table.get(items.key_of(f"alert#{alert_id}", "alert"))
        listed = await self._table.query(items.alerts_of_stream_query(insight.stream_id))
        alerts = {alert.alert_id: alert for alert in map(items.item_to_alert, listed)}
        if current is not None:
            alerts[alert_id] = items.item_to_alert(current)
        return list(alerts.values())

    async def _publish(self, rows: list[_Row]) -> list[_Row]:
        """Those that the bus accepted, also where it went away half-way: nothing it took is to be told again."""
        accepted: list[_Row] = []
        for start in range(0, len(rows), SEND_LIMIT):
            part = rows[start : start + SEND_LIMIT]
            try:
                outcomes = await self._bus.put([self._entry(row.insight) for row in part])
            except BusUnavailable as error:
                log.warning("insights_waited", insights=len(rows) - start, reason=error.detail)
                break
            accepted += [row for row, is_accepted in zip(part, outcomes, strict=True) if is_accepted]
            for row, is_accepted in zip(part, outcomes, strict=True):
                log.info("insight_published" if is_accepted else "insight_refused", insight_id=row.insight.insight_id)
        return accepted

    def _entry(self, insight: Insight) -> Item:
        alert_id = alert_id_of(insight.stream_id, insight.prediction_type)
        return insight_to_entry(insight, alert_url=f"{self._settings.public_url}/alerts/{alert_id}")
