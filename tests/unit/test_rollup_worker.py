"""The worker that rolls hours up: once each, whatever comes late, ends early, or runs twice."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from iops import items
from iops.clock import to_epoch_ms
from iops.errors import TableUnavailable
from iops.items import Item
from iops.observability import Metrics
from iops.rollup import HOUR_MS
from iops.telemetry import Window
from services.insights.rollup import Rollups
from services.insights.windows import Windows
from tests.unit.builders import AT, AT_MS, DISK, a_batch, a_window, clock_at
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.virtual_time import cancelled, in_virtual_time, until

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class Scene:
    """A table, a clock to turn, and any number of replicas."""

    def __init__(self) -> None:
        self.fake, self.metrics, self.now = FakeTable(), Metrics(), AT + 6 * MINUTE
        self.worker = self.replica()

    def replica(self, salt: bytes = b"a", metrics: Metrics | None = None) -> Rollups:
        clock: Callable[[], datetime] = lambda: self.now  # noqa: E731
        return Rollups(self.fake.table(), clock, metrics or self.metrics, salt=salt)

    def store(self, window: Window, stream_id: str = DISK) -> None:
        for start in range(0, len(window), 600):
            self.fake.add(*items.chunk_items(stream_id, window.cut(start, start + 600)))

    def store_hours(self, *hours_ago: int, **fields: Any) -> None:
        """A sample a minute in the hours that ended so many hours before 02:00."""
        for ago in hours_ago:
            self.store(a_window(60, end=AT - ago * HOUR - MINUTE, interval_s=60.0, **fields))

    async def add_stream(self, stream_id: str) -> None:
        await self.fake.table().update(items.stream_seen_update(a_batch(stream_id), now_ms=AT_MS))

    async def tell_late(self, since: datetime) -> None:
        """As a scorer does that is told of samples since then."""
        await Windows(self.fake.table(), lambda: self.now, Metrics(), limit=10).load(DISK, since_ms=to_epoch_ms(since))

    def row(self, *, hours_ago: int = 0) -> Item:
        """The rollup of the hour that ended so many hours before 02:00."""
        return self.fake.rows[(DISK, f"rollup#{AT_MS - (hours_ago + 1) * HOUR_MS:013d}")]

    def hours_ago(self) -> list[int]:
        """The hours that have a rollup."""
        return sorted((AT_MS - items.rollup_hour_ms(row)) // HOUR_MS - 1 for row in self.fake.of_type("rollup"))


async def test_an_hour_that_is_over_is_rolled_up() -> None:
    scene = Scene()
    scene.store_hours(0, read_await_ms=3.0)

    assert await scene.worker.roll_stream(DISK) == 1

    rows = items.item_to_rollup(scene.row())
    assert len(rows) == 60
    assert set(rows.mean["read_await_ms"]) == {3.0}
    assert scene.row()["samples"] == {"N": "60"}
    assert scene.row()["ttl"] == {"N": str(AT_MS // 1000 + 90 * 24 * 3600)}


async def test_an_hour_waits_for_late_batches_before_it_is_rolled_up() -> None:
    scene = Scene()
    scene.store_hours(0)
    scene.now = AT + timedelta(minutes=4, seconds=59)
    assert await scene.worker.roll_stream(DISK) == 0

    scene.now = AT + 5 * MINUTE
    assert await scene.worker.roll_stream(DISK) == 1


async def test_a_rollup_is_made_once() -> None:
    scene = Scene()
    scene.store_hours(0)
    await scene.worker.roll_stream(DISK)
    scene.fake.calls.clear()

    assert await scene.worker.roll_stream(DISK) == 0
    assert scene.fake.calls == ["Query"] * 2


async def test_after_an_outage_every_hour_that_has_chunks_is_rolled_up() -> None:
    scene = Scene()
    scene.fake.page_limit = 7
    scene.store_hours(0, 1, 5, 100, 166, 200)

    assert await scene.worker.roll_stream(DISK) == 5

    assert scene.hours_ago() == [0, 1, 5, 100, 166]


async def test_a_crash_half_way_costs_nothing_but_the_hour_it_was_at() -> None:
    scene = Scene()
    scene.store_hours(0, 1, 2, 3)
    update = scene.fake.update_item
    done: list[Item] = []

    async def crash_at_the_third(**request: Any) -> Item:
        if len(done) == 2:
            raise aws_error("InternalServerError", status=500)
        done.append(request)
        return await update(**request)

    scene.fake.update_item = crash_at_the_third  # type: ignore[method-assign]
    with pytest.raises(TableUnavailable):
        await scene.worker.roll_stream(DISK)
    assert scene.hours_ago() == [2, 3], "the oldest first, so that the newest says how far it came"

    scene.fake.update_item = update  # type: ignore[method-assign]
    assert await scene.worker.roll_stream(DISK) == 2
    assert scene.hours_ago() == [0, 1, 2, 3]


async def test_the_same_chunks_make_the_same_row() -> None:
    scene = Scene()
    scene.store_hours(0)
    await scene.worker.roll_stream(DISK)
    before = scene.fake.rows.pop((DISK, f"rollup#{AT_MS - HOUR_MS:013d}"))

    await scene.replica(b"b", Metrics()).roll_stream(DISK)

    assert scene.row() == before


async def test_two_replicas_at_once_leave_one_whole_row_an_hour() -> None:
    scene = Scene()
    scene.store_hours(0, 1, 2)

    await asyncio.gather(scene.worker.roll_stream(DISK), scene.replica(b"b", Metrics()).roll_stream(DISK))

    assert scene.hours_ago() == [0, 1, 2]
    assert {row["samples"]["N"] for row in scene.fake.of_type("rollup")} == {"60"}


async def test_samples_that_came_late_are_rolled_up_by_the_next_visit() -> None:
    scene = Scene()
    scene.store_hours(0, 1, 3)
    await scene.worker.roll_stream(DISK)
    scene.store_hours(2)
    scene.store(a_window(60, end=AT - 3 * HOUR - timedelta(seconds=90), interval_s=60.0))  # between those of hour 3

    await scene.tell_late(AT - 4 * HOUR)
    scene.now += 3 * MINUTE
    await scene.worker.roll_stream(DISK)

    assert scene.hours_ago() == [0, 1, 2, 3]
    assert scene.row(hours_ago=3)["samples"] == {"N": "119"}
    assert scene.fake.of_type("late") == []


async def test_a_mark_set_during_a_visit_is_for_the_next() -> None:
    scene = Scene()
    scene.store_hours(0)
    await scene.worker.roll_stream(DISK)

    await scene.tell_late(AT - HOUR)
    assert await scene.worker.roll_stream(DISK) == 0
    assert len(scene.fake.of_type("late")) == 1

    scene.now += 3 * MINUTE
    assert await scene.worker.roll_stream(DISK) == 1
    assert scene.fake.of_type("late") == []


async def test_a_mark_outlives_a_visit_that_fails() -> None:
    scene = Scene()
    scene.store_hours(0)
    await scene.worker.roll_stream(DISK)
    await scene.tell_late(AT - HOUR)
    scene.now += 3 * MINUTE
    scene.fake.failures["UpdateItem"].append(aws_error("ThrottlingException"))

    with pytest.raises(TableUnavailable):
        await scene.worker.roll_stream(DISK)

    assert len(scene.fake.of_type("late")) == 1


async def test_samples_in_time_leave_no_mark() -> None:
    scene = Scene()
    scene.now = AT + 4 * MINUTE
    await scene.tell_late(AT - MINUTE)
    scene.now = AT + 30 * MINUTE
    await scene.tell_late(AT)

    assert scene.fake.of_type("late") == []


async def test_chunks_that_have_expired_take_nothing_from_a_rollup() -> None:
    scene = Scene()
    scene.store_hours(0)
    await scene.worker.roll_stream(DISK)
    before = scene.row()
    for row in scene.fake.of_type("chunk"):
        del scene.fake.rows[(DISK, row["entity_type"]["S"])]
    scene.store(a_window(9, end=AT - 30 * MINUTE))
    await scene.tell_late(AT - HOUR)
    scene.now += 3 * MINUTE

    assert await scene.worker.roll_stream(DISK) == 0
    assert scene.row() == before
    assert b'iops_rollups_total{outcome="fuller_kept"} 1.0' in scene.metrics.expose()


async def test_a_damaged_chunk_is_left_out_and_counted() -> None:
    scene = Scene()
    scene.store_hours(0, 1)
    (row,) = items.chunk_items(DISK, a_window(1, end=AT - 30 * MINUTE))
    scene.fake.add(row | {"data": {"B": b"\x01nonsense"}})

    assert await scene.worker.roll_stream(DISK) == 2
    assert scene.row()["samples"] == {"N": "60"}
    assert b"iops_rollup_damaged_chunks_total 1.0" in scene.metrics.expose()


async def test_a_stream_that_is_gone_for_good_costs_three_small_reads() -> None:
    scene = Scene()
    scene.store_hours(0)
    await scene.worker.roll_stream(DISK)
    for days in (3, 300):
        scene.now = AT + timedelta(days=days)
        scene.fake.calls.clear()
        assert await scene.worker.roll_stream(DISK) == 0
        assert scene.fake.calls == ["Query"] * 3


async def run_until(condition: Callable[[], bool], worker: Rollups) -> None:
    """For visits that work in a thread, which the virtual clock does not wait for."""
    running = asyncio.create_task(worker.run())
    await until(condition, within_s=50_000)
    await cancelled(running)


async def run_for(seconds: float, worker: Rollups) -> None:
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(seconds)
    assert not running.done(), "the worker has died"
    await cancelled(running)


@in_virtual_time
async def test_every_stream_is_visited_page_after_page() -> None:
    scene = Scene()
    scene.fake.page_limit = 3
    names = [f"web-{number}:sda" for number in range(8)]
    for name in names:
        await scene.add_stream(name)
        scene.store(a_window(1, end=AT - MINUTE), name)

    await run_until(lambda: len(scene.fake.of_type("rollup")) == 8, scene.worker)

    assert sorted(row["entity_id"]["S"] for row in scene.fake.of_type("rollup")) == names


class Visits(Rollups):
    """Notes when it visits which stream, and does nothing there."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self.seen: list[tuple[float, str]] = []
        self.failure: Exception | None = None
        self._began_at = asyncio.get_running_loop().time()

    async def roll_stream(self, stream_id: str) -> int:
        self.seen.append((round(asyncio.get_running_loop().time() - self._began_at), stream_id))
        if self.failure:
            raise self.failure
        return 0


async def visits_of(salt: bytes, *, hours: int, failure: Exception | None = None) -> list[tuple[float, str]]:
    scene = Scene()
    for number in range(10):
        await scene.add_stream(f"web-{number}:sda")
    worker = Visits(scene.fake.table(), clock_at(), Metrics(), salt=salt)
    worker.failure = failure
    await run_for(300 + 3_600 * hours - 60, worker)
    return worker.seen


@in_virtual_time
async def test_visits_are_spread_over_the_pass_and_a_streams_turn_comes_hourly() -> None:
    seen = await visits_of(b"a", hours=2)

    assert [at for at, _ in seen[:10]] == pytest.approx([30 * n for n in range(10)], abs=2)
    assert [at for at, _ in seen[10:20]] == pytest.approx([300 + 360 * n for n in range(10)], abs=2)
    names = [name for _, name in seen]
    assert len(set(names[:10])) == 10
    assert names[:10] == names[10:20] == names[20:30]


@in_virtual_time
async def test_replicas_go_round_in_orders_of_their_own() -> None:
    one, other = await visits_of(b"a", hours=1), await visits_of(b"b", hours=1)

    assert [name for _, name in one] != [name for _, name in other]


@pytest.mark.parametrize("failure", [TableUnavailable("away"), ZeroDivisionError(), aws_error("AccessDenied")])
def test_a_visit_that_fails_keeps_nobody_from_his(failure: Exception) -> None:
    @in_virtual_time
    async def scenario() -> None:
        assert len({name for _, name in await visits_of(b"a", hours=1, failure=failure)}) == 10

    scenario()


@in_virtual_time
async def test_a_table_that_is_away_is_asked_again_until_it_lists_the_streams() -> None:
    scene = Scene()
    await scene.add_stream(DISK)
    scene.store_hours(0)
    scene.fake.is_away = True
    asyncio.get_running_loop().call_later(120, setattr, scene.fake, "is_away", False)

    await run_until(lambda: scene.hours_ago() == [0], scene.worker)


@in_virtual_time
async def test_the_lag_says_how_long_an_hour_has_waited() -> None:
    scene = Scene()
    await scene.add_stream(DISK)
    scene.store_hours(4, 7)

    await run_until(lambda: b"iops_rollup_lag_hours 8.0" in scene.metrics.expose(), scene.worker)
