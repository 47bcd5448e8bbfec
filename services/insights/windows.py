"""The windows this process has seen: only chunks that are newer are read again."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from iops import items
from iops.baseline import BASELINE_S, Baseline, make_baseline
from iops.clock import Clock, to_epoch_ms
from iops.contract import SORT_KEY
from iops.errors import DamagedChunk
from iops.items import Item
from iops.observability import Metrics
from iops.table import Table
from iops.telemetry import Window, empty_window, merge_windows

log = structlog.get_logger()

WINDOW_MS: Final = 3_600_000
BASELINE_AGE_MS: Final = 3_600_000  # an hour later it is made again
LATE_AGE_MS: Final = 300_000  # where late samples came
WHOLE_DAY_MINUTES: Final = 1_300  # of 1,440


@dataclass(slots=True)
class _Known:
    """One stream: its window, the chunks it is made of (key -> first sample's instant), its baseline."""

    window: Window = field(default_factory=empty_window)
    chunks: dict[str, int] = field(default_factory=dict)
    baseline: Baseline | None = None
    is_late: bool = False  # late samples came that the baseline does not know


class Windows:
    """The last hour of each stream, and its baseline; bounded, least recently used out."""

    def __init__(self, table: Table, clock: Clock, metrics: Metrics, *, limit: int) -> None:
        self._table = table
        self._clock = clock
        self._limit = limit
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._damaged = metrics.counter("iops_damaged_chunks", "Stored chunks that could not be read and were left out")
        metrics.gauge("iops_windows", "Streams whose window is in memory").set_function(lambda: len(self._known))

    async def load(self, stream_id: str, *, since_ms: int) -> tuple[Window, Baseline | None]:
        """The stream's last hour with everything stored since `since_ms`, and what is usual for it."""
        known = self._known.get(stream_id) or _Known()
        now_ms = to_epoch_ms(self._clock())
        if known.chunks:
            await self._read_newer(stream_id, known, since_ms)
        else:
            request = items.chunks_query(
                stream_id, from_ms=now_ms - WINDOW_MS, to_ms=now_ms + WINDOW_MS, is_consistent=True
            )
            self._add(known, await self._table.query(request))
        # Samples of before the window, or of before the hour where that is empty: the history is another one now.
        known.is_late |= since_ms < (known.window.at_ms[0] if len(known.window) else now_ms - WINDOW_MS)
        await self._refresh_baseline(stream_id, known, now_ms)
        self._known[stream_id] = known
        self._known.move_to_end(stream_id)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
        return known.window, known.baseline

    async def _read_newer(self, stream_id: str, known: _Known, since_ms: int) -> None:
        newest_ms = max(known.chunks.values())
        from_ms = max(min(since_ms, newest_ms + 1), newest_ms - WINDOW_MS)
        rows = await self._table.query(items.newer_chunks_query(stream_id, from_ms=from_ms))
        self._add(known, [row for row in rows if row[SORT_KEY]["S"] not in known.chunks])

    def _add(self, known: _Known, rows: Iterable[Item]) -> None:
        windows = [known.window]
        for row in rows:
            window = self._decode(row)
            if window is not None:
                windows.append(window)
                known.chunks[row[SORT_KEY]["S"]] = window.at_ms[0]
        if len(windows) == 1:
            return
        merged = merge_windows(windows)
        horizon_ms = merged.at_ms[-1] - WINDOW_MS
        known.window = merged.since(horizon_ms)
        newest_ms = max(known.chunks.values())
        # Chunks of an hour before the newest are forgotten: no read goes back further than that.
        known.chunks = {key: at_ms for key, at_ms in known.chunks.items() if at_ms >= newest_ms - WINDOW_MS}

    def _decode(self, row: Item) -> Window | None:
        try:
            return items.item_to_window(row)
        except DamagedChunk as error:
            self._damaged.inc()
            log.exception("chunk_left_out", key=error.key)
            return None

    async def _refresh_baseline(self, stream_id: str, known: _Known, now_ms: int) -> None:
        if known.baseline is None and not known.is_late:
            row = await self._table.get(items.key_of(stream_id, "baseline"))
            known.baseline = items.item_to_baseline(row) if row else None
        if known.baseline and not _is_due(known.baseline, now_ms, is_late=known.is_late):
            return
        request = items.chunks_query(stream_id, from_ms=now_ms - BASELINE_S * 1000, to_ms=now_ms)
        rows = await self._table.query(request)
        known.baseline = await asyncio.to_thread(self._make_baseline, rows, now_ms)
        known.is_late = False
        if known.baseline is not None:
            await self._table.put(items.baseline_item(stream_id, known.baseline))

    def _make_baseline(self, rows: list[Item], now_ms: int) -> Baseline | None:
        windows = [window for window in map(self._decode, rows) if window is not None]
        return make_baseline(merge_windows(windows).since(now_ms - BASELINE_S * 1000), made_at_ms=now_ms)


def _is_due(baseline: Baseline, now_ms: int, *, is_late: bool) -> bool:
    """Hourly. Late samples change a whole day little, so it waits five minutes for more; a day with gaps does not."""
    is_whole = baseline.minutes >= WHOLE_DAY_MINUTES
    age_limit_ms = BASELINE_AGE_MS if not is_late else LATE_AGE_MS if is_whole else 0
    return now_ms - baseline.made_at_ms >= age_limit_ms
