"""When a worker visits which stream, and what keeps it from it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from iops.errors import TableUnavailable
from iops.observability import Metrics
from services.insights.rollup import Rollups
from tests.unit.builders import AT, DISK, a_window, clock_at
from tests.unit.fakes import aws_error
from tests.unit.test_rollup_worker import MINUTE, Scene
from tests.unit.virtual_time import cancelled, in_virtual_time, until


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
