"""Rows of the fleet as the server tells them, read into what a terminal shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from cli.screen import plain
from cli.server import Row


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream; None where the server says nothing or it is unknown."""

    stream_id: str
    peer_group: str
    finding: str  # the kind of trouble, in words; empty where there is none
    state: str  # in words, the most urgent first; empty where there is nothing to say
    risk_score: float | None
    iops: float | None
    bytes_s: float | None
    await_ms: float | None
    queue_depth: float | None
    utilization_ratio: float | None
    spark: tuple[float | None, ...]  # mean await of each of the last 60 minutes in ms, the newest last
    age_s: float | None  # of its newest sample
    is_read: bool  # False: the server is reading its numbers; they come with the next look


def read_stream(row: Row, at: datetime) -> StreamRow:
    """One of the `items` of `GET /fleet` as of `at`; what is damaged is unknown, and hides no other stream."""
    sample = row.get("latest")
    latest: Row = sample if isinstance(sample, dict) else {}
    spark, last_at = row.get("spark"), instant_of(row, "last_at")
    return StreamRow(
        stream_id=plain(row.get("stream_id")),
        peer_group=plain(row.get("peer_group")),
        finding=_words(row["prediction_type"]) if row.get("prediction_type") else "",
        state=", ".join(_states(row)),
        risk_score=number_of(row, "risk_score"),
        iops=number_of(latest, "iops"),
        bytes_s=number_of(latest, "bytes_s"),
        await_ms=number_of(latest, "await_ms"),
        queue_depth=number_of(latest, "queue_depth"),
        utilization_ratio=number_of(latest, "utilization_ratio"),
        spark=tuple(number_in(value) for value in spark) if isinstance(spark, list) else (),
        age_s=None if last_at is None else (at - last_at).total_seconds(),
        is_read=row.get("is_read") is not False,
    )


def part_of(row: Row, name: str) -> Row:
    """An object within an object; empty where there is none."""
    part = row.get(name)
    return part if isinstance(part, dict) else {}


def number_of(row: Row, name: str) -> float | None:
    """A field that is a number."""
    return number_in(row.get(name))


def number_in(value: object) -> float | None:
    """A number as a float; None for anything else, and for what no float holds."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def instant_of(row: Row, name: str) -> datetime | None:
    """A field that is an instant with its offset."""
    value = row.get(name)
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def _words(name: object) -> str:
    return plain(name).replace("_", " ").replace("io errors", "I/O errors")


def _states(row: Row) -> list[str]:
    alert = part_of(row, "alert").get("state")
    said = [plain(alert)] if alert else []
    if row.get("silent") is True:
        said.append("silent")
    if row.get("warming_up") is True:
        said.append("warming up")
    return said
