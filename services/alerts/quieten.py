"""Carries a silence to the alerts that are active already, and takes it from them when it is ended early."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from iops import items
from iops.alert import Alert, AlertState, Silence, SilenceScope
from iops.clock import to_epoch_ms
from iops.errors import Conflict, NotFound, Unavailable
from iops.table import readable
from services.alerts import episode
from services.alerts.acts import Decide, act
from services.alerts.episode import Step
from services.alerts.routes import Alerts, alerts_of_stream
from services.alerts.silences import read_silence, silenced_until

log = structlog.get_logger()

ALERTS_LIMIT: Final = 1_000  # changed for one request
PAGE_ROWS: Final = 500  # about 1 MB
AT_ONCE: Final = 8  # transactions under way
DEADLINE_S: Final = 8.0  # for all of them: who asked gives up after 15 s


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the alerts."""

    changed: int
    missed: int


async def read_loud(service: Alerts, silence: Silence) -> list[Alert]:
    """The alerts that it will silence, if it begins now. What is acknowledged reminds nobody, and stays."""
    if silence.begins_at > service.clock():
        return []
    return await _matching(service, silence, AlertState.FIRING, AlertState.SILENCED)


async def quieten(service: Alerts, silence: Silence, alerts: Sequence[Alert]) -> Outcome:
    """Silences them until it ends."""

    def decide(alert: Alert, now: datetime) -> Step | None:
        if alert.state not in (AlertState.FIRING, AlertState.SILENCED):
            return None
        until, by, reason = silence.ends_at, silence.created_by, silence.reason
        return episode.silence(alert, until=until, by=by, reason=reason, now=now)

    return await _change_all(service, alerts, decide)


async def read_quiet(service: Alerts, silence: Silence) -> list[Alert]:
    """The alerts that it still silences, though somebody ended it."""
    if silence.was_to_end_at is None:
        return []
    alerts = await _matching(service, silence, AlertState.SILENCED)
    return [alert for alert in alerts if alert.silenced_until == silence.was_to_end_at]


async def wake(service: Alerts, silence: Silence, alerts: Sequence[Alert], *, by: str) -> Outcome:
    """Lets them fire again, unless another silence matches them: then that one's end holds."""
    if not alerts:
        return Outcome(0, 0)
    request = items.silences_query(now_ms=to_epoch_ms(service.clock()))
    listed = [each for row in await service.table.query(request) if (each := read_silence(row)) is not None]
    others = [each for each in listed if each.silence_id != silence.silence_id]  # the index may lag

    def decide(alert: Alert, now: datetime) -> Step | None:
        if alert.silenced_until != silence.was_to_end_at:
            return None  # somebody silenced this one by itself, or something longer does
        until = silenced_until(others, alert.stream_id, alert.peer_group, alert.prediction_type, now=now)
        return episode.unsilence(alert, until=until, by=by, reason="the silence was ended", now=now)

    return await _change_all(service, alerts, decide)


async def _matching(service: Alerts, silence: Silence, *states: AlertState) -> list[Alert]:
    """Alerts in these states that it is about; some more than can be changed at most."""
    if silence.scope is SilenceScope.STREAM:
        return [alert for alert in await alerts_of_stream(service.table, silence.value) if alert.state in states]
    values = {f":{state}": {"S": str(state)} for state in states}
    condition = " OR ".join(f"#state = {name}" for name in values)
    found: list[Alert] = []
    async for page in service.table.pages(
        items.only_where(items.list_query("alert", limit=PAGE_ROWS), condition, values)
    ):
        alerts = readable(page, items.item_to_alert)
        found += [each for each in alerts if silence.matches(each.stream_id, each.peer_group, each.prediction_type)]
        if len(found) > ALERTS_LIMIT:
            break
    return found


async def _change_all(service: Alerts, alerts: Sequence[Alert], decide: Decide) -> Outcome:
    """Each in a transaction of its own: one that fails, or comes too late, is counted and keeps none of the others.

    Alerts of one page follow each other, because each changes the page.
    """
    slots = asyncio.Semaphore(AT_ONCE)
    changed = settled = 0

    async def change(alert: Alert) -> None:
        nonlocal changed, settled
        try:
            after = await act(service, alert.alert_id, decide)
        except (Conflict, NotFound, Unavailable) as error:
            log.warning("alert_missed", alert_id=alert.alert_id, reason=error.detail)
            return
        settled += 1
        changed += after.version > alert.version

    async def change_together(together: list[Alert]) -> None:
        async with slots:
            for alert in together:
                await change(alert)

    with suppress(TimeoutError):  # what is left is counted as missed
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            for together in _by_page(alerts[:ALERTS_LIMIT]):
                group.create_task(change_together(together))
    return Outcome(changed, len(alerts) - settled)


def _by_page(alerts: Sequence[Alert]) -> list[list[Alert]]:
    pages: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        pages[alert.page_id or alert.alert_id].append(alert)
    return list(pages.values())
