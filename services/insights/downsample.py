"""Fewer samples of a range without losing what matters in it."""

from iops.telemetry import Window


def worst_of_buckets(window: Window, *, from_ms: int, to_ms: int, buckets: int) -> list[int]:
    """Indices of at most `buckets` samples, in order: all of them, or of each of as many equal parts of the range the
    one with the highest await (the deepest queue where nothing completed)."""
    if len(window) <= buckets:
        return list(range(len(window)))
    width_ms = (to_ms - from_ms + 1) / buckets
    worst: dict[int, int] = {}
    for index, at_ms in enumerate(window.at_ms):
        bucket = int((at_ms - from_ms) / width_ms)
        if bucket not in worst or _badness(window, index) > _badness(window, worst[bucket]):
            worst[bucket] = index
    return sorted(worst.values())


def _badness(window: Window, index: int) -> tuple[float, float]:
    awaits = [value for value in (window["read_await_ms"][index], window["write_await_ms"][index]) if value == value]
    return max(awaits, default=0.0), window["queue_depth"][index]
