"""What alerts answers: what people were told of, how it stands, and how it came to that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field

from iops import items
from iops.alert import Alert, AlertState, Change, Page, alert_id_of
from iops.auth import Caller
from iops.clock import Clock
from iops.contract import SORT_KEY
from iops.errors import NotFound
from iops.gate import Viewer
from iops.insight import PredictionType
from iops.items import Where
from iops.items.alerts import DELIVERY_PREFIX
from iops.problems import error_responses
from iops.table import Table, readable

router = APIRouter(tags=["alerts"])

HISTORY_LIMIT: Final = 100  # changes shown; at 300 bytes each 8 read units


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


class PageView(Page):
    """What people were told together."""

    waiting_for: tuple[str, ...] = Field(description="targets that have not taken the last event yet")


class AlertView(Alert):
    """An alert, how it came to be what it is, and what people were told of it."""

    history: tuple[Change, ...] = Field(description=f"the newest {HISTORY_LIMIT} changes, newest first")
    changes_total: int = Field(description="how often it changed; what is older than 90 days is not kept")
    page: PageView | None = Field(description="the page that tells of it; null where nobody is told, or it is over")


@router.get("/alerts")
async def list_alerts(
    service: Service,
    caller: Viewer,
    state: AlertState | None = None,
    peer_group: Name = None,
    stream_id: Name = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> AlertPage:
    """The caller's alerts with the numbers that prove them. A rare match may leave a page short, or empty, with a
    cursor. Those of one stream are one page, because it has at most one alert of each prediction type."""
    if stream_id is not None:
        found = await alerts_of_stream(service.table, stream_id) if caller.may_see(stream_id) else []
        kept = [a for a in found if state in (None, a.state) and peer_group in (None, a.peer_group)]
        return AlertPage(items=kept, cursor=None)
    rows, next_cursor = await service.table.list_page(
        "alert", caller=caller, limit=limit, cursor=cursor, where=_where(state, peer_group)
    )
    return AlertPage(items=readable(rows, items.item_to_alert), cursor=next_cursor)


@router.get("/alerts/{alert_id}", responses=error_responses(NotFound))
async def get_alert(service: Service, caller: Viewer, alert_id: AlertId) -> AlertView:
    """One alert with its history and its page, which names every disk of the peer group that it tells of."""
    alert, changes = await asyncio.gather(
        read_alert(service.table, alert_id, caller),
        service.table.query_page(items.changes_query(alert_id, limit=HISTORY_LIMIT)),
    )
    return AlertView(
        **dict(alert),
        history=tuple(readable(changes[0], items.item_to_change)),
        changes_total=alert.version,
        page=await _read_page(service.table, alert.page_id) if alert.page_id else None,
    )


async def read_alert(table: Table, alert_id: str, caller: Caller) -> Alert:
    """One alert of the caller's, or NotFound."""
    row = await table.get_own(items.key_of(f"alert#{alert_id}", "alert"), caller)
    if row is None:
        raise unknown(alert_id)
    return items.item_to_alert(row)


async def alerts_of_stream(table: Table, stream_id: str) -> list[Alert]:
    """The alerts of one stream, one a prediction type, as they truly are; those that changed last first."""
    keys = [items.key_of(f"alert#{alert_id_of(stream_id, kind)}", "alert") for kind in PredictionType]
    rows = await asyncio.gather(*map(table.get, keys))
    alerts = readable((row for row in rows if row is not None), items.item_to_alert)
    return sorted(alerts, key=lambda alert: alert.updated_at, reverse=True)


def unknown(alert_id: str) -> NotFound:
    """There is no such alert."""
    return NotFound(f"there is no alert {alert_id!r}, or it was resolved more than 90 days ago")


async def _read_page(table: Table, page_id: str) -> PageView | None:
    row = await table.get(items.key_of(f"page#{page_id}", "page"))
    pages = readable([row] if row else [], items.item_to_page)
    if not pages:
        return None
    (page,) = pages
    waiting = await table.query(items.deliveries_query(page.last_event_id)) if page.last_event_id else []
    return PageView(
        **dict(page), waiting_for=tuple(row[SORT_KEY]["S"].removeprefix(DELIVERY_PREFIX) for row in waiting)
    )


def _where(state: AlertState | None, peer_group: str | None) -> Where | None:
    asked = {"#state = :state": state, "peer_group = :peer_group": peer_group}
    kept = {condition: value for condition, value in asked.items() if value is not None}
    values = {condition.rpartition(" ")[2]: {"S": str(value)} for condition, value in kept.items()}
    return (" AND ".join(kept), values) if kept else None
