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
from tests.unit.builders import AT, AT_MS, DISK, a_batch, a_window
from tests.unit.fakes import FakeTable, aws_error

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
