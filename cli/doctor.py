"""Asks each part of the product whether it works, and says who would answer and why others would not."""

from __future__ import annotations

from collections.abc import Sequence

from cli.outcome import CommandFailed, Outcome, Refused, Unreachable
from cli.prove import prove_alert
from cli.screen import plain, print_json, print_table
from cli.server import Row, Server, Transport
from iops.clock import now

# One question to each service that changes nothing.
QUESTIONS = (("ingest", "/metrics"), ("insights", "/streams?limit=1"), ("alerts", "/alerts?limit=1"))


async def prove(url: str, *, as_json: bool, transport: Transport | None) -> Outcome:
    """One synthetic fault from POST to mail; see cli/prove.py. Raises Refused, Unreachable."""
    async with Server(url, transport=transport) as server:
        return await prove_alert(server, now(), as_json=as_json)


async def examine(url: str, *, as_json: bool, transport: Transport | None) -> Outcome:
    """Services, troubles, tiers; NOTHING where a service does not work. Raises Unreachable where none answers."""
    async with Server(url, transport=transport) as server:
        checks = [await _check(server, name, path) for name, path in QUESTIONS]
        if all(isinstance(why_not, Unreachable) for _, why_not in checks):
            raise Unreachable(str(checks[0][1]))
        services = [_row(name, why_not) for name, why_not in checks]
        tiers = await _read(server, "/tiers")
        cost = await _read(server, "/cost")
        troubles = _rows((await _read(server, "/system")).get("troubles"))
    if as_json:
        print_json({"services": services, "troubles": troubles, "tiers": tiers, "cost": cost})
    else:
        _print(services, troubles, tiers, cost=cost)
    return Outcome.OK if all(service["works"] for service in services) else Outcome.NOTHING


async def _check(server: Server, name: str, path: str) -> tuple[str, str | CommandFailed | None]:
    """The service, and why it does not work: one that hangs keeps nobody from asking the others."""
    try:
        return name, await _ask(server, name, path)
    except (Refused, Unreachable) as error:
        return name, error


def _row(name: str, why_not: str | CommandFailed | None) -> Row:
    return {"service": name, "works": why_not is None, "why_not": None if why_not is None else str(why_not)}


async def _ask(server: Server, name: str, path: str) -> str | None:
    """None where it works. A list is always there, if only an empty one. Raises Refused."""
    if name == "ingest":
        await server.probe(path)
        return None
    found = await server.read(path)
    return f"{path} answered 404: something else is at this address" if found is None else None


async def _read(server: Server, path: str) -> Row:
    """What a service that is away cannot say is empty; its line says why."""
    try:
        return await server.read(path) or {}
    except CommandFailed:
        return {}


def _rows(listed: object) -> list[Row]:
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _print(services: Sequence[Row], troubles: Sequence[Row], tiers: Row, *, cost: Row) -> None:
    rows = [["service", plain(each["service"]), _mark(each["works"]), plain(each["why_not"])] for each in services]
    rows += [["trouble", plain(each.get("section")), "", plain(each.get("says"))] for each in troubles]
    for kind in ("scoring", "explaining"):
        rows += [_tier_cells(kind, tier) for tier in _rows(tiers.get(kind))]
    today = cost.get("today")
    if isinstance(today, dict):
        spent = f"${plain(today.get('usd'))} of ${plain(today.get('budget_usd'))} today"
        rows.append(["cost", "language models", "", spent])
    print_table(("part", "name", "answers", "why not, or how"), rows)


def _tier_cells(kind: str, tier: Row) -> list[str]:
    share = tier.get("share_percent")
    told = [
        plain(tier["why_not"]) if tier.get("why_not") else "",
        plain(tier["model"]) if tier.get("model") else "",
        f"{plain(share)} % of the streams" if tier.get("answers") and share != 100 else "",
        plain(tier["warning"]) if tier.get("warning") else "",
    ]
    return [kind, plain(tier.get("name")), _mark(tier.get("answers")), "; ".join(part for part in told if part)]


def _mark(works: object) -> str:
    return "yes" if works is True else "no"
