"""One stream's samples as time brings them, and what is usual for it: what a scorer would have known at an instant."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from iops.baseline import BASELINE_S, Baseline
from iops.profile import Profile
from iops.rollup import HOUR_MS, roll_up
from iops.telemetry import Window, empty_window, merge_windows
from services.insights.history import rolled_before_ms
from services.insights.windows import BASELINE_AGE_MS, WINDOW_MS, Past, make_past


class Track:
    """Moves forward only. Holds the last 24 h as minutes, up to two hours of samples, and those that are to come."""

    def __init__(self, *, minutes: Window, raw_from_ms: int) -> None:
        """`minutes` are those before `raw_from_ms`, a full hour, from which on samples are added as they were sent."""
        self._minutes = minutes
        self._rolled_to_ms = raw_from_ms
        self._raw = empty_window()
        self._seen = 0  # samples of `_raw` that have come
        self._baseline: Baseline | None = None
        self._profile: Profile | None = None
        self._page_scores: dict[int, float] = {}
        self.past = Past(empty_window(), None, None)

    def add(self, samples: Window) -> None:
        """Samples that are to come, after those that were added before."""
        keep_from = bisect_left(self._raw.at_ms, self._kept_from_ms())
        self._raw = merge_windows([self._raw.cut(keep_from, len(self._raw)), samples])
        self._seen -= keep_from

    def advance(self, now_ms: int) -> bool:
        """To an instant; True where samples came since the last one."""
        end = bisect_right(self._raw.at_ms, now_ms)
        is_new = end > self._seen
        self._seen = end
        self._renew(now_ms)
        window = self.past.window
        if is_new:
            start = bisect_left(self._raw.at_ms, self._raw.at_ms[end - 1] - WINDOW_MS)
            window = self._raw.cut(start, end)
        self.past = Past(window, self._baseline, self._profile)
        return is_new

    def note_score(self, *, minute: int, page_score: float) -> None:
        """What it scored in a minute: the last of several counts, as in life."""
        self._page_scores[minute] = page_score

    def _kept_from_ms(self) -> int:
        newest_ms = self._raw.at_ms[self._seen - 1] if self._seen else self._rolled_to_ms
        return min(self._rolled_to_ms, newest_ms - WINDOW_MS)

    def _renew(self, now_ms: int) -> None:
        """Hourly, as `services.insights.windows` does."""
        if self._baseline is not None and now_ms - self._baseline.made_at_ms < BASELINE_AGE_MS:
            return
        self._roll_up(now_ms)
        start = bisect_left(self._raw.at_ms, self._rolled_to_ms)
        day = merge_windows([self._minutes, self._raw.cut(start, max(start, self._seen))])
        scores, self._page_scores = self._page_scores, {}
        self._baseline, self._profile = make_past(day, now_ms, self._profile, scores)

    def _roll_up(self, now_ms: int) -> None:
        to_ms = rolled_before_ms(now_ms)
        if to_ms <= self._rolled_to_ms:
            return
        hours = self._raw.since(self._rolled_to_ms).until(to_ms)
        minutes = merge_windows([self._minutes, roll_up(hours).mean])
        self._minutes, self._rolled_to_ms = minutes.since(now_ms - BASELINE_S * 1000 - HOUR_MS), to_ms
