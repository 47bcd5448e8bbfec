"""Who changed what, as a table or JSON."""

from __future__ import annotations

from cli.outcome import Misused, Outcome
from cli.screen import instant, plain, print_json, print_table
from cli.server import Row, Server, Transport
from iops.audit import DeedKind


async def show_audit(url: str, *, kind: str | None, limit: int, as_json: bool, transport: Transport | None) -> Outcome:
    """Deeds, the newest first; raises Misused for a kind that is none."""
    if kind is not None and kind not in list(DeedKind):
        raise Misused(f"--kind must be one of {', '.join(DeedKind)}")
    async with Server(url, transport=transport) as server:
        deeds = await server.read_items("/audit", limit=limit, **({"kind": kind} if kind else {}))
    if as_json:
        print_json({"items": deeds})
        return Outcome.OK
    print_table(("when (UTC)", "who", "what", "about", "detail"), [_cells(deed) for deed in deeds])
    return Outcome.OK


def _cells(deed: Row) -> list[str]:
    detail = deed.get("detail")
    told = ", ".join(f"{name}={value}" for name, value in detail.items()) if isinstance(detail, dict) else None
    return [
        instant(deed.get("at")),
        *(plain(deed.get(field)) for field in ("by", "kind", "about")),
        plain(told or None),
    ]
