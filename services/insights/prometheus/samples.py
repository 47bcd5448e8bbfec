"""The samples of one stream, of the channels that are wanted and no others: a week of all would fill the memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from iops import items
from iops.items import Item
from iops.table import Table
from iops.telemetry import Window, merge_windows
from services.insights.history import end_of_rollups_ms
from services.insights.prometheus.matrix import Array, Instants


class Range(NamedTuple):
    """What is looked at, both ends included, in epoch ms."""

    from_ms: int
    to_ms: int


class Samples(NamedTuple):
    """Instants, growing, and values as [channel, instant]; NaN where null."""

    at_ms: Instants
    values: Array


async def read_samples(table: Table, stream_id: str, channels: Sequence[str], wanted: Range) -> Samples:
    """As they were sent. Raises DamagedChunk, TableUnavailable."""
    return _join([part async for part in _chunks(table, stream_id, channels, wanted)], channels)


async def read_minutes(table: Table, stream_id: str, channels: Sequence[str], wanted: Range) -> Samples:
    """Minutes of the hours that are rolled up, and samples from there on. Raises as `read_samples` does."""
    parts, rest_ms = [], wanted.from_ms
    async for page in table.pages(items.rollups_query(stream_id, from_ms=wanted.from_ms, to_ms=wanted.to_ms)):
        parts.append(await asyncio.to_thread(_decode, page, channels, wanted))
        rest_ms = end_of_rollups_ms(page, otherwise_ms=rest_ms)
    rest = Range(max(rest_ms, wanted.from_ms), wanted.to_ms)
    if rest.from_ms <= rest.to_ms:
        parts += [part async for part in _chunks(table, stream_id, channels, rest)]
    return _join(parts, channels)


async def _chunks(table: Table, stream_id: str, channels: Sequence[str], wanted: Range) -> AsyncIterator[Samples]:
    async for page in table.pages(items.chunks_query(stream_id, from_ms=wanted.from_ms, to_ms=wanted.to_ms)):
        yield await asyncio.to_thread(_decode, page, channels, wanted)


def _decode(page: Iterable[Item], channels: Sequence[str], wanted: Range) -> Samples:
    windows = [items.item_to_rollup(row).mean if items.is_rollup(row) else items.item_to_window(row) for row in page]
    window = merge_windows(windows).since(wanted.from_ms).until(wanted.to_ms + 1)
    return Samples(np.array(window.at_ms, dtype=np.int64), np.array([_column(window, name) for name in channels]))


def _column(window: Window, channel: str) -> Array:
    values = np.frombuffer(window[channel])
    if not channel.endswith("_await_ms"):
        return values
    # Where so few completed that their rate rounds to 0, nothing waited.
    return np.where(np.frombuffer(window[channel.replace("await_ms", "iops")]) > 0, values, np.nan)


def _join(parts: Sequence[Samples], channels: Sequence[str]) -> Samples:
    """One sample an instant: of two, as where a retry met other company, the later one."""
    at_ms = np.concatenate([np.empty(0, dtype=np.int64), *(part.at_ms for part in parts)])
    values = np.concatenate([np.empty((len(channels), 0)), *(part.values for part in parts)], axis=1)
    if (np.diff(at_ms) > 0).all():
        return Samples(at_ms, values)
    order = np.argsort(at_ms, kind="stable")
    is_last = np.append(np.diff(at_ms[order]) > 0, True)
    return Samples(at_ms[order][is_last], values[:, order[is_last]])
