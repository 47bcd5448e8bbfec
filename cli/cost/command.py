"""`iops cost`: what a month would cost, and `iops cost spent`: what language models did."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.cost.fleet import Fleet, Profile
from cli.options import LOCAL_URL, Json, Url, ask, end
from iops.contract import BATCH_SAMPLES_LIMIT


class Egress(StrEnum):
    """As infra/config.py has them."""

    IPV6 = "ipv6"
    PUBLIC_IPV4 = "public-ipv4"
    NAT = "nat"


class Capacity(StrEnum):
    """The same."""

    ON_DEMAND = "on-demand"
    PROVISIONED = "provisioned"


app = typer.Typer(invoke_without_command=True)


@app.callback()
def plan(
    ctx: typer.Context,
    streams: Annotated[int, typer.Option(min=1, max=100_000, help="Disks and volumes that are watched.")] = 200,
    interval: Annotated[float, typer.Option(min=1, max=3_600, help="Seconds between two samples of one.")] = 10,
    batch: Annotated[int, typer.Option(min=1, max=BATCH_SAMPLES_LIMIT, help="Samples a request, as the agent's.")] = 30,
    profile: Annotated[Profile, typer.Option(help="How much happens to them.")] = Profile.STEADY,
    egress: Annotated[Egress, typer.Option(help="How tasks reach AWS, as the stack has it.")] = Egress.IPV6,
    capacity: Annotated[Capacity, typer.Option(help="The table's, as the stack has it.")] = Capacity.ON_DEMAND,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with total_usd_month.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/cost.md.")] = False,
) -> None:
    """What a month on AWS would cost, from what infra declares; `iops cost spent` says what models did cost."""
    if ctx.invoked_subcommand is not None:
        return
    from cli.cost.plan import Choice
    from cli.cost.show import Asked, Form, show_plan

    form = Form.JSON if as_json else Form.MARKDOWN if markdown else Form.TABLE
    watched = Fleet(streams, interval, profile, batch)
    asked = Asked(watched, Choice(egress.value, capacity.value), form)
    end(lambda: show_plan(asked))


@app.command()
def spent(ctx: typer.Context, url: Url = LOCAL_URL, as_json: Json = False) -> None:
    """What language models cost today and this month, and for which streams."""
    from cli.cost.spent import show_cost

    ask(lambda: show_cost(url, as_json=as_json, transport=ctx.obj))
