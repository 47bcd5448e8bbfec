"""The page of the whole fleet: which disk is about to hurt, in five seconds."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from iops.errors import Unavailable
from services.insights.chart import SCORED_WITHIN
from services.insights.fleet import State, Wanted
from services.insights.fleet_routes import PageNumber, TheWatch, read_fleet
from services.insights.pages.render import error_page, render
from services.insights.session.desk import PageViewer
from services.insights.system import TheBureau

router = APIRouter(include_in_schema=False)

RISKS: Final = (60, 80)
OLD_S: Final = 180.0  # what a risk is of then is not now
STALE_S: Final = 15.0  # the fleet is read every 2 s


@router.get("/")
async def show_fleet(
    request: Request,
    watch: TheWatch,
    bureau: TheBureau,
    caller: PageViewer,
    text: Annotated[str, Query(max_length=200)] = "",
    peer_group: Annotated[str, Query(max_length=200)] = "",
    min_risk: str = "",
    state: str = "",
    page: PageNumber = 1,
) -> HTMLResponse:
    """Every stream of the caller's, the worst first. A form sends its empty fields too: they are none."""
    wanted = Wanted(
        text,
        peer_group,
        float(min_risk) if min_risk in map(str, RISKS) else 0.0,
        State(state) if state in list(State) else None,
    )
    try:
        found, age_s = await read_fleet(watch, caller, wanted, page=page), watch.age_s()
        system = await bureau.read(caller)
    except Unavailable as error:
        return error_page(request, error)
    asked = {"text": text, "peer_group": peer_group, "min_risk": min_risk, "state": state}
    filters = {name: value for name, value in asked.items() if value}
    return render(
        request,
        "fleet.html",
        fleet=found,
        system=system,
        wanted=wanted,
        now=watch.clock(),
        risks=RISKS,
        old_s=OLD_S,
        scored_within=SCORED_WITHIN,
        age_s=age_s,
        stale_s=STALE_S,
        states=list(State),
        is_filtered=bool(filters),
        page_url=lambda number: "/?" + urlencode({**filters, "page": number}),
    )
