"""Which language models the insights service may ask: their ids, and what a policy has to name for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WORLDWIDE: Final = "global"

# services/insights/profiles.py knows prices and ends, and infra imports no service: a test holds the two together.
MODELS: Final[Mapping[str, frozenset[str]]] = {  # model id -> prefixes of its inference profiles
    "anthropic.claude-haiku-4-5-20251001-v1:0": frozenset({"us", "eu", "jp", "au", WORLDWIDE}),
    "anthropic.claude-haiku-5-5": frozenset({"us", "eu", "jp", "au", WORLDWIDE}),
    "anthropic.claude-sonnet-5-5": frozenset({"us", "eu", WORLDWIDE}),
}
GEOGRAPHIES: Final = (
    ("us-gov-", ""),
    ("cn-", ""),
    ("us-", "us"),
    ("eu-", "eu"),
    ("ap-northeast-1", "jp"),
    ("ap-northeast-3", "jp"),
    ("ap-southeast-2", "au"),
    ("ap-southeast-4", "au"),
    ("ap-", "apac"),
    ("", WORLDWIDE),
)
# Where a profile of the geography may send a request, whichever of its regions it comes from. A region too many allows
# nothing: the foundation model answers this role only through the profile, and the profile knows its own regions.
DESTINATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "us": ("us-east-1", "us-east-2", "us-west-1", "us-west-2"),
    "eu": ("eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"),
}


@dataclass(frozen=True, slots=True)
class Route:
    """One model as one region asks it."""

    profile_arn: str
    model_arns: tuple[str, ...]  # the foundation model, in each region that the profile may send to


def routes(region: str, account_id: str) -> Sequence[Route]:
    """One for each model that can be asked from `region`.

    >>> route = routes("us-east-1", "123456789012")[0]
    >>> route.profile_arn
    'arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0'
    >>> route.model_arns[1]
    'arn:aws:bedrock:us-east-2::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0'
    """
    found = []
    for model_id, prefixes in MODELS.items():
        prefix = _prefix(region, prefixes)
        if prefix is not None:
            profile_arn = f"arn:aws:bedrock:{region}:{account_id}:inference-profile/{prefix}.{model_id}"
            found.append(Route(profile_arn, _model_arns(prefix, region, model_id)))
    return found


def _prefix(region: str, prefixes: frozenset[str]) -> str | None:
    geography = next(prefix for start, prefix in GEOGRAPHIES if region.startswith(start))
    return next((prefix for prefix in (geography, WORLDWIDE) if geography and prefix in prefixes), None)


def _model_arns(prefix: str, region: str, model_id: str) -> tuple[str, ...]:
    """Worldwide, AWS wants the model of this region and the one of no region in particular."""
    regions = (region, "") if prefix == WORLDWIDE else tuple(dict.fromkeys((region, *DESTINATIONS[prefix])))
    return tuple(f"arn:aws:bedrock:{each}::foundation-model/{model_id}" for each in regions)
