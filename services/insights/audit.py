"""What insights answers about who changed what. There is no route that writes, changes or deletes it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from iops import items
from iops.audit import Deed, DeedKind
from iops.errors import Forbidden
from iops.gate import Admin
from iops.problems import error_responses
from iops.table import readable
from services.insights.routes import Cursor, Limit, Service

router = APIRouter(tags=["audit"])

Name = Annotated[str | None, Query(min_length=1, max_length=200, description="exactly as the list shows it")]


class DeedPage(BaseModel):
    """Deeds, newest first."""

    items: list[Deed]
    cursor: str | None


@router.get("/audit", responses=error_responses(Forbidden))
async def list_deeds(
    service: Service,
    caller: Admin,
    kind: DeedKind | None = None,
    about: Name = None,
    by: Name = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DeedPage:
    """Who changed what in the last year: keys, flags, silences, alerts, feedback, dead letters. For admins who see all
    streams. A rare match may leave a page short, or empty, with a cursor."""
    caller.check_sees_all("the audit is")
    where = items.deeds_where(kind=kind, about=about, by=by)
    rows, next_cursor = await service.table.list_page("audit", caller=caller, limit=limit, cursor=cursor, where=where)
    return DeedPage(items=readable(rows, items.item_to_deed), cursor=next_cursor)
