"""Chunks and rollups that are read together: the same numbers as each by itself, and what is damaged hides no other."""

from datetime import timedelta
from typing import Any

import msgpack
import pytest

from iops import chunk, columns, items, rollup
from iops.items import Item
from iops.rollup import merge_rollups, roll_up
from iops.telemetry import NAN, Window, merge_windows
from tests.unit.builders import AT, a_window
from tests.unit.test_chunk import PLAIN

DISK = "web-1:sda"
MINUTE = timedelta(minutes=1)
MADE_OF = {"interval_s", "read_iops", "read_await_ms"}


def a_part(minute: int, **changed: Any) -> Window:
    """Three samples that end in a minute, of which the second has no await and the third more of everything."""
    window = a_window(3, end=AT + (minute + 0.5) * MINUTE, **changed)
    window.columns["read_await_ms"][1] = NAN
    for name in ("read_iops", "read_bytes_s", "queue_depth"):
        window.columns[name][2] *= 3.5
    return window


def chunks(*parts: Window) -> list[Item]:
    return [row for part in parts for row in items.chunk_items(DISK, part)]


def rollups(*parts: Window) -> list[Item]:
    updates = [items.rollup_update(DISK, roll_up(part)) for part in parts]
    return [update["Key"] | {"data": update["ExpressionAttributeValues"][":data"]} for update in updates]


def damage(row: Item, column: int, delta: object) -> Item:
    """The same with another number second in a column, as only another program would write it."""
    version, instants, packed = columns.unpack(row["data"]["B"], version=chunk.VERSION, limit_bytes=100_000)
    packed[column][1] = delta
    return row | {"data": {"B": columns.pack(msgpack.packb([version, instants, packed]), version=chunk.VERSION)}}


PARTS = {
    "one after the other": (a_part(1), a_part(2, io_errors=1), a_part(3, read_bytes_s=7.0)),
    "of several lengths": (a_window(1, end=AT + MINUTE), a_part(2), a_window(200, end=AT + 9 * MINUTE)),
    "out of order": (a_part(3), a_part(1)),
    "one instant twice": (a_part(1), a_part(1, queue_depth=9.0)),
    "without reads": (a_part(1), a_window(5, end=AT + 2 * MINUTE, read_iops=0.0, read_bytes_s=0.0, read_await_ms=None)),
    "none": (),
}


@pytest.mark.parametrize("only", [None, MADE_OF, {"write_bytes_s"}], ids=["all", "some", "bytes"])
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_many_chunks_are_read_as_each_by_itself(parts: tuple[Window, ...], only: set[str] | None) -> None:
    rows = chunks(*parts)

    found, damaged = items.items_to_window(rows, only=only)

    assert repr(found) == repr(merge_windows([items.item_to_window(row, only=only) for row in rows]))
    assert not damaged


@pytest.mark.parametrize("only", [None, MADE_OF], ids=["all", "some"])
@pytest.mark.parametrize("hours", [(1, 2, 3), (2, 1), ()], ids=str)
def test_many_rollups_are_read_as_each_by_itself(hours: tuple[int, ...], only: set[str] | None) -> None:
    rows = rollups(*(a_part(60 * hour + 1) for hour in hours))

    found, damaged = items.items_to_rollup(rows, only=only)

    assert repr(found) == repr(merge_rollups([items.item_to_rollup(row, only=only) for row in rows]))
    assert not damaged


def test_of_a_rollup_the_means_of_some_channels_and_the_samples_are_read() -> None:
    window = a_part(1)
    (row,) = rollups(window)

    found = items.item_to_rollup(row, only=MADE_OF)

    assert list(found.mean["read_iops"]) == list(roll_up(window).mean["read_iops"])
    assert list(found.count["interval_s"]) == [3.0]
    unread = (found.mean["queue_depth"], found.maximum["read_iops"], found.count["read_iops"])
    assert all(column[0] != column[0] for column in unread)


def test_a_chunk_of_an_earlier_program_is_read_among_newer_ones() -> None:
    older, newer = chunks(a_window(2, end=AT + MINUTE), a_window(3, end=AT + 2 * MINUTE))

    found, damaged = items.items_to_window([older | {"data": {"B": PLAIN}}, newer])

    assert list(found["read_bytes_s"]) == [3_440_640.0, 0.0, 819_200.0, 819_200.0, 819_200.0]
    assert not damaged


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_chunk_hides_none_beside_it(place: int) -> None:
    rows = chunks(a_part(1), a_part(2), a_part(3))
    rows[place] = damage(rows[place], 1, "x")

    found, damaged = items.items_to_window(rows)

    assert len(found) == 6
    assert [error.key for error in damaged] == [items.key_text(rows[place])]


@pytest.mark.parametrize("place", [0, 1])
def test_a_damaged_rollup_hides_none_beside_it(place: int) -> None:
    rows = rollups(a_part(1), a_part(61))
    del rows[place]["data"]

    found, damaged = items.items_to_rollup(rows)

    assert len(found) == 1
    assert [error.key for error in damaged] == [items.key_text(rows[place])]


@pytest.mark.parametrize("delta", [0.5, float("inf"), 2**41, -(2**41), 2**63, "x", [1]], ids=str)
def test_what_encode_never_writes_is_no_number_among_others_either(delta: object) -> None:
    good, bad = chunks(a_part(1), a_part(2))

    with pytest.raises(columns.DAMAGE):
        chunk.join([good["data"]["B"], damage(bad, 1, delta)["data"]["B"]])


def test_the_largest_numbers_come_back_from_many_chunks_as_they_were() -> None:
    rows = chunks(*(a_part(minute, read_bytes_s=1e12 / 3.5, write_bytes_s=1e12) for minute in range(1, 50)))

    found, _ = items.items_to_window(rows)

    assert (set(found["write_bytes_s"]), max(found["read_bytes_s"])) == ({1e12}, 1e12)


def test_rollups_of_two_hours_in_one_row_are_damaged_also_together() -> None:
    with pytest.raises(columns.DAMAGE):
        rollup.join([rollup.encode(roll_up(a_window(4_000, end=AT)))])
