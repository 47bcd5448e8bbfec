"""The loop over timers: what time alone changes about alerts and pages."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from iops import items
from iops.alert import Page
from iops.clock import Clock, from_epoch_ms, to_epoch_ms
from iops.contract import PARTITION_KEY
from iops.errors import Conflict, Unavailable
from iops.insight import PredictionType
from iops.items import Item
from iops.observability import Metrics
from iops.table import Table
from services.alerts import episode, pages
from services.alerts.docket import Docket
from services.alerts.silences import Silences

log = structlog.get_logger()

ROWS_AT_ONCE: Final = 50
PAGES_AT_ONCE: Final = 20  # of rows; with the rest the next look begins
FAILURES_LIMIT: Final = 5  # of one look, then the table rests: it is away, not one row too big for it
POLL_S: Final = 2.0  # between two looks: half a read unit each
GONE: Final = timedelta(hours=25)  # since the hour of its last samples began
GONE_AT_ONCE: Final = 20  # alerts of a page, looked at when people would be reminded
LONGEST_PAUSE_S: Final = 30.0


class Timers:
    """Safe with any number of replicas: what is stored holds only for the version it was decided on."""

    def __init__(
        self, table: Table, silences: Silences, clock: Clock, metrics: Metrics, *, targets: Sequence[str]
    ) -> None:
        self._table = table
        self._silences = silences
        self._clock = clock
        self._targets = targets
        self._failed: set[str] = set()  # entities whose timer was said to fail
        self._rung = metrics.counter("iops_alert_timers", "Timers that rang, by what became of them", "outcome")

    async def run(self) -> None:
        """Passes until it is cancelled."""
        pause_s = POLL_S
        while True:
            try:
                await self.ring_once()
                pause_s = POLL_S
            except Unavailable as error:
                log.warning("timers_waited", reason=error.detail)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception:  # a loop that dies would resolve nothing any more
                log.exception("timers_failed")
                pause_s = LONGEST_PAUSE_S
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - replicas drift apart

    async def ring_once(self) -> None:
        """Every timer whose time has come, once. Raises Unavailable."""
        failures: list[Unavailable] = []
        for row in await self._overdue():
            try:
                outcome = await self._ring(row[PARTITION_KEY]["S"])
            except Conflict:
                outcome = "conflict"  # somebody changed it first, and set its timer anew
            except Unavailable as error:
                outcome = "unavailable"
                failures.append(error)
            except Exception as error:  # noqa: BLE001 - one that cannot be read must not keep all others from ringing
                outcome = "failed"
                self._say_failed(row[PARTITION_KEY]["S"], error)
            self._rung.labels(outcome).inc()
            if len(failures) >= FAILURES_LIMIT:
                break
        if failures:
            raise failures[0]

    async def _overdue(self) -> list[Item]:
        request = items.overdue_query("due", now_ms=to_epoch_ms(self._clock()), limit=ROWS_AT_ONCE)
        rows, start = await self._table.query_page(request)
        for _ in range(PAGES_AT_ONCE - 1):
            if start is None:
                break
            page, start = await self._table.query_page(request | {"ExclusiveStartKey": start})
            rows += page
        return rows

    def _say_failed(self, key: str, error: Exception) -> None:
        """Once, not every two seconds."""
        if key not in self._failed:
            self._failed.add(key)
            log.error("timer_failed", key=key, exc_info=error)

    async def _ring(self, entity_id: str) -> str:
        kind, _, name = entity_id.partition("#")
        docket = Docket(self._table, self._targets, now=self._clock())
        await (self._ring_alert(docket, name) if kind == "alert" else self._ring_page(docket, name))
        if docket.is_empty:
            await self._set_anew(docket, entity_id, kind, name)
            return "early"
        await docket.commit()
        for change in docket.changes:
            log.info("episode_changed", **change.model_dump(mode="json", exclude_none=True))
        return "changed"

    async def _ring_alert(self, docket: Docket, alert_id: str) -> None:
        alert = await docket.alert(alert_id)
        if alert is None:
            return
        await self._silences.refresh()
        until = await self._silences.until_now(alert.stream_id, alert.peer_group, alert.prediction_type, now=docket.now)
        step = episode.pass_time(alert, silenced_until=until, now=docket.now)
        if step is not None:
            await docket.take(step)

    async def _ring_page(self, docket: Docket, page_id: str) -> None:
        page = await docket.page(page_id)
        if page is not None and pages.pass_time(page, now=docket.now) is not None:
            await self._end_of_gone_disks(docket, page)
            page = await docket.page(page_id)
        told = pages.pass_time(page, now=docket.now) if page is not None else None
        if told is not None:
            await docket.take_page(told)

    async def _end_of_gone_disks(self, docket: Docket, page: Page) -> None:
        """Before people are reminded: a disk that was replaced sends nothing more, and its alert would never end."""
        for alert_id in page.open_alerts[:GONE_AT_ONCE]:
            alert = await docket.alert(alert_id)
            if alert is None or not alert.is_active or alert.prediction_type is PredictionType.AGENT_SILENT:
                continue
            rows, _ = await self._table.query_page(items.newest_chunk_query(alert.stream_id))
            heard_at = from_epoch_ms(items.chunk_hour_ms(rows[0])) if rows else alert.opened_at
            if docket.now - heard_at > GONE:
                step = episode.resolve(alert, by="time", reason="nothing was received of it for a day", now=docket.now)
                if step is not None:
                    await docket.take(step)

    async def _set_anew(self, docket: Docket, entity_id: str, kind: str, name: str) -> None:
        """A timer that nothing belongs to, or that rings before its time, is put right; raises Conflict where what it
        belongs to is changing."""
        if kind == "alert":
            alert = await docket.alert(name)
            due, version = (episode.due_at(alert), alert.version) if alert else (None, None)
        else:
            page = await docket.page(name)
            due, version = (pages.due_at(page), page.version) if page else (None, None)
        timer: Item = (
            {"Delete": {"Key": items.due_key(entity_id)}}
            if due is None
            else {"Put": {"Item": items.due_item(entity_id, due)}}
        )
        await self._table.transact([timer, {"ConditionCheck": items.version_check(entity_id, kind, version)}])
