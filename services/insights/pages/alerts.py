"""The pages of alerts: what fires and who is at it, what is silenced, what is over; and one alert with its story."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Cookie, Path, Query, Request
from fastapi.responses import HTMLResponse

from iops import items
from iops.alert import Alert, AlertState, Silence
from iops.auth import Caller
from iops.clock import from_epoch_ms
from iops.errors import IopsError
from iops.insight import PredictionType
from iops.story import LOOK_READS, Look, find_alerts, read_alert, read_history, read_mails, read_page
from iops.table import Table, readable
from services.insights.chart import TheCharts
from services.insights.fleet import Fleet
from services.insights.fleet_routes import TheWatch
from services.insights.pages.alert_groups import Group, group_alerts
from services.insights.pages.plot import PLOTS, pictures
from services.insights.pages.render import error_page, instant, render
from services.insights.pages.timeline import timeline
from services.insights.pages.window import read_chart
from services.insights.routes import Service
from services.insights.session.desk import PageViewer
from services.insights.system import TheBureau

router = APIRouter(include_in_schema=False)

OVER_SHOWN: Final = 10  # below what is open
OVER_LISTED: Final = 50  # of a page of them
SILENCES_SHOWN: Final = 200
GROUPS_SHOWN: Final = 50  # cards of a page, 160 KB; more of them have a cause, which the filter finds
ACTED_READ: Final = 50  # alerts that somebody has just acted on, at half a kilobyte each
SHOWN: Final = tuple(plot for plot in PLOTS if plot.name in ("latency", "iops"))  # how slow, and how much was asked
BEFORE, AFTER = timedelta(minutes=30), timedelta(minutes=5)  # of an alert: how it came, and that it is over

Name = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts somebody wants to see; None and empty mean any."""

    state: AlertState | None
    peer_group: str
    text: str

    def fits(self, alert: Alert) -> bool:
        """Whether it is one of them."""
        is_there = self.state in (None, alert.state) and self.peer_group in ("", alert.peer_group)
        return is_there and alert.is_about(self.text)


@router.get("/ui/alerts")
async def show_alerts(
    request: Request,
    service: Service,
    watch: TheWatch,
    bureau: TheBureau,
    caller: PageViewer,
    state: str = "",
    peer_group: Name = "",
    text: Name = "",
    cursor: Annotated[str | None, Query(max_length=2_000)] = None,
    iops_acted: Annotated[str, Cookie()] = "",
) -> HTMLResponse:
    """What needs somebody first. A form sends its empty fields too: they are none. `iops_acted` has the names of what
    the script has just acted on (deeds.js)."""
    wanted = Wanted(AlertState(state) if state in list(AlertState) else None, peer_group, text)
    is_history = wanted.state is AlertState.RESOLVED
    try:
        age_s = watch.age_s()
        system = await bureau.read(caller)
        own, over, (silences, more_silences) = await asyncio.gather(
            _read_open(service.table, watch.fleet, caller, acted=iops_acted.split(".")),
            _read_over(service.table, caller, wanted, cursor=cursor, is_history=is_history),
            _read_silences(service.table, caller, now=service.clock()),
        )
    except IopsError as error:
        return error_page(request, error)
    asked = {"state": state, "peer_group": peer_group, "text": text}
    filters = {name: value for name, value in asked.items() if value}
    groups = group_alerts(filter(wanted.fits, own))
    return render(
        request,
        "alerts.html",
        groups=[] if cursor else groups[:GROUPS_SHOWN],
        groups_total=len(groups),
        counts={each: sum(alert.state is each for alert in own) for each in AlertState},
        over=over,
        is_history=is_history or cursor is not None,
        older_url=_older(filters, over.cursor),
        silences=silences,
        more_silences=more_silences,
        system=system,
        wanted=wanted,
        is_filtered=bool(filters),
        is_search=bool(text or peer_group),
        states=list(AlertState),
        peer_groups=sorted({alert.peer_group for alert in own}),
        kinds=list(PredictionType),
        age_s=age_s,
        now=service.clock(),
    )


@router.get("/ui/alerts/{alert_id}")
async def show_alert(
    request: Request,
    service: Service,
    charts: TheCharts,
    caller: PageViewer,
    alert_id: Annotated[str, Path(max_length=64)],
) -> HTMLResponse:
    """One alert: what to do, what the disk did, why, who was told what, and all that happened."""
    table = service.table
    try:
        alert = await read_alert(table, alert_id, caller)
        newest = alert.page_id or next(reversed(alert.page_ids), None)
        history, mails = await asyncio.gather(read_history(table, alert_id), read_mails(table, alert))
        page = await read_page(table, newest) if newest else None
        span = {"from_at": alert.opened_at - BEFORE, "to_at": (alert.resolved_at or service.clock()) + AFTER}
        chart = await read_chart(charts, alert.stream_id, caller, **span)
    except IopsError as error:
        return error_page(request, error)
    return render(
        request,
        "alert.html",
        alert=alert,
        group=Group(alert.alert_id, [alert]),
        mails=mails,
        chart=chart,
        pictures=pictures(chart, SHOWN) if chart else [],
        at=lambda epoch_s: instant(from_epoch_ms(1_000 * epoch_s)),
        page=page,
        lines=timeline(history, mails),
        changes_shown=len(history),
        now=service.clock(),
    )


async def _read_open(table: Table, fleet: Fleet, caller: Caller, *, acted: Sequence[str]) -> list[Alert]:
    """Those that have not ended, up to two seconds ago; `acted` as the table has them now: who did it looks for it."""
    known = {name: alert for name, alert in fleet.alerts.items() if caller.may_see(alert.stream_id)}
    names = [name for name in acted[:ACTED_READ] if name in known]
    rows = await asyncio.gather(*(table.get(items.key_of(f"alert#{name}", "alert")) for name in names))
    newest = {alert.alert_id: alert for alert in readable(filter(None, rows), items.item_to_alert)}
    return [alert for alert in (known | newest).values() if alert.is_active]


async def _read_over(table: Table, caller: Caller, wanted: Wanted, *, cursor: str | None, is_history: bool) -> Look:
    """Alerts that have ended. A page that renews itself looks less far back: it does so at each change."""
    if wanted.state not in (None, AlertState.RESOLVED):
        return Look([], None)
    limit = OVER_LISTED if is_history else OVER_SHOWN
    if wanted.text or wanted.peer_group:
        over, reads = replace(wanted, state=AlertState.RESOLVED), LOOK_READS if is_history else 1
        return await find_alerts(table, caller, over.fits, limit=limit, cursor=cursor, reads=reads)
    where = "#state = :state", {":state": {"S": str(AlertState.RESOLVED)}}
    rows, older = await table.list_page("alert", caller=caller, limit=limit, cursor=cursor, where=where)
    return Look(readable(rows, items.item_to_alert), older)


async def _read_silences(table: Table, caller: Caller, *, now: datetime) -> tuple[list[Silence], bool]:
    """Those that have not ended, the last to end first; and whether there may be more."""
    rows, cursor = await table.list_page("silence", caller=caller, limit=SILENCES_SHOWN, cursor=None)
    silences = readable(rows, items.item_to_silence)
    running = [silence for silence in silences if silence.ends_at > now]
    return running, cursor is not None and len(running) == len(silences)


def _older(filters: dict[str, str], cursor: str | None) -> str | None:
    if cursor is None:
        return None
    return "/ui/alerts?" + urlencode({**filters, "state": AlertState.RESOLVED, "cursor": cursor})
