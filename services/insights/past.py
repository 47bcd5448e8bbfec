"""What a chart draws of the past: a stream's own columns, and the band of its peers."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final

import numpy as np
import structlog

from iops import items
from iops.errors import DamagedChunk
from iops.evidence import ENOUGH_PEERS
from iops.items import Item, Stream
from iops.peers import quantile
from iops.table import Table
from services.insights.history import chunk_hours, minute_rows
from services.insights.score import device_kind
from services.insights.steps import MINUTE_S, Array, Means, Steps

log = structlog.get_logger()

PEERS_LIMIT: Final = 12  # their 10 % and 90 % are as good as those of more, and each is read like the stream itself
COMPARED: Final = ("iops", "await_ms", "queue_depth", "utilization_ratio")
# Half of the channels are half of the work, and 12 peers are nearly all of a chart's.
MADE_OF: Final = frozenset(
    {"interval_s", "read_iops", "write_iops", "read_await_ms", "write_await_ms", "queue_depth", "utilization_ratio"}
)
LOW, MEDIAN, HIGH = 0.1, 0.5, 0.9


@dataclass(frozen=True, slots=True)
class Band:
    """Where most peers are, by step and channel of COMPARED; NaN below 3 of them."""

    streams: int  # it was made of
    low: dict[str, Array]  # a tenth of them is below
    median: dict[str, Array]
    high: dict[str, Array]  # a tenth is above


async def read_means(
    table: Table, stream_id: str, steps: Steps, *, only: Container[str] | None = None
) -> tuple[Means, int]:
    """A stream's means, of samples where a step is shorter than a minute, else of minutes, of all channels or `only`
    some; and how many stored rows could not be read and were left out. Never more than a page of the table is in
    memory. Raises TableUnavailable."""
    means, damaged = Means(steps), 0
    read = chunk_hours if steps.step_s < MINUTE_S else minute_rows
    async for rows in read(table, stream_id, from_ms=steps.from_ms, to_ms=steps.to_ms):
        damaged += await asyncio.to_thread(_add, means, rows, only)
    return means, damaged


def peers_of(stream: Stream, streams: Iterable[Stream], *, since: datetime) -> list[str]:
    """At most 12 others of its group and kind that were scored since then: by the hash of their names, so the same ones
    each time."""
    kind = _kind_of(stream)
    alike = (
        other.stream_id
        for other in streams
        if other.peer_group == stream.peer_group
        and other.stream_id != stream.stream_id
        and other.scored_at is not None
        and other.scored_at >= since
        and _kind_of(other) == kind
    )
    return sorted(alike, key=lambda name: blake2b(name.encode(), digest_size=8).digest())[:PEERS_LIMIT]


async def read_band(table: Table, peer_ids: Sequence[str], steps: Steps) -> Band | None:
    """The band of some peers; None where fewer than 3 of them have samples. Raises TableUnavailable."""
    if len(peer_ids) < ENOUGH_PEERS:
        return None
    read = await asyncio.gather(*(read_means(table, peer_id, steps, only=MADE_OF) for peer_id in peer_ids))
    return await asyncio.to_thread(_band_of, [means.columns() for means, _ in read])


def _band_of(peers: Sequence[dict[str, Array]]) -> Band | None:
    stacked = {name: np.stack([each[name] for each in peers], axis=-1) for name in COMPARED}
    streams = int(np.isfinite(stacked["queue_depth"]).any(axis=0).sum())
    if streams < ENOUGH_PEERS:
        return None
    for values in stacked.values():
        values[np.isfinite(values).sum(axis=-1) < ENOUGH_PEERS] = np.nan
    low, median, high = (
        {name: quantile(values, share) for name, values in stacked.items()} for share in (LOW, MEDIAN, HIGH)
    )
    return Band(streams, low, median, high)


def _add(means: Means, rows: Sequence[Item], only: Container[str] | None) -> int:
    """How many of the rows, all of one kind, cannot be read: they must not hide the rest."""
    damaged: Sequence[DamagedChunk]
    if rows and items.is_rollup(rows[0]):
        minutes, damaged = items.items_to_rollup(rows, only=only)
        means.add_minutes(minutes)
    else:
        window, damaged = items.items_to_window(rows, only=only)
        means.add_samples(window)
    for error in damaged:
        log.warning("row_left_out", key=error.key)
    return len(damaged)


def _kind_of(stream: Stream) -> str:
    return device_kind(stream.stream_id, stream.labels.get("volume_type"))
