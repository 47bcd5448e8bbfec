"""What `GET /tiers` says of who would score and explain, and of why the others would not."""

import asyncio
from typing import Any

import pytest

from iops.flags import Flags
from iops.observability import Metrics
from services.insights.calls import ResilientProvider
from services.insights.scorers import ScorerUnavailable
from services.insights.tiers import NOT_SET, Board, Tier
from tests.unit.builders import clock_at
from tests.unit.calling import FakeProvider, reason_of, resilient, throttled
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.speaking import Speaker, speaking
from tests.unit.test_scorers import FakeRuntime, a_scorer, some_features
from tests.unit.virtual_time import in_virtual_time
from tests.unit.words import WILLING, a_teller


class Purse:
    """Says the same whenever it is asked."""

    def __init__(self, why_not: str | None) -> None:
        self.says, self.asked = why_not, 0

    async def why_not(self) -> str | None:
        self.asked += 1
        return self.says


def a_board(*providers: ResilientProvider, flags: Flags = WILLING, purse: Purse | None = None, **fields: Any) -> Board:
    """One replica with a model of its own and no endpoint."""
    usual: dict[str, Any] = {
        "model_version": "v7",
        "why_no_endpoint": lambda: "no endpoint is set",
        "warnings": {},
        "teller": a_teller(FakeTable().table(), clock_at(), Metrics()),
    }
    purse = purse or Purse(None)
    return Board(flags=lambda: flags, providers=providers, why_no_money=purse.why_not, **usual | fields)


def said(tiers: list[Tier]) -> dict[str, str | None]:
    assert all(tier.answers == (tier.why_not is None) for tier in tiers)
    return {tier.name: tier.why_not for tier in tiers}


async def test_the_rules_and_the_template_always_answer() -> None:
    tiers = await a_board(model_version=None).read()

    assert said(tiers.scoring) == {
        "sagemaker": "no endpoint is set",
        "local": "no model fits; the service's log says why",
        "rules": None,
    }
    assert said(tiers.explaining) == {"bedrock": NOT_SET, "openai": NOT_SET, "template": None}


async def test_models_stand_in_the_order_of_asking_with_their_share_and_warning() -> None:
    providers = speaking(Speaker(name="openai"), Speaker())
    flags = Flags(ai_enabled=True, llm_percent=5, sagemaker_percent=20)

    tiers = await a_board(
        *providers, flags=flags, warnings={"bedrock": "ends soon"}, why_no_endpoint=lambda: None
    ).read()

    assert said(tiers.explaining) == {"openai": None, "bedrock": None, "template": None}
    first, second, _ = tiers.explaining
    assert (first.model, first.share_percent, first.warning) == ("openai-model", 5, None)
    assert (second.model, second.share_percent, second.warning) == ("bedrock-model", 5, "ends soon")
    assert (tiers.scoring[0].why_not, tiers.scoring[0].share_percent) == (None, 20)
    assert (tiers.scoring[1].model, tiers.scoring[1].share_percent) == ("v7", 100)


@pytest.mark.parametrize(
    ("flags", "why"),
    [(Flags(), "the flag ai_enabled is false"), (Flags(ai_enabled=True, llm_percent=0), "the flag llm_percent is 0")],
)
async def test_a_flag_that_forbids_is_named_and_the_table_is_not_asked(flags: Flags, why: str) -> None:
    purse = Purse("spent")

    tiers = await a_board(*speaking(Speaker()), flags=flags, purse=purse).read()

    assert said(tiers.explaining) == {"bedrock": why, "openai": NOT_SET, "template": None}
    assert purse.asked == 0


async def test_a_day_that_is_spent_is_said_of_each_model_and_read_once() -> None:
    purse = Purse("the day's $1 is spent")

    tiers = await a_board(*speaking(Speaker(), Speaker(name="openai")), purse=purse).read()

    assert [tier.why_not for tier in tiers.explaining] == ["the day's $1 is spent", "the day's $1 is spent", None]
    assert purse.asked == 1


async def test_without_a_model_the_table_is_not_asked() -> None:
    purse = Purse(None)
    await a_board(purse=purse).read()

    assert purse.asked == 0


@in_virtual_time
async def test_a_model_that_is_left_in_peace_says_for_how_long() -> None:
    provider = resilient(FakeProvider(always=throttled()), failures=1)
    await reason_of(provider)

    assert said((await a_board(provider).read()).explaining)["bedrock"] == "rests for 30 s more (throttled)"


@in_virtual_time
async def test_an_endpoint_at_rest_says_for_how_long() -> None:
    runtime = FakeRuntime()
    endpoint = a_scorer(runtime)
    assert endpoint.why_not() is None
    runtime.failure = aws_error("ThrottlingException")
    for _ in range(3):
        with pytest.raises(ScorerUnavailable):
            await endpoint.predict(some_features(1))
    await asyncio.sleep(29.9)

    tiers = await a_board(why_no_endpoint=endpoint.why_not).read()

    assert said(tiers.scoring)["sagemaker"] == "it failed 3 times in a row and rests for 1 s"
    await asyncio.sleep(0.1)
    assert endpoint.why_not() is None
