"""Instants and steps, as Prometheus's clients write them."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np

from iops.clock import to_epoch_ms
from iops.contract import ROLLUP_TTL_S
from iops.errors import InvalidQuery, QueryRefused
from services.insights.prometheus.lex import duration_ms
from services.insights.prometheus.matrix import Instants

STEPS_LIMIT: Final = 11_000  # points a series, as in Prometheus
LATEST_S: Final = 9_999_999_999  # in 2286; more does not fit a key
DEADLINE_S: Final = 10.0


class Steps(NamedTuple):
    """The instants of a query, both ends included."""

    start_ms: int
    end_ms: int
    step_ms: int

    @property
    def at_ms(self) -> Instants:
        """All of them."""
        return np.arange(self.start_ms, self.end_ms + 1, self.step_ms, dtype=np.int64)


def instant_ms(name: str, text: str) -> int:
    """Seconds since 1970, or RFC 3339. Raises InvalidQuery.

    >>> instant_ms("time", "1795401540.5"), instant_ms("time", "2026-11-23T02:39:00Z")
    (1795401540500, 1795401540000)
    """
    seconds = _float(text)
    if seconds is None:
        try:
            at = datetime.fromisoformat(text)
            seconds = to_epoch_ms(at) / 1000 if at.tzinfo and "T" in text else math.nan
        except (ValueError, OverflowError):
            seconds = math.nan
    if not 0 <= seconds <= LATEST_S:
        raise InvalidQuery(f"{name}: {text[:40]!r} is no instant like 1795401540.5 or 2026-11-23T02:39:00Z")
    return round(seconds * 1000)


def step_ms(text: str) -> int:
    """Seconds, or a duration. Raises InvalidQuery."""
    seconds = _float(text)
    length_ms = duration_ms(text) if seconds is None else None
    if length_ms is None and (seconds is None or not abs(seconds) <= LATEST_S):
        raise InvalidQuery(f"step: {text[:40]!r} is neither seconds nor a duration like 30s")
    step = length_ms if length_ms is not None else round((seconds or 0) * 1000)
    if step <= 0:
        raise InvalidQuery("step: it has to be longer than 0, and 1 ms at the least")
    return step


def steps_of(start_ms: int, end_ms: int, step: int) -> Steps:
    """Raises InvalidQuery, or QueryRefused for too many."""
    if end_ms < start_ms:
        raise InvalidQuery("end: it lies before start")
    if (end_ms - start_ms) // step + 1 > STEPS_LIMIT:
        raise QueryRefused(f"step: more than {STEPS_LIMIT:,} points a series; take a longer one")
    if end_ms - start_ms > ROLLUP_TTL_S * 1000:
        raise QueryRefused("start: at most 90 days before end, which is all that is kept")
    return Steps(start_ms, end_ms, step)


def deadline_s(text: str | None) -> float:
    """How long a query may take: what its sender wants to wait, at most 10 s. Raises InvalidQuery."""
    if not text:
        return DEADLINE_S
    return min(step_ms(text) / 1000, DEADLINE_S)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
