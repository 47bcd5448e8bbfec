"""The windows this process has seen: only chunks that are newer are read again."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from iops import items, profile
from iops.baseline import BASELINE_S, MINUTE_MS, Baseline, make_baseline
from iops.clock import Clock, to_epoch_ms
from iops.contract import SORT_KEY
from iops.errors import DamagedChunk, DamagedProfile
from iops.items import Item
from iops.minutes import minutes_of
from iops.observability import Metrics
from iops.profile import Profile
from iops.rollup import HOUR_MS
from iops.table import Table
from iops.telemetry import Window, empty_window, merge_windows
from services.insights.history import end_of_rollups_ms, rolled_before_ms

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
    profile: Profile | None = None
    page_scores: dict[int, float] = field(default_factory=dict)  # by minute; the profile does not know them yet
    late_since_ms: int | None = None  # the earliest late sample that the baseline does not know


@dataclass(frozen=True, slots=True)
class Past:
    """What a scorer is given of a stream."""

    window: Window  # up to 1 h
    baseline: Baseline | None
    profile: Profile | None


class Windows:
    """The last hour of each stream, and its baseline; bounded, least recently used out."""

    def __init__(self, table: Table, clock: Clock, metrics: Metrics, *, limit: int) -> None:
        self._table = table
        self._clock = clock
        self._limit = limit
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._damaged = metrics.counter("iops_damaged_chunks", "Stored chunks that could not be read and were left out")
        metrics.gauge("iops_windows", "Streams whose window is in memory").set_function(lambda: len(self._known))

    async def load(self, stream_id: str, *, since_ms: int) -> Past:
        """The stream's last hour with everything stored since `since_ms`, and what is usual for it."""
        known = self._known.get(stream_id) or _Known()
        now_ms = to_epoch_ms(self._clock())
        if since_ms < rolled_before_ms(now_ms):
            await self._table.put(items.late_item(stream_id, since_ms=since_ms, now_ms=now_ms))
        if known.chunks:
            await self._read_newer(stream_id, known, since_ms)
        else:
            request = items.chunks_query(
                stream_id, from_ms=now_ms - WINDOW_MS, to_ms=now_ms + WINDOW_MS, is_consistent=True
            )
            self._add(known, await self._table.query(request))
        # Samples of before the window, or of before the hour where that is empty: the history is another one now.
        if since_ms < (known.window.at_ms[0] if len(known.window) else now_ms - WINDOW_MS):
            known.late_since_ms = min(since_ms, known.late_since_ms or since_ms)
        await self._refresh_baseline(stream_id, known, now_ms)
        self._known[stream_id] = known
        self._known.move_to_end(stream_id)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
        return Past(known.window, known.baseline, known.profile)

    def peek(self, stream_id: str) -> Window | None:
        """The stream's last hour as it was scored last; None where this replica does not score it."""
        known = self._known.get(stream_id)
        return None if known is None else known.window

    def note_score(self, stream_id: str, *, minute: int, page_score: float) -> None:
        """What the stream scored in a minute: the last of several counts, and all of an hour go into its profile."""
        known = self._known.get(stream_id)
        if known is not None:
            known.page_scores[minute] = page_score

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
        """A chunk's samples, or a rollup's minutes: each of them is a sample too."""
        try:
            return items.item_to_rollup(row).mean if items.is_rollup(row) else items.item_to_window(row)
        except DamagedChunk as error:
            self._damaged.inc()
            log.exception("chunk_left_out", key=error.key)
            return None

    async def _refresh_baseline(self, stream_id: str, known: _Known, now_ms: int) -> None:
        late_since_ms = known.late_since_ms
        if _is_settled(known, now_ms):
            return
        row = await self._table.get(items.key_of(stream_id, "baseline"))
        if row and self._take_newer(stream_id, known, row) and _is_settled(known, now_ms):
            return
        # A rollup does not know yet what came late.
        rolled_to_ms = now_ms if late_since_ms is None else late_since_ms // HOUR_MS * HOUR_MS - 1
        rows = await self._read_day(stream_id, now_ms, rolled_to_ms=rolled_to_ms)
        scores, known.page_scores = known.page_scores, {}
        known.baseline, known.profile = await asyncio.to_thread(self._make_past, rows, now_ms, known.profile, scores)
        known.late_since_ms = None
        if known.baseline is not None and known.profile is not None:
            await self._table.put(items.baseline_item(stream_id, known.baseline, profile.encode(known.profile)))

    def _take_newer(self, stream_id: str, known: _Known, row: Item) -> bool:
        """Whether nothing was known yet. What is renewed is what the table has: another replica may have been here."""
        stored, is_first = items.item_to_baseline(row), known.baseline is None
        if known.baseline is None or stored.made_at_ms > known.baseline.made_at_ms:
            known.profile = self._decode_profile(stream_id, row) or known.profile
        # Late samples make the day another one; what is remembered of the days before stays.
        if is_first and known.late_since_ms is None:
            known.baseline = stored
        return is_first

    async def _read_day(self, stream_id: str, now_ms: int, *, rolled_to_ms: int) -> list[Item]:
        """The last 24 h as rollups, the hours from `rolled_to_ms` on and those not rolled up as chunks."""
        from_ms = now_ms - BASELINE_S * 1000
        rollups: list[Item] = []
        if rolled_to_ms >= from_ms:
            rollups = await self._table.query(
                items.rollups_query(stream_id, from_ms=from_ms, to_ms=min(rolled_to_ms, now_ms))
            )
        rest_ms = end_of_rollups_ms(rollups, otherwise_ms=from_ms)
        return rollups + await self._table.query(items.chunks_query(stream_id, from_ms=rest_ms, to_ms=now_ms))

    def _make_past(
        self, rows: list[Item], now_ms: int, before: Profile | None, page_scores: Mapping[int, float]
    ) -> tuple[Baseline | None, Profile | None]:
        windows = [window for window in map(self._decode, rows) if window is not None]
        return make_past(merge_windows(windows), now_ms, before, page_scores)

    def _decode_profile(self, stream_id: str, row: Item) -> Profile | None:
        stored = items.item_to_profile(row)
        try:
            return None if stored is None else profile.decode(stored, key=stream_id)
        except DamagedProfile as error:
            self._damaged.inc()
            log.exception("profile_left_out", key=error.key)
            return None


def make_past(
    window: Window, now_ms: int, before: Profile | None, page_scores: Mapping[int, float]
) -> tuple[Baseline | None, Profile | None]:
    """What is usual for a stream after the last 24 h of its samples or minutes; `page_scores` are those by minute since
    the profile `before` was made."""
    window = window.since(now_ms - BASELINE_S * 1000)
    baseline = make_baseline(window, made_at_ms=now_ms)
    if baseline is None:
        return None, before
    minute = now_ms // MINUTE_MS
    minutes = minutes_of(window, end_minute=minute, count=BASELINE_S // 60)
    return baseline, profile.renewed(before, minutes, minute=minute, page_scores=list(page_scores.values()))


def _is_settled(known: _Known, now_ms: int) -> bool:
    if known.baseline is None or known.profile is None:
        return False
    return not _is_due(known.baseline, now_ms, is_late=known.late_since_ms is not None)


def _is_due(baseline: Baseline, now_ms: int, *, is_late: bool) -> bool:
    """Hourly. Late samples change a whole day little, so it waits five minutes for more; a day with gaps does not."""
    is_whole = baseline.minutes >= WHOLE_DAY_MINUTES
    age_limit_ms = BASELINE_AGE_MS if not is_late else LATE_AGE_MS if is_whole else 0
    return now_ms - baseline.made_at_ms >= age_limit_ms
