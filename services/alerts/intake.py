"""The loop over the outbox: each insight changes its alerts in one transaction, which also takes its row away."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from iops import items
from iops.alert import alert_id_of
from iops.clock import Clock, from_epoch_ms
from iops.contract import INSIGHT_RISK_SCORE, PAGE_RISK_SCORE, PARTITION_KEY, TIME_KEY
from iops.errors import Conflict, Unavailable
from iops.insight import Insight, PredictionType
from iops.items import Item
from iops.observability import Metrics
from iops.table import Table
from services.alerts import episode
from services.alerts.docket import WRITES_LIMIT, Docket
from services.alerts.silences import Silences

log = structlog.get_logger()

ROWS_AT_ONCE: Final = 200
ROWS_SAID: Final = 1_000  # rows remembered as bad, so that each is said once
PAGES_AT_ONCE: Final = 20  # looked through for rows that can be read
GROUPS_AT_ONCE: Final = 8  # transactions under way
TEMPLATE: Final = "template"  # who explains a recovery
TOGETHER: Final = 10  # insights of a peer group in one transaction: they meet in one page
LONGEST_PAUSE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class _Row:
    name: str  # its partition key
    insight: Insight

    @property
    def is_reworded(self) -> bool:
        """The insight was told before, with another risk."""
        return self.name.endswith(items.REWORDED_SUFFIX)


class Intake:
    """Takes each insight once, whatever dies in between and however many replicas there are: the row goes in the
    transaction that changes the alert, so of two that deal with it one writes nothing."""

    def __init__(
        self, table: Table, silences: Silences, clock: Clock, metrics: Metrics, *, targets: Sequence[str], poll_s: float
    ) -> None:
        self._table = table
        self._silences = silences
        self._clock = clock
        self._targets = targets
        self._poll_s = poll_s
        self._bad: set[str] = set()
        self._handled = metrics.counter("iops_outbox_rows", "Outbox rows by what became of them", "outcome")
        self._age_s = metrics.histogram("iops_outbox_age_seconds", "Age of an insight when its row was taken")
        self._clear_until = clock()  # no row that is older was left when the outbox was last read
        oldest = metrics.gauge("iops_outbox_oldest_seconds", "Age of the oldest row, or since none was seen")
        oldest.set_function(lambda: max(0.0, (clock() - self._clear_until).total_seconds()))

    async def run(self) -> None:
        """Passes until it is cancelled; pauses longer while the table is away."""
        pause_s = self._poll_s
        while True:
            try:
                is_settled = await self.take_once()
                pause_s = self._poll_s if is_settled else min(2 * pause_s, LONGEST_PAUSE_S)
            except Unavailable as error:
                log.warning("intake_waited", reason=error.detail)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception:  # a loop that dies would tell nobody anything any more
                log.exception("intake_failed")
                pause_s = LONGEST_PAUSE_S
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - replicas drift apart

    async def take_once(self) -> bool:
        """One pass over the oldest rows; False where something of it has to be tried again. Raises Unavailable."""
        await self._silences.refresh()
        groups: defaultdict[str, list[_Row]] = defaultdict(list)
        for row in await self._oldest():
            groups[row.insight.peer_group].append(row)
        slots = asyncio.Semaphore(GROUPS_AT_ONCE)

        async def take_group(rows: list[_Row]) -> bool | Unavailable:
            async with slots:
                try:
                    return await self._take_group(rows)
                except Unavailable as error:  # said when the other groups, which may have more luck, are through
                    return error

        outcomes = await asyncio.gather(*map(take_group, groups.values()))
        for outcome in outcomes:
            if isinstance(outcome, Unavailable):
                raise outcome
        return all(outcomes)

    async def _take_group(self, rows: list[_Row]) -> bool:
        """Stops at the first that has to be tried again: what a stream told later waits for what it told before."""
        batches = list(_batches(rows))
        for number, batch in enumerate(batches, start=1):
            if not await self._take_together(batch, later=len(batches) - number):
                return False
        return True

    async def _take_together(self, rows: list[_Row], *, later: int) -> bool:
        """False where somebody else changed one of the alerts since it was read: decided again in the next pass.

        `later` transactions of the peer group follow.
        """
        docket = Docket(self._table, self._targets, now=self._clock(), later=later)
        gone = [{"Delete": items.delete_present(items.key_of(row.name, "outbox"))} for row in rows]
        try:
            for row in rows:
                await self._take(docket, row)
            if len(rows) > 1 and len(docket.writes()) + len(gone) > WRITES_LIMIT:
                return await self._take_one_by_one(rows, later=later)
            await docket.commit(*gone)
        except Conflict:
            self._handled.labels("conflict").inc(len(rows))
            return False
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one that nobody can deal with must not keep all others from being told
            if len(rows) > 1:
                return await self._take_one_by_one(rows, later=later)
            self._leave(rows[0].name, "failed", error)
            return True
        for alert_id, why in docket.unreadable.items():
            self._leave(f"alert#{alert_id}", "unreadable", why)
        for change in docket.changes:
            log.info("episode_changed", **change.model_dump(mode="json", exclude_none=True))
        for row in rows:
            self._handled.labels("taken").inc()
            self._age_s.observe((docket.now - row.insight.created_at).total_seconds())
        return True

    async def _take_one_by_one(self, rows: list[_Row], *, later: int) -> bool:
        later += len(rows) - 1
        return all([await self._take_together([row], later=later - number) for number, row in enumerate(rows)])

    async def _take(self, docket: Docket, row: _Row) -> None:
        insight = row.insight
        if insight.risk_score < PAGE_RISK_SCORE:
            docket.tell_insight(insight.insight_id)
        if row.is_reworded and not await self._is_newest(insight):
            return  # what the stream told since then was dealt with, and nothing will take this back
        if insight.risk_score < INSIGHT_RISK_SCORE:
            await self._take_recovery(docket, insight)
            return
        assert insight.prediction_type is not None, "what is wrong has a type"
        before = await docket.alert(alert_id_of(insight.stream_id, insight.prediction_type))
        until = await self._silences.until_now(
            insight.stream_id, insight.peer_group, insight.prediction_type, now=docket.now
        )
        step = episode.take(insight, before, silenced_until=until, now=docket.now)
        if step is not None:
            has_company = any(each.risk_score >= PAGE_RISK_SCORE for each in insight.neighbours)
            await docket.take(step, has_company=has_company)

    async def _take_recovery(self, docket: Docket, insight: Insight) -> None:
        """Every alert of the stream by its name: the index lags, and has all insights of the stream beside them.

        A language model that thinks nothing of an insight ends what that insight told, and no more.
        """
        own = insight.prediction_type
        for prediction_type in PredictionType:
            is_others = insight.explained_by != TEMPLATE and prediction_type is not own
            # A host that speaks again says nothing of a disk of the same name.
            is_hosts = (prediction_type is PredictionType.AGENT_SILENT) != (own is PredictionType.AGENT_SILENT)
            if is_others or is_hosts:
                continue
            alert = await docket.readable_alert(alert_id_of(insight.stream_id, prediction_type))
            step = episode.take_recovery(insight, alert, now=docket.now) if alert is not None else None
            if step is not None:
                await docket.take(step)

    async def _is_newest(self, insight: Insight) -> bool:
        row = await self._table.get(items.key_of(insight.stream_id, "stream"))
        return row is None or items.item_to_stream(row).insight_id == insight.insight_id

    async def _oldest(self) -> list[_Row]:
        """The oldest rows, in order.

        A row that cannot be read stays, for a person or a newer program, and holds up nobody: the next page is read.
        """
        oldest: list[_Row] = []
        start: Item | None = None
        for number in range(PAGES_AT_ONCE):
            page, start = await self._table.query_page(
                items.list_query("outbox", limit=ROWS_AT_ONCE, start=start, oldest_first=True)
            )
            if number == 0:
                self._clear_until = from_epoch_ms(int(page[0][TIME_KEY]["N"])) if page else self._clock()
            for item in page:
                insight = self._read(item)
                if insight is not None:
                    oldest.append(_Row(item[PARTITION_KEY]["S"], insight))
            if start is None or any(row.name not in self._bad for row in oldest):
                break  # a page of rows that failed before holds up nobody either
        return _in_order(oldest)

    def _read(self, item: Item) -> Insight | None:
        try:
            return items.item_to_insight(item)
        except items.UNREADABLE as error:
            self._leave(item[PARTITION_KEY]["S"], "unreadable", error)
            return None

    def _leave(self, name: str, outcome: str, error: Exception) -> None:
        """Said once, not twice a second."""
        if name not in self._bad:
            self._handled.labels(outcome).inc()
            log.error("outbox_row_left", key=name, outcome=outcome, exc_info=error)
            self._bad = {name} if len(self._bad) >= ROWS_SAID else self._bad | {name}


def _in_order(rows: Sequence[_Row]) -> list[_Row]:
    """The rows of one stream in the order in which it told them, whatever the clocks of those who wrote them say."""
    of_streams: defaultdict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        of_streams[row.insight.stream_id].append(row)
    told = {stream: iter(sorted(own, key=lambda row: row.insight.sequence)) for stream, own in of_streams.items()}
    return [next(told[row.insight.stream_id]) for row in rows]


def _batches(rows: list[_Row]) -> Iterator[list[_Row]]:
    """Up to 10 in a row, no stream twice: one transaction takes an alert one version on."""
    batch: dict[str, _Row] = {}
    for row in rows:
        if len(batch) == TOGETHER or row.insight.stream_id in batch:
            yield list(batch.values())
            batch = {}
        batch[row.insight.stream_id] = row
    yield list(batch.values())
