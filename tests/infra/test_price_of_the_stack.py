"""What the whole stack costs, as infra declares it."""

from pathlib import Path

import pytest

from cli.cost.document import to_markdown
from cli.cost.fleet import Fleet, Profile
from cli.cost.plan import Choice, Plan, choices, declared_by_infra, make_plan

DOCUMENT = Path(__file__).parents[2] / "docs" / "cost.md"


def a_plan(**choice: str) -> Plan:
    return make_plan(Fleet(streams=200, interval_s=10, profile=Profile.STEADY), Choice(**choice))


def test_prod_costs_less_than_50_dollars_for_200_streams_at_a_sample_each_10_s() -> None:
    assert 40 < a_plan().total_usd_month < 50


@pytest.mark.parametrize("choice", choices(), ids=str)
def test_everything_that_is_declared_has_a_price_or_is_known_to_be_free(choice: Choice) -> None:
    plan = make_plan(Fleet(), choice)

    assert {"tasks", "balancer", "network", "table", "watching", "secrets", "messages"} <= {
        line.part for line in plan.lines
    }


def test_insights_and_alerts_run_on_spot_and_ingest_does_not() -> None:
    how = {line.what: line.how for line in a_plan().lines if line.part == "tasks"}

    assert [("Spot" in how[name]) for name in ("ingest", "insights", "alerts")] == [False, True, True]


def test_a_nat_gateway_is_the_dearest_way_out() -> None:
    ipv6, public, nat = (a_plan(egress=egress).total_usd_month for egress in ("ipv6", "public-ipv4", "nat"))

    assert ipv6 < public < nat


def test_the_document_is_what_the_command_prints() -> None:
    made = to_markdown(a_plan(), declare=declared_by_infra)

    assert DOCUMENT.read_text() == made, "run `iops cost --markdown > docs/cost.md`"
