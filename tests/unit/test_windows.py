"""The windows a scorer has seen: complete, and read no more than needed."""

from array import array
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from iops import items
from iops.baseline import Baseline
from iops.clock import to_epoch_ms
from iops.observability import Metrics
from iops.telemetry import Window
from services.insights.rollup import Rollups
from services.insights.windows import Past, Windows
from tests.unit.builders import AT, AT_MS, DISK, a_window
from tests.unit.fakes import FakeTable

HOUR_MS = 3_600_000
SECOND = timedelta(seconds=1)


class Scene:
    """A store of windows before a table, and a clock to turn."""

    def __init__(self, *, limit: int = 100) -> None:
        self.fake, self.now, self.metrics = FakeTable(), AT, Metrics()
        clock: Callable[[], datetime] = lambda: self.now  # noqa: E731
        self.windows = Windows(self.fake.table(), clock, self.metrics, limit=limit)

    def store(self, window: Window, stream_id: str = DISK) -> None:
        for start in range(0, len(window), 600):
            self.fake.add(*items.chunk_items(stream_id, window.cut(start, start + 600)))

    def metrics_again(self) -> Metrics:
        """New numbers, for a new store of windows."""
        self.metrics = Metrics()
        return self.metrics

    async def roll_up(self) -> None:
        """As the worker does once an hour."""
        worker = Rollups(self.fake.table(), lambda: self.now, Metrics(), salt=b"s")
        await worker.roll_stream(DISK)

    async def load(self, *, since: datetime | None = None, stream_id: str = DISK) -> Window:
        return (await self._both(since, stream_id)).window

    async def baseline(self, *, since: datetime | None = None) -> Baseline | None:
        return (await self._both(since, DISK)).baseline

    async def _both(self, since: datetime | None, stream_id: str) -> Past:
        return await self.windows.load(stream_id, since_ms=to_epoch_ms(since or self.now))

    def later(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


async def test_a_stream_without_samples_has_an_empty_window() -> None:
    assert len(await Scene().load()) == 0


async def test_a_cold_window_holds_the_last_hour_and_no_more() -> None:
    scene = Scene()
    scene.store(a_window(7_201, end=AT))

    window = await scene.load()

    assert (window.at_ms[0], window.at_ms[-1], len(window)) == (AT_MS - HOUR_MS, AT_MS, 3_601)


async def test_a_warm_window_grows_by_what_is_new_and_drops_what_is_old() -> None:
    scene = Scene()
    scene.store(a_window(3_600, end=AT))
    await scene.load()
    begin = scene.later(seconds=60)
    scene.store(a_window(60, end=begin, read_iops=7.0))

    window = await scene.load(since=begin - 59 * SECOND)

    assert (window.at_ms[0], window.at_ms[-1]) == (AT_MS - HOUR_MS + 60_000, AT_MS + 60_000)
    assert window["read_iops"][-1] == 7.0


async def test_a_warm_window_reads_only_what_is_newer() -> None:
    scene = Scene()
    scene.store(a_window(3_600, end=AT))
    await scene.load()
    scene.fake.calls.clear()

    for _ in range(5):
        scene.store(a_window(10, end=scene.later(seconds=10)))
        await scene.load(since=scene.now - 9 * SECOND)

    assert scene.fake.calls == ["Query"] * 5


async def test_samples_that_come_late_are_found() -> None:
    scene = Scene()
    whole = a_window(600, end=AT)
    for part in (whole.cut(0, 200), whole.cut(400, 600)):
        scene.store(part)
    await scene.load()
    late = whole.cut(200, 400)
    scene.store(late)

    window = await scene.load(since=AT - 399 * SECOND)

    assert list(window.at_ms) == list(whole.at_ms)


async def test_chunks_that_overlap_leave_one_sample_for_an_instant() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT))
    scene.store(a_window(90, end=AT))

    window = await scene.load()

    assert list(window.at_ms) == sorted(set(window.at_ms))
    assert len(window) == 90


async def test_a_stream_that_was_silent_for_hours_is_seen_again() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT))
    await scene.load()
    scene.store(a_window(60, end=scene.later(hours=5)))

    window = await scene.load(since=scene.now - 59 * SECOND)

    assert (len(window), window.at_ms[-1]) == (60, AT_MS + 5 * HOUR_MS)


async def test_a_damaged_chunk_is_left_out_counted_and_hides_no_other() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT - 60 * SECOND))
    (row,) = items.chunk_items(DISK, a_window(30, end=AT - SECOND))
    scene.fake.add(row | {"data": {"B": row["data"]["B"][:-3]}})

    window = await scene.load()

    assert (len(window), window.at_ms[-1]) == (60, AT_MS - 60_000)
    assert b"iops_damaged_chunks_total 0.0" not in scene.metrics.expose()


async def test_the_least_recently_used_window_goes_first() -> None:
    scene = Scene(limit=2)
    for name in ("a", "b", "c"):
        scene.store(a_window(60, end=AT), name)
    for name in ("a", "b", "a", "c"):
        await scene.load(stream_id=name)
    scene.fake.calls.clear()

    await scene.load(stream_id="a")
    assert scene.fake.calls == ["Query"], "a is warm"
    await scene.load(stream_id="b")
    assert len(scene.fake.calls) > 2, "b is cold"


async def test_a_baseline_is_made_once_an_hour_and_kept_in_the_table() -> None:
    scene = Scene()
    scene.store(a_window(3_600, end=AT))
    made = await scene.baseline()
    assert made is not None
    assert made.await_ms is not None
    assert made.await_ms.p50 == pytest.approx(1.0)
    assert items.item_to_baseline(scene.fake.of_type("baseline")[0]) == made

    scene.store(a_window(60, end=scene.later(minutes=59)))
    assert await scene.baseline() == made
    scene.store(a_window(60, end=scene.later(minutes=2)))
    made_anew = await scene.baseline()
    assert made_anew is not None
    assert made_anew.made_at_ms == to_epoch_ms(scene.now)


async def test_late_samples_of_a_full_day_wait_five_minutes_for_more() -> None:
    scene = Scene()
    scene.store(a_window(1_440, interval_s=60.0, end=AT))
    made = await scene.baseline()
    late = AT - timedelta(hours=3)

    scene.later(minutes=4)
    assert await scene.baseline(since=late) == made
    scene.later(minutes=2)
    made_anew = await scene.baseline()
    assert made_anew is not None
    assert made_anew.made_at_ms == to_epoch_ms(scene.now)
    scene.later(minutes=6)
    assert await scene.baseline() == made_anew, "nothing came late since"


async def test_another_program_uses_the_baseline_of_the_table() -> None:
    scene = Scene()
    scene.store(a_window(3_600, end=AT))
    made = await scene.baseline()
    heir = Scene()
    heir.fake = scene.fake
    heir.windows = Windows(heir.fake.table(), lambda: AT, Metrics(), limit=10)
    scene.fake.calls.clear()

    assert await heir.baseline() == made
    assert "PutItem" not in scene.fake.calls


async def test_a_past_that_arrives_afterwards_becomes_part_of_what_is_usual() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT))
    first = await scene.baseline()
    assert first is not None
    assert first.minutes <= 2
    scene.store(a_window(600, end=AT - timedelta(hours=2), interval_s=60.0, read_await_ms=3.0))

    second = await scene.baseline(since=AT - timedelta(hours=12))

    assert second is not None
    assert second.minutes > 500
    assert second.await_ms is not None
    assert second.await_ms.p50 == pytest.approx(3.0)


async def test_what_is_older_than_a_day_is_not_usual_any_more() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT - timedelta(hours=30), interval_s=60.0, read_await_ms=9.0))
    scene.store(a_window(60, end=AT))

    baseline = await scene.baseline()

    assert baseline is not None
    assert baseline.await_ms is not None
    assert baseline.await_ms.p99 == pytest.approx(1.0)


async def a_day(*, is_rolled_up: bool) -> tuple[Scene, Baseline | None]:
    """26 h of a sample in 30 s, slower and busier by the minute, and the baseline of it."""
    scene = Scene()
    scene.now = AT + timedelta(minutes=40)
    window = a_window(26 * 120, end=scene.now, interval_s=30.0)
    for name in ("read_iops", "read_await_ms", "queue_depth"):
        window.columns[name] = array("d", [1.0 + index for index in range(len(window))])
    scene.store(window)
    if is_rolled_up:
        await scene.roll_up()
    return scene, await scene.baseline()


async def test_a_baseline_of_rollups_is_that_of_the_samples() -> None:
    _, from_samples = await a_day(is_rolled_up=False)
    scene, from_rollups = await a_day(is_rolled_up=True)

    assert len(scene.fake.of_type("rollup")) >= 25
    assert from_rollups is not None
    assert from_samples is not None
    assert from_rollups.minutes == from_samples.minutes == 1_441
    for name in ("await_ms", "iops", "bytes_s", "queue_depth", "utilization_ratio", "request_bytes"):
        one, other = getattr(from_rollups, name), getattr(from_samples, name)
        assert [one.p10, one.p50, one.p90, one.p99] == pytest.approx([other.p10, other.p50, other.p90, other.p99], 1e-3)


async def test_hours_that_are_rolled_up_are_not_read_again_as_chunks() -> None:
    scene, _ = await a_day(is_rolled_up=True)
    for (stream_id, sort_key), row in list(scene.fake.rows.items()):
        if sort_key.startswith("chunk#") and items.chunk_hour_ms(row) < AT_MS:
            del scene.fake.rows[(stream_id, sort_key)]
    scene.fake.rows.pop((DISK, "baseline"))
    scene.windows = Windows(scene.fake.table(), lambda: scene.now, Metrics(), limit=10)

    baseline = await scene.baseline()

    assert baseline is not None
    assert baseline.minutes == 1_441


async def test_what_comes_late_is_usual_before_its_hour_is_rolled_up_again() -> None:
    scene = Scene()
    scene.now = AT + timedelta(minutes=10)
    scene.store(a_window(60, end=AT - timedelta(hours=3), interval_s=60.0))
    scene.store(a_window(60, end=AT, interval_s=60.0))
    await scene.roll_up()
    scene.store(a_window(60, end=AT - timedelta(hours=2, seconds=30), interval_s=60.0))

    baseline = await scene.baseline(since=AT - timedelta(hours=3))

    assert baseline is not None
    assert baseline.minutes == pytest.approx(180, abs=1)


async def test_a_damaged_rollup_is_left_out_and_counted() -> None:
    scene, _ = await a_day(is_rolled_up=True)
    row = scene.fake.of_type("rollup")[20]
    scene.fake.add(row | {"data": {"B": row["data"]["B"][:-3]}})
    scene.fake.rows.pop((DISK, "baseline"))
    scene.windows = Windows(scene.fake.table(), lambda: scene.now, scene.metrics_again(), limit=10)

    baseline = await scene.baseline()

    assert baseline is not None
    assert baseline.minutes == 1_441 - 60
    assert b"iops_damaged_chunks_total 1.0" in scene.metrics.expose()
