"""What `iops replay` was asked for, and the rules to try, as a person types them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cli.duration import parse_duration_s
from cli.outcome import Misused
from iops.contract import INSIGHT_RISK_SCORE, SAMPLE_AGE_LIMIT_S
from services.alerts.rules import RULES, Rules

LONGEST_SPAN: Final = timedelta(seconds=SAMPLE_AGE_LIMIT_S)
OLDEST_FROM: Final = LONGEST_SPAN - timedelta(hours=3)  # what comes before is read too: up to two hours, and a margin
CONFIRMATIONS: Final = ("1", "2")
DURATIONS: Final = tuple(each.name for each in fields(Rules) if each.name != "page_risk")
NAMES: Final = ("page_risk", "confirmations", *DURATIONS)


@dataclass(frozen=True, slots=True)
class Trial:
    """What decides, in place of what decides in life."""

    rules: Rules = RULES
    confirmations: int = 2  # scorings in a row at `page_risk`, where no hard rule speaks


@dataclass(frozen=True, slots=True)
class Span:
    """What is replayed."""

    from_at: datetime
    to_at: datetime
    every: timedelta = timedelta(seconds=10)  # between two scorings, as in life


@dataclass(frozen=True, slots=True)
class Choice:
    """Which streams; empty: all of them."""

    stream_ids: frozenset[str] = field(default_factory=frozenset)
    peer_groups: frozenset[str] = field(default_factory=frozenset)

    def has(self, stream_id: str, peer_group: str) -> bool:
        """It is about this stream."""
        is_stream = not self.stream_ids or stream_id in self.stream_ids
        return is_stream and (not self.peer_groups or peer_group in self.peer_groups)


def parse_trial(texts: Sequence[str]) -> Trial:
    """Rules as `page_risk=85`, `confirmations=1` or `calm=20m`; raises Misused for others."""
    trial = Trial()
    for text in texts:
        name, _, value = text.partition("=")
        if name == "confirmations" and value in CONFIRMATIONS:
            trial = replace(trial, confirmations=int(value))
        elif name == "page_risk":
            trial = replace(trial, rules=replace(trial.rules, page_risk=_risk(text, value)))
        elif name in DURATIONS:
            lasting = timedelta() if value == "0" else timedelta(seconds=parse_duration_s(value))
            changed: dict[str, Any] = {name: lasting}
            trial = replace(trial, rules=replace(trial.rules, **changed))
        else:
            raise Misused(f"--rule {text}: say {', '.join(f'{each}=...' for each in NAMES)}; confirmations are 1 or 2")
    return trial


def parse_span(from_text: str, to_text: str | None, *, every_s: float, now: datetime) -> Span:
    """Instants, or how long ago; raises Misused where they make no span whose samples are kept as they were sent."""
    from_at = _instant(from_text, "--from", now)
    to_at = now if to_text is None else _instant(to_text, "--to", now)
    if not from_at < to_at <= now:
        raise Misused("--from must lie before --to, and --to not in the future")
    if to_at - from_at > LONGEST_SPAN or now - from_at > OLDEST_FROM:
        raise Misused(
            "--from lies too far back: samples as they were sent are kept for 7 days, of which the first 3 hours are "
            "needed as the past; the minutes that are left of older ones would be scored differently"
        )
    return Span(from_at, to_at, timedelta(seconds=every_s))


def _risk(text: str, value: str) -> float:
    try:
        risk = float(value)
    except ValueError:
        risk = -1.0
    if not INSIGHT_RISK_SCORE <= risk <= 100:
        raise Misused(f"--rule {text}: a page is worth a risk of {INSIGHT_RISK_SCORE} to 100")
    return risk


def _instant(text: str, option: str, now: datetime) -> datetime:
    try:
        return now - timedelta(seconds=parse_duration_s(text))
    except Misused:
        pass  # it is no duration
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Misused(f"{option} {text}: say an instant like 2026-11-23T02:39:00Z, or how long ago, like 24h") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
