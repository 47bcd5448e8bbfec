"""`iops cost` on a stack made by hand: the table, the JSON, the document, and a machine without Pulumi."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cli.cost import plan as planned
from cli.cost.document import to_markdown
from cli.cost.fleet import Fleet, Profile
from cli.cost.line import Kind
from cli.cost.plan import Choice, choices, declared_by_infra, make_plan, model_line
from cli.cost.show import Asked, Form, show_plan
from cli.main import app
from infra.config import checked, read_config
from infra.declared import Declared, declare
from tests.unit.test_cost_graph import a_resource, a_service


def a_small_stack(choice: Choice, streams: int) -> Sequence[Declared]:
    gateways = [a_resource("aws:ec2/natGateway:NatGateway")] if choice.egress == "nat" else []
    table = a_resource("aws:dynamodb/table:Table", billingMode="PAY_PER_REQUEST")
    return [*a_service(), table, *gateways]


def test_the_json_says_the_total_and_every_choice_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(Asked(Fleet(), Choice(), Form.JSON), declare=a_small_stack)

    said = json.loads(capsys.readouterr().out)
    assert said["total_usd_month"] == pytest.approx(sum(line["usd_month"] for line in said["lines"]), abs=0.01)
    assert (said["fleet"]["streams"], said["egress"]) == (200, "ipv6")
    totals = {(each["egress"], each["capacity_mode"]): each["total_usd_month"] for each in said["beside"]}
    assert len(totals) == 6
    assert totals["nat", "on-demand"] - totals["ipv6", "on-demand"] == pytest.approx(32.85, abs=0.5)


def test_the_table_shows_what_each_line_was_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(Asked(Fleet(streams=40), Choice(), Form.TABLE), declare=a_small_stack)

    said = " ".join(capsys.readouterr().out.split())
    assert "with 40 streams" in said
    assert "1 of 0.25 vCPU and 0.5 GB of ARM, 730 h, on demand" in said
    assert "public price list, us-east-1" in said


def test_the_document_says_what_makes_another_choice_dearer() -> None:
    document = to_markdown(make_plan(Fleet(), Choice(), declare=a_small_stack), declare=a_small_stack)

    assert "NAT gateway +32.85" in document
    assert "| ipv6 | on-demand |" in document
    assert "no AWS account was used" in document


def test_the_model_never_costs_more_than_its_daily_budget() -> None:
    fleet = Fleet(streams=5_000, profile=Profile.NOISY)

    assert model_line(fleet).usd_month == pytest.approx(30.42, abs=0.01)
    assert model_line(replace(fleet, streams=200, profile=Profile.STEADY)).usd_month == pytest.approx(0.49, abs=0.01)


def test_a_bill_is_what_is_paid_anyway_and_what_by_use() -> None:
    plan = make_plan(Fleet(), Choice(), declare=a_small_stack)

    assert plan.usd_of(Kind.IDLE) + plan.usd_of(Kind.USE) == pytest.approx(plan.total_usd_month)


def test_the_priced_stack_is_one_that_infra_accepts() -> None:
    def program() -> None:
        assert checked(read_config()).is_prod

    for choice in choices():
        declare(program, config=planned.stack_config(choice, 200))


def test_a_machine_without_pulumi_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    declared_by_infra.cache_clear()
    monkeypatch.setitem(sys.modules, "pulumi", None)
    monkeypatch.delitem(sys.modules, "infra.declared")

    result = CliRunner().invoke(app, ["cost"])

    assert (result.exit_code, "make setup" in result.stderr) == (1, True)
