"""What a month would cost: the resources that infra declares, priced for a fleet, and the language model's tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Final, get_args

from cli.cost import fleet as of
from cli.cost import traffic
from cli.cost.fleet import Fleet
from cli.cost.graph import Scene, graph_cost
from cli.cost.line import Kind, Line, total_usd
from cli.cost.prices import MONTH_DAYS, PriceList, read_prices
from cli.cost.tasks import SERVICES
from cli.outcome import Refused
from services.insights import profiles

if TYPE_CHECKING:
    from infra.declared import Declared

DAILY_USD: Final = 1.0  # flag llm_daily_usd: over it the template answers
REGION: Final = "us-east-1"  # the only one that prices.toml knows
WITHOUT_PULUMI: Final = (
    "the plan is made of what infra declares, which needs pulumi and pulumi-aws: `make setup` installs them, or "
    "`pip install --require-hashes -r requirements/infra.txt`; `iops cost spent` needs neither"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a stack of prod can choose; the first of each is the default."""

    egress: str = "ipv6"
    capacity_mode: str = "on-demand"


@dataclass(frozen=True, slots=True)
class Plan:
    """A bill."""

    choice: Choice
    fleet: Fleet
    prices: PriceList
    lines: Sequence[Line]

    @property
    def total_usd_month(self) -> float:
        return total_usd(self.lines)

    @property
    def allowances_usd_month(self) -> float:
        """What it would cost more where the rest of the account uses up what AWS gives to each."""
        return sum(line.allowance_usd for line in self.lines)

    def usd_of(self, kind: Kind) -> float:
        """Of what is paid anyway, or by use."""
        return total_usd(line for line in self.lines if line.kind is kind)


Declare = Callable[[Choice, int], "Sequence[Declared]"]  # the int is of streams


@cache
def declared_by_infra(choice: Choice, streams: int) -> Sequence[Declared]:
    """The resources of a whole stack, sized for so many streams. Raises Refused where Pulumi is not installed."""
    try:
        from infra.declared import declare_all
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pulumi", "pulumi_aws"):
            raise
        raise Refused(WITHOUT_PULUMI) from error
    return declare_all(config=stack_config(choice, streams)).resources


def stack_config(choice: Choice, streams: int) -> Mapping[str, str]:
    """Pulumi.prod.yaml with its three blanks filled in, images, and the choice in it."""
    return {
        "aws:region": REGION,
        "iops-dashboard:environment": "prod",
        "iops-dashboard:certificate_arn": f"arn:aws:acm:{REGION}:123456789012:certificate/example",
        "iops-dashboard:public_url": "https://iops.example.com",
        "iops-dashboard:alert_emails": json.dumps(["oncall@example.com"]),
        "iops-dashboard:image_tags": json.dumps(dict.fromkeys(SERVICES, "commit")),
        "iops-dashboard:streams": str(streams),
        "iops-dashboard:egress": choice.egress,
        "iops-dashboard:capacity_mode": choice.capacity_mode,
    }


def make_plan(fleet: Fleet, choice: Choice, *, declare: Declare = declared_by_infra) -> Plan:
    """The bill of a month."""
    prices = read_prices()
    scene = Scene(declare(choice, fleet.streams), fleet, prices)
    return Plan(choice, fleet, prices, (*graph_cost(scene), model_line(fleet)))


def choices() -> list[Choice]:
    """All there are."""
    from infra.config import CapacityMode, Egress

    return [Choice(egress, mode) for mode in get_args(CapacityMode) for egress in get_args(Egress)]


def plans_beside(plan: Plan, *, declare: Declare = declared_by_infra) -> list[Plan]:
    """The same fleet under every choice."""
    return [make_plan(plan.fleet, choice, declare=declare) for choice in choices()]


def plans_by_profile(plan: Plan, *, declare: Declare = declared_by_infra) -> list[Plan]:
    """The same choice for fleets to which less or more happens."""
    fleets = [replace(plan.fleet, profile=profile) for profile in of.Profile]
    return [make_plan(fleet, plan.choice, declare=declare) for fleet in fleets]


def model_line(fleet: Fleet) -> Line:
    """What the default language model costs where the flag `ai_enabled` is on."""
    model = profiles.chosen(profiles.DEFAULT, REGION, today=date.min)
    asked = traffic.model_calls(fleet)
    each_usd = model.cost_usd(of.TOKENS_IN, of.TOKENS_OUT)
    most_usd = DAILY_USD * MONTH_DAYS
    how = (
        f"{asked.how} = {asked.amount:,.0f} calls of {of.TOKENS_IN:,} + {of.TOKENS_OUT} tokens at ${each_usd:.5f};"
        f" never over ${most_usd:.2f}"
    )
    return Line("model", profiles.DEFAULT, Kind.USE, min(asked.amount * each_usd, most_usd), how)
