"""What alerts answers: what people were told of, and how it stands."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel

from iops import items
from iops.alert import Alert, AlertState
from iops.errors import NotFound
from iops.problems import error_responses
from iops.table import Table

router = APIRouter(tags=["alerts"])


@dataclass(frozen=True, slots=True)
class Alerts:
    """What the routes work with; the lifespan makes it."""

    table: Table


async def _alerts(request: Request) -> Alerts:
    alerts: Alerts = request.app.state.alerts
    return alerts


Service = Annotated[Alerts, Depends(_alerts)]


class AlertPage(BaseModel):
    """Alerts, those that changed last first."""

    items: list[Alert]
    cursor: str | None


@router.get("/alerts")
async def list_alerts(
    service: Service,
    state: AlertState | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=2_000, description="the `cursor` of the page before")] = None,
) -> AlertPage:
    """Alerts of all streams with the numbers that prove them."""
    where = ("#state = :state", {":state": {"S": state}}) if state else None
    rows, next_cursor = await service.table.list_page("alert", limit=limit, cursor=cursor, where=where)
    return AlertPage(items=[items.item_to_alert(row) for row in rows], cursor=next_cursor)


@router.get("/alerts/{alert_id}", responses=error_responses(NotFound))
async def get_alert(service: Service, alert_id: Annotated[str, Path(max_length=64)]) -> Alert:
    """One alert."""
    row = await service.table.get(items.key_of(f"alert#{alert_id}", "alert"))
    if row is None:
        raise NotFound(f"there is no alert {alert_id!r}, or it was resolved more than 90 days ago")
    return items.item_to_alert(row)
