"""Rows of the table in memory: as new as the last look, and never wrong about what is there."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from iops import items
from iops.alert import Alert, AlertState
from iops.errors import TableUnavailable
from services.insights.mirror import CHANGES_KEPT, Kind, Mirror
from tests.unit.builders import AT, an_alert
from tests.unit.fakes import FakeTable

ALERTS: Kind[Alert] = Kind(
    "alert",
    items.item_to_alert,
    prefix="alert#",
    where=items.open_alerts_where(),
    keep=lambda alert: alert.is_active,
)


class Scene:
    """A mirror of open alerts beside a table whose rows are written at a time."""

    def __init__(self) -> None:
        self.fake = FakeTable()
        self.now = AT
        self.mirror = Mirror(self.fake.table(), ALERTS, lambda: self.now)

    def write(self, stream_id: str, *, at: datetime | None = None, **fields: Any) -> str:
        alert = an_alert(stream_id, updated_at=at or self.now, **fields)
        self.fake.add(items.alert_put(alert)["Item"])
        return alert.alert_id

    async def look(self, *, after: timedelta = timedelta(seconds=2)) -> list[str] | None:
        version = self.mirror.version
        self.now += after
        await self.mirror.look_once()
        return self.mirror.changed_since(version)


async def test_the_first_look_reads_what_is_there_and_not_what_is_over() -> None:
    scene = Scene()
    one = scene.write("web-1:sda", at=AT - timedelta(days=30))
    scene.write("web-2:sda", state=AlertState.RESOLVED, resolved_at=AT)

    assert await scene.look() == [one]
    assert set(scene.mirror.rows) == {one}


async def test_a_look_says_what_changed_since_the_one_before() -> None:
    scene = Scene()
    one, two = scene.write("web-1:sda"), scene.write("web-2:sda")
    await scene.look()
    assert await scene.look() == []

    scene.write("web-2:sda", risk_score=99)

    assert await scene.look() == [two]
    assert (scene.mirror.rows[two].risk_score, scene.mirror.rows[one].risk_score != 99) == (99, True)


async def test_what_is_over_leaves() -> None:
    scene = Scene()
    one = scene.write("web-1:sda")
    await scene.look()
    scene.write("web-1:sda", state=AlertState.RESOLVED, resolved_at=AT)

    assert await scene.look() == [one]
    assert not scene.mirror.rows


async def test_a_row_of_a_clock_some_seconds_behind_is_seen_at_once_and_of_a_slower_one_within_ten_minutes() -> None:
    scene = Scene()
    scene.write("web-1:sda")
    await scene.look()
    late = scene.write("web-2:sda", at=scene.now - timedelta(seconds=8))
    assert await scene.look() == [late]

    slow = scene.write("web-3:sda", at=scene.now - timedelta(minutes=5))
    assert await scene.look() == []
    assert await scene.look(after=timedelta(minutes=10)) == [slow]


async def test_a_row_of_the_future_hides_nothing_of_the_present() -> None:
    scene = Scene()
    scene.write("web-1:sda")
    await scene.look()
    scene.write("web-9:sda", at=scene.now + timedelta(hours=1))
    await scene.look()

    now = scene.write("web-2:sda")
    assert await scene.look() == [now]


async def test_what_was_deleted_is_gone_after_ten_minutes() -> None:
    scene = Scene()
    scene.write("web-1:sda")
    await scene.look()
    scene.fake.rows.clear()

    await scene.look(after=timedelta(minutes=10))
    assert not scene.mirror.rows


async def test_a_table_that_is_away_takes_nothing_out_of_memory() -> None:
    scene = Scene()
    one = scene.write("web-1:sda")
    await scene.look()
    read_at = scene.mirror.read_at
    scene.fake.is_away = True

    with pytest.raises(TableUnavailable):
        await scene.look()
    assert (set(scene.mirror.rows), scene.mirror.read_at) == ({one}, read_at)


async def test_a_damaged_row_hides_no_other() -> None:
    scene = Scene()
    one, two = scene.write("web-1:sda"), scene.write("web-2:sda")
    scene.fake.rows[f"alert#{one}", "alert"]["doc"] = {"S": "{"}

    await scene.look()
    assert set(scene.mirror.rows) == {two}


async def test_more_changes_than_are_remembered_are_only_said_to_be_many(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    for number in range(CHANGES_KEPT + 1):
        scene.mirror._note([f"{number}"])

    assert scene.mirror.changed_since(0) is None
    assert scene.mirror.changed_since(scene.mirror.version - 2) == [f"{CHANGES_KEPT}", f"{CHANGES_KEPT - 1}"]
