"""Which models may be asked through Bedrock: what each is called, takes and costs, and until when it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

DEFAULT: Final = "haiku-4.5"
WARNING_DAYS: Final = 90  # before the end: a quarter, in which a change can be planned and tried
TEMPERATURE: Final = 0.3  # steadier words, not the same words twice
WORLDWIDE: Final = "global"
TOKENS_PER_PRICE: Final = 1_000_000

# The first that fits the region. A geography keeps requests within it, so it comes before the cheaper worldwide route.
GEOGRAPHIES: Final[Sequence[tuple[str, str]]] = (
    ("us-gov-", ""),
    ("cn-", ""),
    ("us-", "us"),
    ("eu-", "eu"),
    ("ap-northeast-1", "jp"),  # Tokyo
    ("ap-northeast-3", "jp"),  # Osaka
    ("ap-southeast-2", "au"),  # Sydney
    ("ap-southeast-4", "au"),  # Melbourne
    ("ap-", "apac"),
    ("", WORLDWIDE),
)


class UnusableModel(ValueError):
    """A profile that cannot be used here and now; the sentence names those that can."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What is known of one model. Prices are of the worldwide route, in dollars per million tokens."""

    name: str
    model_id: str  # without its region prefix
    prefixes: frozenset[str]  # of the inference profiles there are for it; none answers without one
    accepts_temperature: bool
    accepts_forced_tool: bool  # or may only be asked to use the tool
    max_tokens: int  # of an answer; thinking counts
    usd_per_m_tokens_in: float
    usd_per_m_tokens_out: float
    regional_surcharge_ratio: float  # on both prices, where requests stay in one geography
    ends_on: date | None = None  # the first day on which it does not answer; None while no day is announced
    use_instead: str = ""  # the profile to go to when it ends


@dataclass(frozen=True, slots=True)
class Choice:
    """A profile in one region: what a request to Converse says, and what it costs."""

    profile: ModelProfile
    model_id: str  # with its region prefix
    inference_config: Mapping[str, Any] = field(default_factory=dict)
    warning: str | None = None  # a sentence, where the model ends soon

    def cost_usd(self, tokens_in: int, tokens_out: int) -> float:
        """Dollars of one call, from the tokens that its answer reports."""
        profile = self.profile
        worldwide_usd = tokens_in * profile.usd_per_m_tokens_in + tokens_out * profile.usd_per_m_tokens_out
        is_worldwide = self.model_id.startswith(f"{WORLDWIDE}.")
        return worldwide_usd / TOKENS_PER_PRICE * (1 if is_worldwide else 1 + profile.regional_surcharge_ratio)


def chosen(name: str, region: str, *, today: date) -> Choice:
    """The profile `name` as `region` calls it. Raises UnusableModel."""
    profile = PROFILES.get(name)
    if profile is None:
        raise UnusableModel(f"there is no model profile {name!r}; use {_usable_names(today)}")
    if profile.ends_on is not None and today >= profile.ends_on:
        raise UnusableModel(f"{name} ({profile.model_id}) ended on {profile.ends_on}; use {_successor(profile, today)}")
    prefix = _prefix_of(profile, region)
    return Choice(profile, f"{prefix}.{profile.model_id}", _inference_config(profile), _warning(profile, today))


def _prefix_of(profile: ModelProfile, region: str) -> str:
    geography = next(prefix for start, prefix in GEOGRAPHIES if region.startswith(start))
    for prefix in (geography, WORLDWIDE):
        if geography and prefix in profile.prefixes:
            return prefix
    raise UnusableModel(f"{profile.name} cannot be reached from {region}; use a region that has {_routes(profile)}")


def _inference_config(profile: ModelProfile) -> Mapping[str, Any]:
    config: dict[str, Any] = {"maxTokens": profile.max_tokens}
    return config | ({"temperature": TEMPERATURE} if profile.accepts_temperature else {})


def _warning(profile: ModelProfile, today: date) -> str | None:
    if profile.ends_on is None or today < profile.ends_on - timedelta(days=WARNING_DAYS):
        return None
    days = (profile.ends_on - today).days
    return f"{profile.name} ends on {profile.ends_on}, in {days} days; change to {_successor(profile, today)}"


def _successor(profile: ModelProfile, today: date) -> str:
    """The one it names, unless that has ended too."""
    following = PROFILES.get(profile.use_instead)
    return following.name if following is not None and _is_running(following, today) else _usable_names(today)


def _usable_names(today: date) -> str:
    return " or ".join(profile.name for profile in PROFILES.values() if _is_running(profile, today))


def _is_running(profile: ModelProfile, today: date) -> bool:
    return profile.ends_on is None or today < profile.ends_on


def _routes(profile: ModelProfile) -> str:
    return ", ".join(f"{prefix}.{profile.model_id}" for prefix in sorted(profile.prefixes))


# Prices and prefixes: public copies of AWS's price list (us-east-1) and of its model cards, September and October 2026.
# From the 4.5 models on, a request that stays in one geography costs a tenth more than one that may go anywhere.
PROFILES: Final[Mapping[str, ModelProfile]] = {
    profile.name: profile
    for profile in (
        ModelProfile(
            name="haiku-4.5",
            model_id="anthropic.claude-haiku-4-5-20251001-v1:0",
            prefixes=frozenset({"us", "eu", "jp", "au", WORLDWIDE}),
            accepts_temperature=True,
            accepts_forced_tool=True,
            max_tokens=1_000,
            usd_per_m_tokens_in=1.0,
            usd_per_m_tokens_out=5.0,
            regional_surcharge_ratio=0.1,
            # AWS keeps it until 2026-10-01 at least and announces an end six months ahead; none is announced.
            use_instead="haiku-5.5",
        ),
        ModelProfile(
            name="haiku-5.5",
            model_id="anthropic.claude-haiku-5-5",
            prefixes=frozenset({"us", "eu", "jp", "au", WORLDWIDE}),
            accepts_temperature=False,
            accepts_forced_tool=True,
            max_tokens=4_000,  # it thinks first, and counts 30 % more tokens in the same text
            usd_per_m_tokens_in=0.10,  # five times as much above 100,000 tokens, which no prompt of ours comes near
            usd_per_m_tokens_out=0.50,
            regional_surcharge_ratio=0.1,
        ),
        ModelProfile(
            name="sonnet-5.5",
            model_id="anthropic.claude-sonnet-5-5",
            prefixes=frozenset({"us", "eu", WORLDWIDE}),
            accepts_temperature=False,
            accepts_forced_tool=False,
            max_tokens=4_000,
            usd_per_m_tokens_in=2.0,
            usd_per_m_tokens_out=10.0,
            regional_surcharge_ratio=0.1,
        ),
        ModelProfile(
            name="haiku-3.5",
            model_id="anthropic.claude-3-5-haiku-20241022-v1:0",
            prefixes=frozenset({"us"}),
            accepts_temperature=True,
            accepts_forced_tool=True,
            max_tokens=1_000,
            usd_per_m_tokens_in=0.80,
            usd_per_m_tokens_out=4.0,
            regional_surcharge_ratio=0.0,
            ends_on=date(2026, 6, 19),
            use_instead=DEFAULT,
        ),
    )
}
