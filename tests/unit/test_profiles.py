"""Which model is asked: its name in a region, what it takes, what it costs, and what is said when it ends."""

from dataclasses import replace
from datetime import date

import pytest

from services.insights import profiles
from services.insights.profiles import DEFAULT, PROFILES, UnusableModel, chosen

TODAY = date(2026, 11, 23)


def let_end(patch: pytest.MonkeyPatch, name: str, ends_on: date) -> None:
    ending = replace(PROFILES[name], ends_on=ends_on)
    patch.setattr(profiles, "PROFILES", {**PROFILES, name: ending})


def test_the_default_is_asked_at_a_low_temperature() -> None:
    choice = chosen(DEFAULT, "us-east-1", today=TODAY)
    assert choice.model_id == "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert choice.inference_config == {"maxTokens": 1_000, "temperature": 0.3}
    assert choice.warning is None


@pytest.mark.parametrize("name", ["haiku-5.5", "sonnet-5.5"])
def test_a_model_that_refuses_a_temperature_is_given_none(name: str) -> None:
    assert chosen(name, "us-east-1", today=TODAY).inference_config == {"maxTokens": 4_000}


@pytest.mark.parametrize(
    ("name", "region", "prefix"),
    [
        ("haiku-4.5", "us-west-2", "us."),
        ("haiku-4.5", "eu-central-1", "eu."),
        ("haiku-4.5", "ap-northeast-1", "jp."),
        ("haiku-4.5", "ap-southeast-2", "au."),
        ("haiku-4.5", "ap-south-1", "global."),  # none of these models has apac.
        ("haiku-4.5", "sa-east-1", "global."),
        ("sonnet-5.5", "eu-west-1", "eu."),
        ("sonnet-5.5", "ap-southeast-2", "global."),  # it has no au.
    ],
)
def test_a_request_stays_in_its_geography_where_the_model_is_there(name: str, region: str, prefix: str) -> None:
    assert chosen(name, region, today=TODAY).model_id == prefix + PROFILES[name].model_id


def test_a_model_of_asia_is_called_by_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    of_asia = replace(PROFILES[DEFAULT], prefixes=frozenset({"apac"}))
    monkeypatch.setattr(profiles, "PROFILES", {DEFAULT: of_asia})
    assert chosen(DEFAULT, "ap-south-1", today=TODAY).model_id.startswith("apac.")


@pytest.mark.parametrize("region", ["us-gov-west-1", "cn-north-1"])
def test_a_partition_of_its_own_is_refused(region: str) -> None:
    with pytest.raises(UnusableModel, match=f"haiku-4.5 cannot be reached from {region}; use a region that has "):
        chosen(DEFAULT, region, today=TODAY)


def test_a_model_that_is_nowhere_near_is_refused() -> None:
    with pytest.raises(UnusableModel, match=r"from eu-west-1; use a region that has us\.anthropic\.claude-3-5-haiku"):
        chosen("haiku-3.5", "eu-west-1", today=date(2026, 1, 1))


def test_an_ended_model_is_refused_with_the_one_to_use() -> None:
    with pytest.raises(UnusableModel) as refusal:
        chosen("haiku-3.5", "us-east-1", today=TODAY)
    assert str(refusal.value) == (
        "haiku-3.5 (anthropic.claude-3-5-haiku-20241022-v1:0) ended on 2026-06-19; use haiku-4.5"
    )


def test_a_model_answers_until_the_day_before_its_end() -> None:
    assert chosen("haiku-3.5", "us-east-1", today=date(2026, 6, 18)).warning is not None
    with pytest.raises(UnusableModel):
        chosen("haiku-3.5", "us-east-1", today=date(2026, 6, 19))


@pytest.mark.parametrize(
    ("today", "warning"),
    [
        (date(2026, 3, 20), None),
        (date(2026, 3, 21), "haiku-3.5 ends on 2026-06-19, in 90 days; change to haiku-4.5"),
        (date(2026, 6, 9), "haiku-3.5 ends on 2026-06-19, in 10 days; change to haiku-4.5"),
    ],
)
def test_an_end_is_told_90_days_ahead(today: date, warning: str | None) -> None:
    assert chosen("haiku-3.5", "us-east-1", today=today).warning == warning


def test_nobody_is_sent_to_a_model_that_has_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    let_end(monkeypatch, "haiku-4.5", date(2026, 10, 1))
    with pytest.raises(UnusableModel, match=r"; use haiku-5\.5 or sonnet-5\.5$"):
        chosen("haiku-3.5", "us-east-1", today=TODAY)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnusableModel, match=r"no model profile 'gpt'; use haiku-4\.5 or haiku-5\.5 or sonnet-5\.5$"):
        chosen("gpt", "us-east-1", today=TODAY)


@pytest.mark.parametrize(
    ("name", "region", "cost_usd"),
    [
        ("haiku-4.5", "sa-east-1", 0.0025),  # 1,000 x $1 + 300 x $5, a million
        ("haiku-4.5", "us-east-1", 0.00275),  # a tenth more
        ("haiku-5.5", "sa-east-1", 0.00025),
        ("sonnet-5.5", "eu-west-1", 0.0055),
    ],
)
def test_a_call_costs_what_the_route_costs(name: str, region: str, cost_usd: float) -> None:
    assert chosen(name, region, today=TODAY).cost_usd(1_000, 300) == pytest.approx(cost_usd, rel=1e-9)


def test_the_ended_model_had_one_price() -> None:
    assert chosen("haiku-3.5", "us-east-1", today=date(2026, 1, 1)).cost_usd(1_000_000, 1_000_000) == pytest.approx(4.8)


def test_who_is_named_as_a_successor_exists() -> None:
    assert {profile.use_instead for profile in PROFILES.values()} - {""} <= PROFILES.keys()
