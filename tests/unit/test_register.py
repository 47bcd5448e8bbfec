"""A stream's first sight: its row and its place in its peer group, written as rarely as can be."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from iops import items
from iops.errors import TableUnavailable
from iops.telemetry import Batch
from services.ingest.register import Registry
from tests.unit.builders import AT, DISK, a_batch
from tests.unit.fakes import FakeTable, aws_error
from tests.unit.virtual_time import in_virtual_time


class Scene:
    """A registry before a table, and a clock to turn."""

    def __init__(self, *, limit: int = 100, wait_s: float = 5) -> None:
        self.fake, self.now = FakeTable(), AT
        self.registry = Registry(self.fake.table(), self._clock, limit=limit, wait_s=wait_s)

    def _clock(self) -> datetime:
        return self.now

    def another_program(self) -> None:
        """A registry that knows of nothing yet."""
        self.registry = Registry(self.fake.table(), self._clock, limit=100, wait_s=5)

    def members(self, group: str) -> list[str]:
        rows = [row for (entity, _), row in self.fake.rows.items() if entity == f"group#{group}"]
        return sorted(items.item_to_member(row) for row in rows)

    def written(self) -> int:
        return Counter(self.fake.calls)["UpdateItem"]


async def test_a_new_stream_has_a_row_and_is_a_member_of_its_group() -> None:
    scene = Scene()

    await scene.registry.ensure([a_batch(), a_batch("web-1:sda"), a_batch("vol-1", peer_group="san")])

    assert scene.members("web-1") == [DISK, "web-1:sda"]
    assert scene.members("san") == ["vol-1"]
    assert len(scene.fake.of_type("stream")) == 3


async def test_a_stream_that_is_known_costs_nothing_for_an_hour() -> None:
    scene = Scene()
    for minute in (0, 1, 59):
        scene.now = AT + timedelta(minutes=minute)
        await scene.registry.ensure([a_batch()])
    assert scene.written() == 1

    scene.now = AT + timedelta(minutes=60)
    await scene.registry.ensure([a_batch()])
    assert scene.written() == 2


@pytest.mark.parametrize("change", [{"labels": {"a": "b"}}, {"provisioned_iops": 100.0}, {"peer_group": "rack-7"}])
async def test_a_stream_that_changed_is_written_at_once(change: dict[str, Any]) -> None:
    scene = Scene()
    await scene.registry.ensure([a_batch()])

    await scene.registry.ensure([a_batch(**change)])

    assert scene.written() == 2


async def test_a_stream_that_moved_leaves_its_old_group() -> None:
    scene = Scene()
    await scene.registry.ensure([a_batch()])
    scene.another_program()

    await scene.registry.ensure([a_batch(peer_group="rack-7")])

    assert (scene.members("web-1"), scene.members("rack-7")) == ([], [DISK])


@pytest.mark.parametrize("call", ["UpdateItem", "PutItem"])
async def test_a_stream_whose_rows_were_not_written_is_tried_again(call: str) -> None:
    scene = Scene()
    scene.fake.failures[call].append(aws_error("ThrottlingException"))
    with pytest.raises(TableUnavailable):
        await scene.registry.ensure([a_batch()])

    await scene.registry.ensure([a_batch()])

    assert scene.members("web-1") == [DISK]


async def test_the_least_recently_seen_stream_is_forgotten_first() -> None:
    scene = Scene(limit=2)
    for name in ("a:1", "b:1", "a:1", "c:1", "a:1"):
        await scene.registry.ensure([a_batch(name)])
    assert scene.written() == 3

    await scene.registry.ensure([a_batch("b:1")])
    assert scene.written() == 4


async def test_a_fleet_that_appears_at_once_is_written_a_few_at_a_time() -> None:
    scene = Scene()
    under_way: list[int] = []
    now_under_way = 0
    update_item = scene.fake.update_item

    async def counting(**request: Any) -> Any:
        nonlocal now_under_way
        now_under_way += 1
        under_way.append(now_under_way)
        await asyncio.sleep(0)
        now_under_way -= 1
        return await update_item(**request)

    scene.fake.update_item = counting  # type: ignore[method-assign]
    batches: list[Batch] = [a_batch(f"web-{number}:sda") for number in range(100)]

    await scene.registry.ensure(batches)

    assert len(scene.fake.of_type("stream")) == 100
    assert max(under_way) <= 16


class HangingTable(FakeTable):
    """DynamoDB that does not answer."""

    async def update_item(self, **request: Any) -> items.Item:
        await asyncio.Event().wait()
        return await super().update_item(**request)


@in_virtual_time
async def test_a_table_too_slow_for_new_streams_is_told_after_the_wait() -> None:
    registry = Registry(HangingTable().table(), lambda: AT, limit=100, wait_s=8)

    with pytest.raises(TableUnavailable) as refused:
        await registry.ensure([a_batch(), a_batch("web-1:sda")])

    assert refused.value.retry_after_s == 2
