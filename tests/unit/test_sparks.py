"""The last hour of a stream: read once, then only what is newer, and never waited for by a page."""

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from iops import items
from iops.items import Item
from iops.telemetry import Window
from services.insights import sparks
from services.insights.sparks import Sparks, make_spark
from tests.unit.builders import AT, AT_MS, DISK, a_window
from tests.unit.fakes import FakeTable

MINUTE = timedelta(minutes=1)


class Scene:
    """Sparks of one disk at a time that goes on."""

    def __init__(self, window: Window | None = None) -> None:
        self.fake = FakeTable()
        self.now = AT
        self.sparks = Sparks(self.fake.table(), lambda: self.now, peek=lambda _: window)

    def store(self, window: Window) -> None:
        rows: list[Item] = items.chunk_items(DISK, window)
        self.fake.add(*rows)

    async def minutes(self, *, wait_s: float = 1) -> Any:
        spark = (await self.sparks.of([DISK], wait_s=wait_s))[DISK]
        return None if spark is None else list(spark.await_ms)


def test_a_minute_has_the_mean_await_and_a_gap_is_none() -> None:
    window = a_window(120, end=AT - 10 * MINUTE, read_await_ms=2.0)
    spark = make_spark(window, now_ms=AT_MS)

    assert spark is not None
    assert [value for value in spark.await_ms if value is not None] == [2.0, 2.0]
    assert spark.await_ms[-10:] == (None,) * 10
    assert (spark.latest.iops, spark.latest.await_ms) == (200.0, 2.0)


async def test_what_is_stored_is_read_once_and_then_only_what_is_newer() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT - 2 * MINUTE, read_await_ms=2.0))
    before = await scene.minutes()
    scene.fake.calls.clear()
    assert await scene.minutes() == before
    assert not scene.fake.calls, "twenty seconds have not passed"

    scene.now += MINUTE
    scene.store(a_window(60, end=AT, read_await_ms=5.0))
    after = await scene.minutes()

    assert [value for value in after if value is not None] == [2.0, 5.0]
    assert scene.fake.calls == ["Query"]


async def test_time_moves_the_minutes_to_the_left_and_out() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT, read_await_ms=2.0))
    before = await scene.minutes()
    scene.now += 3 * MINUTE
    assert await scene.minutes() == [*before[3:], None, None, None]
    scene.now += timedelta(hours=1)
    assert await scene.minutes() is None


async def test_the_window_of_a_stream_that_is_scored_here_costs_no_read() -> None:
    scene = Scene(a_window(60, end=AT, read_await_ms=3.0))

    assert [value for value in await scene.minutes() if value is not None] == [3.0]
    assert not scene.fake.calls


async def test_a_page_does_not_wait_for_a_slow_table() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT))
    slow, query = asyncio.Event(), scene.fake.query

    async def wait(**request: Any) -> Any:
        await slow.wait()
        return await query(**request)

    scene.fake.query = wait  # type: ignore[method-assign]
    assert await scene.sparks.of([DISK], wait_s=0.01) == {}

    slow.set()
    assert await scene.minutes() is not None


async def test_a_table_that_is_away_leaves_what_is_known() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT, read_await_ms=2.0))
    before = await scene.minutes()
    scene.fake.is_away = True
    scene.now += timedelta(seconds=30)

    assert await scene.minutes(wait_s=10) == before


async def test_a_damaged_chunk_hides_no_other() -> None:
    scene = Scene()
    scene.store(a_window(60, end=AT - MINUTE, read_await_ms=2.0))
    scene.store(a_window(60, end=AT - 5 * MINUTE))
    newest = max(scene.fake.rows)
    scene.fake.rows[newest] |= {"data": {"B": b"\x02broken"}}

    assert [value for value in await scene.minutes() if value is not None] == [1.0]


async def test_streams_are_decoded_one_at_a_time_so_that_the_loop_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, busy, most = Scene(), 0, 0

    def decode(*_: object) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        time.sleep(0.005)
        busy -= 1

    monkeypatch.setattr(sparks, "_joined", decode)

    await scene.sparks.of([f"web-{host}:sda" for host in range(8)], wait_s=5)

    assert most == 1


async def test_what_waits_to_be_decoded_is_bounded_however_many_pages_are_turned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene, may_decode = Scene(), threading.Event()
    monkeypatch.setattr(sparks, "_joined", lambda *_: may_decode.wait(5) and None)

    await scene.sparks.of([f"web-{host}:sda" for host in range(100)], wait_s=0.1)
    read = len(scene.fake.calls)
    may_decode.set()
    found = await scene.sparks.of([f"web-{host}:sda" for host in range(100)], wait_s=5)

    assert (read, len(found)) == (sparks.READS_AT_ONCE, 100)
