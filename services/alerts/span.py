"""For how long something is silenced, as a person says it: until an instant, or for so many seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from iops.body import WORDS_LIMIT, harmless
from iops.errors import InvalidInput, Problem

LONGEST: Final = timedelta(days=30)
AHEAD: Final = timedelta(days=365)  # a silence that begins later is a slip


def _reason(text: str) -> str:
    kept = harmless(text)
    if not kept:
        raise ValueError("say why, for the next person who wonders that nothing was heard")
    return kept


@dataclass(frozen=True, slots=True)
class Span:
    """From one instant to a later one."""

    begins_at: datetime
    ends_at: datetime


class SpanBody(BaseModel):
    """For how long, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: AwareDatetime | None = Field(default=None, description="the end, at most 30 days after the beginning")
    duration_s: float | None = Field(
        default=None, ge=1, le=LONGEST.total_seconds(), allow_inf_nan=False, description="instead of `until`"
    )
    reason: Annotated[str, Field(max_length=WORDS_LIMIT, description="why, for a person"), AfterValidator(_reason)]

    def span(self, now: datetime, *, begins_at: datetime | None = None) -> Span:
        """Raises InvalidInput for what lies in the past, ends before it begins, or lasts too long."""
        if (self.until is None) == (self.duration_s is None):
            raise _refusal("until", "say either until or duration_s")
        begin = now if begins_at is None or begins_at <= now else begins_at
        if begin - now > AHEAD:
            raise _refusal("begins_at", f"lies more than {AHEAD.days} days ahead")
        end = self.until if self.until is not None else begin + timedelta(seconds=self.duration_s or 0)
        if end <= now:
            raise _refusal("until", f"{end.isoformat()} is past; a silence ends in the future")
        if end <= begin:
            raise _refusal("until", f"{end.isoformat()} is before the silence begins, {begin.isoformat()}")
        if end - begin > LONGEST:
            raise _refusal("until", f"a silence lasts at most {LONGEST.days} days; make it again when that is over")
        return Span(begin.astimezone(UTC), end.astimezone(UTC))


def _refusal(field: str, message: str) -> InvalidInput:
    return InvalidInput([Problem(field, message)])
