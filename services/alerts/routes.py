"""What alerts answers: what people were told of, how it stands, and how it came to that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field

from iops import items
from iops.alert import Alert, AlertState, Change, alert_id_of
from iops.clock import Clock
from iops.errors import NotFound
from iops.gate import Viewer
from iops.insight import PredictionType
from iops.items import Where
from iops.problems import error_responses
from iops.story import (
    HISTORY_LIMIT,
    MailView,
    PageView,
    find_alerts,
    read_alert,
    read_history,
    read_mails,
    read_page,
)
from iops.table import Table, readable

router = APIRouter(tags=["alerts"])


@dataclass(frozen=True, slots=True)
class Alerts:
    """What the routes work with; the lifespan makes it."""

    table: Table
    clock: Clock
    targets: Sequence[str]  # who is told of what people do


async def _alerts(request: Request) -> Alerts:
    alerts: Alerts = request.app.state.alerts
    return alerts


Service = Annotated[Alerts, Depends(_alerts)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=2_000, description="the `cursor` of the page before")]
AlertId = Annotated[str, Path(max_length=64)]
Name = Annotated[str | None, Query(min_length=1, max_length=200)]


class AlertPage(BaseModel):
    """Alerts, those that changed last first."""

    items: list[Alert]
    cursor: str | None
    searched_to_at: datetime | None = Field(
        default=None, description="with `text`: how far back this page looked; null: to the oldest, or without `text`"
    )


class AlertView(Alert):
    """An alert, how it came to be what it is, and what people were told of it."""

    history: tuple[Change, ...] = Field(description=f"the newest {HISTORY_LIMIT} changes, newest first")
    changes_total: int = Field(description="how often it changed; what is older than 90 days is not kept")
    page: PageView | None = Field(description="the page that tells of it; null where nobody is told, or it is over")


class MailList(BaseModel):
    """Mails, newest first; all of the last 90 days, where they are not more than 100 a page."""

    items: list[MailView]


@router.get("/alerts")
async def list_alerts(
    service: Service,
    caller: Viewer,
    state: AlertState | None = None,
    peer_group: Name = None,
    stream_id: Name = None,
    text: Annotated[str, Query(max_length=200, description="in title, stream, peer group or type, in any case")] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> AlertPage:
    """The caller's alerts with the numbers that prove them. A rare match may leave a page short, or empty, with a
    cursor: a `text` is looked for in 2,000 alerts at a time. Those of one stream are one page, because it has at most
    one alert of each prediction type."""

    def fits(alert: Alert) -> bool:
        is_there = state in (None, alert.state) and peer_group in (None, alert.peer_group)
        return is_there and alert.is_about(text)

    if stream_id is not None:
        found = await alerts_of_stream(service.table, stream_id) if caller.may_see(stream_id) else []
        return AlertPage(items=list(filter(fits, found)), cursor=None)
    if text:
        look = await find_alerts(service.table, caller, fits, limit=limit, cursor=cursor)
        return AlertPage(items=list(look.alerts), cursor=look.cursor, searched_to_at=look.searched_to_at)
    rows, next_cursor = await service.table.list_page(
        "alert", caller=caller, limit=limit, cursor=cursor, where=_where(state, peer_group)
    )
    return AlertPage(items=readable(rows, items.item_to_alert), cursor=next_cursor)


@router.get("/alerts/{alert_id}", responses=error_responses(NotFound))
async def get_alert(service: Service, caller: Viewer, alert_id: AlertId) -> AlertView:
    """One alert with its history and its page, which names every disk of the peer group that it tells of."""
    alert, history = await asyncio.gather(
        read_alert(service.table, alert_id, caller), read_history(service.table, alert_id)
    )
    return AlertView(
        **dict(alert),
        history=tuple(history),
        changes_total=alert.version,
        page=await read_page(service.table, alert.page_id) if alert.page_id else None,
    )


@router.get("/alerts/{alert_id}/mails", responses=error_responses(NotFound))
async def list_mails(service: Service, caller: Viewer, alert_id: AlertId) -> MailList:
    """What people were told of one alert, in the very words. A mail tells of a page, so it names other disks of the
    peer group, and may be of before the alert joined it."""
    alert = await read_alert(service.table, alert_id, caller)
    return MailList(items=await read_mails(service.table, alert))


async def alerts_of_stream(table: Table, stream_id: str) -> list[Alert]:
    """The alerts of one stream, one a prediction type, as they truly are; those that changed last first."""
    keys = [items.key_of(f"alert#{alert_id_of(stream_id, kind)}", "alert") for kind in PredictionType]
    rows = await asyncio.gather(*map(table.get, keys))
    alerts = readable((row for row in rows if row is not None), items.item_to_alert)
    return sorted(alerts, key=lambda alert: alert.updated_at, reverse=True)


def _where(state: AlertState | None, peer_group: str | None) -> Where | None:
    asked = {"#state = :state": state, "peer_group = :peer_group": peer_group}
    kept = {condition: value for condition, value in asked.items() if value is not None}
    values = {condition.rpartition(" ")[2]: {"S": str(value)} for condition, value in kept.items()}
    return (" AND ".join(kept), values) if kept else None
