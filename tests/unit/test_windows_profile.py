"""What the windows' keeper remembers for the model: made each hour, kept in the table, damaged by nobody."""

from datetime import timedelta

import numpy as np
import pytest

from iops import items, profile
from iops.clock import to_epoch_ms
from iops.errors import TableUnavailable
from iops.items import Item
from iops.observability import Metrics
from iops.profile import Profile, renewed
from services.insights.windows import Past, Windows
from tests.unit.builders import AT, AT_MS, DISK, a_baseline, a_window
from tests.unit.fakes import FakeTable

MINUTE = AT_MS // 60_000
TODAY = MINUTE // 1_440
AN_HOUR = timedelta(hours=1)


class Scene:
    """A stream with four hours of history, and a keeper of windows."""

    def __init__(self) -> None:
        self.fake, self.now, self.metrics = FakeTable(), AT, Metrics()
        self.fake.add(*items.chunk_items(DISK, a_window(240, end=AT, interval_s=60.0)))
        self.windows = self.restarted()

    def restarted(self) -> Windows:
        """Another process over the same table."""
        self.metrics = Metrics()
        self.windows = Windows(self.fake.table(), lambda: self.now, self.metrics, limit=10)
        return self.windows

    async def load(self, *, since_ms: int | None = None) -> Past:
        return await self.windows.load(DISK, since_ms=to_epoch_ms(self.now) if since_ms is None else since_ms)

    async def profile(self, *, since_ms: int | None = None) -> Profile:
        found = (await self.load(since_ms=since_ms)).profile
        assert found is not None
        return found

    def later(self, by: timedelta) -> None:
        """The clock turns, and a minute is stored at its end."""
        self.now += by
        self.fake.add(*items.chunk_items(DISK, a_window(1, end=self.now, interval_s=60.0)))

    def row(self) -> Item:
        (row,) = self.fake.of_type("baseline")
        return row

    def store(self, remembered: Profile | bytes | None) -> None:
        """The row as another process left it a minute ago."""
        data = profile.encode(remembered) if isinstance(remembered, Profile) else remembered
        self.fake.add(items.baseline_item(DISK, a_baseline(), data))


def a_week_old_profile() -> Profile:
    """Of seven days, the last of them today, with a level."""
    made: Profile | None = None
    for day in range(7):
        minutes = np.full((100, 10), float(day))
        made = renewed(made, minutes, minute=(TODAY - 6 + day) * 1_440, page_scores=[2.0] * 60)
    assert made is not None
    return made


async def test_a_stream_that_is_seen_first_has_a_profile_of_its_past() -> None:
    scene = Scene()
    made = await scene.profile()
    assert made.day[1].tolist() == [200.0] * 11  # reads of 200 a second, at every level
    assert (list(made.midnights), made.own_level) == ([TODAY], None)


async def test_a_stream_without_samples_has_none() -> None:
    scene = Scene()
    assert (await scene.windows.load("web-9:sda", since_ms=AT_MS)).profile is None


async def test_scores_are_in_the_row_within_the_hour() -> None:
    scene = Scene()
    await scene.load()
    for minute in range(30):
        scene.windows.note_score(DISK, minute=MINUTE + minute, page_score=9.0)
        scene.windows.note_score(DISK, minute=MINUTE + minute, page_score=1.0)  # the whole minute, the last that counts
    scene.later(AN_HOUR)

    made = await scene.profile()

    assert made.levels == {TODAY: {4: 30}}
    stored = items.item_to_profile(scene.row())
    assert stored is not None
    assert profile.decode(stored, key=DISK).levels == {TODAY: {4: 30}}


async def test_a_score_counts_once() -> None:
    scene = Scene()
    await scene.load()
    scene.windows.note_score(DISK, minute=MINUTE, page_score=1.0)
    for _ in range(3):
        scene.later(AN_HOUR)
        await scene.load()
    assert (await scene.profile()).levels == {TODAY: {4: 1}}


async def test_a_score_of_a_stream_that_nobody_knows_is_forgotten() -> None:
    Scene().windows.note_score("web-9:sda", minute=MINUTE, page_score=1.0)


async def test_a_restart_reads_the_profile_back() -> None:
    scene = Scene()
    scene.store(a_week_old_profile())

    found = await scene.profile()

    assert found.own_level == 2.0
    assert [float(table[0, 0]) for table in found.midnights.values()] == [0, 1, 2, 3, 4, 5, 6]
    assert "PutItem" not in scene.fake.calls


@pytest.mark.parametrize("hours", [2, 30])
async def test_late_samples_after_a_restart_cost_the_stream_nothing_that_it_remembers(hours: int) -> None:
    scene = Scene()
    scene.store(a_week_old_profile())

    found = await scene.profile(since_ms=AT_MS - hours * 3_600_000)

    assert found.own_level == 2.0
    assert len(found.midnights) == 7
    assert found.day[1].tolist() == [200.0] * 11, "the day is made anew"


async def test_a_row_of_an_earlier_program_gets_its_profile_at_once() -> None:
    scene = Scene()
    scene.store(None)
    assert (await scene.profile()).day[1, 0] == 200.0
    assert items.item_to_profile(scene.row()) is not None


@pytest.mark.parametrize("data", [b"", b"\x01nonsense", b"\x07"])
async def test_a_damaged_profile_is_counted_left_out_and_made_anew(data: bytes) -> None:
    scene = Scene()
    scene.store(data)

    found = await scene.profile()

    assert (found.day[1, 0], found.own_level) == (200.0, None)
    assert b"iops_damaged_chunks_total 1.0" in scene.metrics.expose()
    again = scene.restarted()
    await again.load(DISK, since_ms=AT_MS)
    assert b"iops_damaged_chunks_total 0.0" in scene.metrics.expose(), "the row is whole again"


async def test_scores_outlive_a_table_that_cannot_be_read() -> None:
    scene = Scene()
    await scene.load()
    scene.windows.note_score(DISK, minute=MINUTE, page_score=1.0)
    scene.later(AN_HOUR)
    scene.fake.is_away = True
    with pytest.raises(TableUnavailable):
        await scene.load()
    scene.fake.is_away = False

    assert (await scene.profile()).levels == {TODAY: {4: 1}}


async def test_the_scores_of_two_replicas_add_up() -> None:
    scene = Scene()
    first = scene.windows
    await scene.load()
    second = scene.restarted()
    await scene.load()
    for keeper, places in ((first, range(30)), (second, range(30, 50))):
        for place in places:
            keeper.note_score(DISK, minute=MINUTE + place, page_score=1.0)
    scene.later(AN_HOUR)

    for keeper in (first, second):
        await keeper.load(DISK, since_ms=to_epoch_ms(scene.now))
        scene.now += timedelta(seconds=1)

    stored = items.item_to_profile(scene.row())
    assert stored is not None
    assert profile.decode(stored, key=DISK).levels == {TODAY: {4: 50}}
