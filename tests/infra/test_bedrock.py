"""The models that infra lets insights ask, beside those that insights knows."""

from datetime import date

import pytest

from infra import bedrock
from services.insights import profiles
from services.insights.profiles import UnusableModel, chosen

TODAY = date(2026, 11, 23)
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2", "ap-south-1", "sa-east-1")


def test_the_models_are_those_that_still_answer() -> None:
    running = {
        profile.model_id: profile.prefixes
        for profile in profiles.PROFILES.values()
        if profile.ends_on is None or profile.ends_on > TODAY
    }

    assert running == bedrock.MODELS
    assert profiles.GEOGRAPHIES == bedrock.GEOGRAPHIES


@pytest.mark.parametrize("region", REGIONS)
def test_what_insights_asks_in_a_region_is_what_it_may(region: str) -> None:
    asked = set()
    for name in profiles.PROFILES:
        try:
            asked.add(chosen(name, region, today=TODAY).model_id)
        except UnusableModel:
            continue

    allowed = {route.profile_arn.partition("/")[2] for route in bedrock.routes(region, "123456789012")}
    assert allowed == asked


def test_worldwide_the_model_of_no_region_is_allowed_too() -> None:
    (haiku, *_) = bedrock.routes("sa-east-1", "123456789012")

    assert haiku.model_arns == (
        "arn:aws:bedrock:sa-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
    )


@pytest.mark.parametrize("region", ["us-gov-west-1", "cn-north-1"])
def test_where_no_profile_is_there_is_nothing_to_allow(region: str) -> None:
    assert bedrock.routes(region, "123456789012") == []
