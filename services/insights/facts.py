"""The features that moved a risk most, as facts that a person can check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.evidence import figure
from iops.features import CLIP, NAMES
from iops.insight import Fact
from iops.minutes import CHANNELS, MEDIAN

Array = NDArray[np.float64]

LEAST_FELT: Final = 0.14  # logarithm: 15 in 100 slower
TOLD: Final = 3  # features of an insight
LEAST_Z: Final = 1.0  # of a channel, either way; nearer is usual and proves nothing
WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(  # of a channel: in a sentence, and its unit
    {
        "queue_depth": ("queue depth", "requests"),
        "read_iops": ("reads", "IO/s"),
        "read_bytes_s": ("read throughput", "B/s"),
        "service_ms": ("service time", "ms"),
        "utilization_ratio": ("utilisation", "ratio"),
        "write_iops": ("writes", "IO/s"),
        "await_ms": ("await", "ms"),
        "write_bytes_s": ("write throughput", "B/s"),
    }
)


def facts_of(features: NDArray[np.float32], contributions: Array, *, recent: Array, day: Array) -> list[Fact]:
    """The strongest first. `recent` is [minute, one of SERIES] of the last hour, `day` [channel, level].

    What speaks against an incident, is null, or is as it should be is not told: it may have moved the risk, and is
    evidence of nothing.
    """
    order = np.argsort(-contributions, kind="stable")
    places = [place for place in order.tolist() if contributions[place] > 0 and _is_evidence(place, features[place])]
    return [_fact(NAMES[place], float(features[place]), recent, day) for place in places[:TOLD]]


def _is_evidence(place: int, value: float) -> bool:
    """Null is not, being NaN."""
    return bool(value > 0 if NAMES[place] in OTHERS else abs(value) >= LEAST_Z)


def slowness_fact(severity: float) -> list[Fact]:
    """What a caller feels, as the model estimates it; nothing where nobody would."""
    if severity < LEAST_FELT:
        return []
    ratio = float(np.exp(severity))
    sentence = f"the model takes requests to be {figure(ratio)} times slower than without it"
    return [Fact(name="estimated_slowdown", value=round(ratio, 2), unit="ratio", sentence=sentence)]


def _fact(name: str, value: float, recent: Array, day: Array) -> Fact:
    for kind, tell in (("z_", _level), ("step_", _step)):
        channel = name.removeprefix(kind)
        if channel != name and channel in CHANNELS:
            return tell(name, value, channel, recent[:, CHANNELS.index(channel)], day[CHANNELS.index(channel), MEDIAN])
    sentence, unit = OTHERS[name](value)
    return Fact(name=name, value=round(value, 3), unit=unit, sentence=sentence)


def _level(name: str, value: float, channel: str, minutes: Array, usual: float) -> Fact:
    words, unit = WORDS[channel]
    now = _mean(minutes, 3)
    most = "at least " if abs(value) >= CLIP else ""
    away = f"{most}{figure(abs(value))} times its spread {'above' if value >= 0 else 'below'}"
    sentence = f"{words} {figure(now)} {unit} over 3 min, {away} its 24 h median of {figure(usual)}"
    return Fact(name=name, value=round(now, 3), unit=unit, baseline=round(usual, 3), sentence=sentence)


def _step(name: str, value: float, channel: str, minutes: Array, usual: float) -> Fact:
    words, unit = WORDS[channel]
    now, before = _mean(minutes, 5), _mean(minutes, 60)
    verb = "rose" if value >= 0 else "fell"
    sentence = f"{words} {verb} to {figure(now)} {unit} over 5 min, from {figure(before)} over the hour"
    return Fact(name=name, value=round(now, 3), unit=unit, baseline=round(usual, 3), sentence=sentence)


def _mean(minutes: Array, span: int) -> float:
    known = minutes[-span:][np.isfinite(minutes[-span:])]
    return float(known.mean()) if len(known) else 0.0


def _together(span: str, history: str) -> Callable[[float], tuple[str, str]]:
    def tell(value: float) -> tuple[str, str]:
        sentence = (
            f"over {span} its channels are on average {figure(value)} times their spread above what {history} showed"
        )
        return sentence, "spreads"

    return tell


OTHERS: Final[Mapping[str, Callable[[float], tuple[str, str]]]] = MappingProxyType(
    {
        "mean_z_3_day": _together("3 min", "24 h"),
        "mean_z_3_week": _together("3 min", "7 days"),
        "mean_z_15_week": _together("15 min", "7 days"),
        "mean_z_60_week": _together("60 min", "7 days"),
        "mean_abs_z_15_day": lambda value: (
            f"over 15 min its channels are on average {figure(value)} times their spread away from what 24 h showed",
            "spreads",
        ),
        "share_unusual": lambda value: (f"{value:.0%} of its channels are far from what 24 h showed", "ratio"),
        "peer_ratio_median": lambda value: (
            f"in half of the last 15 min its await was {figure(np.exp(value))} times its peers' or more",
            "ln ratio",
        ),
        "peer_ratio_p10": lambda value: (
            f"in nine of ten of the last 15 min its await was {figure(np.exp(value))} times its peers' or more",
            "ln ratio",
        ),
        "peer_standing": lambda value: (
            f"over hour and day its await is {figure(value)} times as far above its peers' as theirs differ",
            "spreads",
        ),
        "p99_to_await": lambda value: (
            f"its 99th percentile of latency is {figure(value)} times its mean over 15 min",
            "ratio",
        ),
        "errors_or_stall": lambda _: ("I/O errors or a standstill in the last 15 min", "flag"),
    }
)
