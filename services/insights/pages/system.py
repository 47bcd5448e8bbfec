"""The page of the whole system: what is wrong and what deals with it, then everything that says so."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.insights.pages.render import render
from services.insights.session.desk import PageViewer
from services.insights.system import TheBureau

router = APIRouter(include_in_schema=False)


@router.get("/ui/system")
async def show_system(request: Request, bureau: TheBureau, caller: PageViewer) -> HTMLResponse:
    """As GET /system answers the caller."""
    system = await bureau.read(caller)
    return render(request, "system.html", system=system, now=system.at)
