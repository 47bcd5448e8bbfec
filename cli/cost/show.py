"""A plan as a table, as JSON, or as docs/cost.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from cli.cost.document import to_markdown
from cli.cost.fleet import Fleet
from cli.cost.line import Kind, Line
from cli.cost.plan import Choice, Declare, Plan, declared_by_infra, make_plan, plans_beside
from cli.outcome import Outcome
from cli.screen import print_json, print_line, print_table


class Form(StrEnum):
    """How it is shown."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


@dataclass(frozen=True, slots=True)
class Asked:
    """What `iops cost` was asked for."""

    fleet: Fleet
    choice: Choice
    form: Form = Form.TABLE


def show_plan(asked: Asked, *, declare: Declare = declared_by_infra) -> Outcome:
    """Prints it. Raises Refused where Pulumi is not installed."""
    plan = make_plan(asked.fleet, asked.choice, declare=declare)
    beside = plans_beside(plan, declare=declare)
    if asked.form is Form.JSON:
        print_json(to_row(plan, beside))
    elif asked.form is Form.MARKDOWN:
        print_line(to_markdown(plan, declare=declare).rstrip())
    else:
        _print(plan, beside)
    return Outcome.OK


def to_row(plan: Plan, beside: Sequence[Plan]) -> dict[str, object]:
    """The JSON document."""
    return {
        "total_usd_month": round(plan.total_usd_month, 2),
        "idle_usd_month": round(plan.usd_of(Kind.IDLE), 2),
        "use_usd_month": round(plan.usd_of(Kind.USE), 2),
        "allowances_usd_month": round(plan.allowances_usd_month, 2),
        "prices": plan.prices.source,
        "fleet": asdict(plan.fleet),
        **asdict(plan.choice),
        "lines": [_line(line) for line in plan.lines],
        "beside": [asdict(other.choice) | {"total_usd_month": round(other.total_usd_month, 2)} for other in beside],
    }


def _line(line: Line) -> dict[str, object]:
    return asdict(line) | {"usd_month": round(line.usd_month, 4), "allowance_usd": round(line.allowance_usd, 4)}


def _print(plan: Plan, beside: Sequence[Plan]) -> None:
    fleet = plan.fleet
    print_line(
        f"A month of prod in {plan.choice.egress}, {plan.choice.capacity_mode}, with {fleet.streams} streams, a sample "
        f"each {fleet.interval_s:g} s in batches of {fleet.batch_samples}, {fleet.profile}."
    )
    print_line(f"By {plan.prices.source}, before tax; `iops cost spent` says what language models did cost.")
    print_table(("part", "what", "usd>", "how"), list(_rows(plan)))
    titles = ("egress", "capacity", "usd a month>")
    rows = [[each.choice.egress, each.choice.capacity_mode, f"{each.total_usd_month:.2f}"] for each in beside]
    print_table(titles, rows)


def _rows(plan: Plan) -> Iterator[list[str]]:
    for line in plan.lines:
        yield [line.part, line.what, f"{line.usd_month:.2f}", line.how]
    yield ["", "paid anyway", f"{plan.usd_of(Kind.IDLE):.2f}", ""]
    yield ["", "by use", f"{plan.usd_of(Kind.USE):.2f}", ""]
    more = f"{plan.allowances_usd_month:.2f} more where the rest of the account uses up what is free"
    yield ["", "a month", f"{plan.total_usd_month:.2f}", more]
