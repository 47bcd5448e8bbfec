"""The state of counters: samples once and only once, across requests, retries, replicas and restarts."""

import asyncio
import random
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iops.errors import TableUnavailable, Unavailable
from iops.telemetry import Window, row_to_dict
from services.ingest.counters import FIELDS
from services.ingest.track import PENDING_LIMIT, STREAM_PENDING_LIMIT
from tests.unit.builders import AT_MS, DISK, examples
from tests.unit.door_bodies import counters_at
from tests.unit.fakes import FakeTable
from tests.unit.replica import Replica, read, read_columns, second, seconds


async def test_the_first_reading_makes_no_sample_and_the_second_does() -> None:
    replica = Replica()

    assert await replica.take(second(0)) == []
    await replica.take(second(2))

    assert seconds(replica.stored()) == [(2.0, 2.0)]
    assert replica.stored()["read_iops"][0] == 100.0


async def test_the_same_request_twice_makes_no_sample_twice() -> None:
    replica = Replica()
    for _ in range(2):
        await replica.take(second(0), second(1), second(2))

    assert seconds(replica.stored()) == [(1.0, 1.0), (2.0, 1.0)]
    assert replica.lapses("old") == 3


async def test_what_was_not_stored_is_made_again_from_the_same_state() -> None:
    replica = Replica()
    await replica.take(second(0))
    with pytest.raises(TableUnavailable):
        await replica.take(second(1), is_away=True)

    await replica.take(second(1))
    await replica.take(second(2))

    assert seconds(replica.stored()) == [(1.0, 1.0), (2.0, 1.0)]


async def test_a_restart_loses_no_interval() -> None:
    table = FakeTable()
    await Replica(table).take(second(0), second(1))

    await Replica(table).take(second(5))

    assert seconds(Replica(table).stored()) == [(1.0, 1.0), (5.0, 4.0)]
    assert Replica(table).stored()["read_iops"][1] == 100.0


async def test_a_request_that_was_stored_before_a_restart_is_known_after_it() -> None:
    table = FakeTable()
    for _ in range(2):
        await Replica(table).take(second(0), second(1))

    assert seconds(Replica(table).stored()) == [(1.0, 1.0)]


async def test_two_replicas_that_take_turns_come_to_share_one_chain_of_intervals() -> None:
    table = FakeTable()
    now_s = iter(range(0, 100_000, 10))
    replicas = [Replica(table, monotonic_s=lambda: next(now_s)) for _ in range(2)]
    for number in range(120):
        await replicas[number % 2].take(second(10 * number))

    last = seconds(replicas[0].stored())[-50:]
    assert {length for _, length in last} == {10.0}


async def test_one_replica_alone_asks_the_table_once_in_five_minutes() -> None:
    now_s = iter(range(1_000))
    replica = Replica(monotonic_s=lambda: next(now_s))
    for number in range(600):
        await replica.take(second(number))

    assert 2 <= replica.table.calls.count("Query") <= 4  # the first two requests have no interval to go by


async def test_a_counter_reset_is_no_spike() -> None:
    replica = Replica()
    await replica.take(second(1_000), second(1_001))

    await replica.take(counters_at(AT_MS + 1_002_000, 0.5), counters_at(AT_MS + 1_003_000, 1.5))

    assert seconds(replica.stored()) == [(1_001.0, 1.0), (1_003.0, 1.0)]
    assert max(replica.stored()["read_iops"]) == 100.0
    assert replica.lapses("reset_or_gap") == 1


async def test_samples_out_of_order_are_left_out() -> None:
    replica = Replica()
    await replica.take(second(0), second(1), second(3))

    assert await replica.take(second(2)) == []
    assert replica.lapses("old") == 1


async def test_a_day_of_silence_makes_no_sample_of_a_day() -> None:
    replica = Replica()
    await replica.take(second(0), second(1))

    assert await replica.take(second(86_400)) == []
    assert len(await replica.take(second(86_401))) == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_an_instant_is_complete_when_its_last_counter_has_come(order: tuple[int, int]) -> None:
    replica = Replica()
    halves = FIELDS[:4], FIELDS[4:]
    await replica.take(second(0))

    assert await replica.take(second(1), fields=halves[order[0]]) == []
    await replica.take(second(1), fields=halves[order[1]])

    assert seconds(replica.stored()) == [(1.0, 1.0)]


async def test_instants_that_never_become_complete_are_bounded_and_counted() -> None:
    replica = Replica()
    for number in range(3 * STREAM_PENDING_LIMIT):
        await replica.take(second(number), fields=FIELDS[1:])

    assert replica.metrics.registry.get_sample_value("iops_pending_readings") == STREAM_PENDING_LIMIT
    assert replica.lapses("incomplete") == 2 * STREAM_PENDING_LIMIT


async def test_incomplete_instants_of_all_streams_together_are_bounded() -> None:
    replica = Replica(limit=10_000, wait_s=20)
    each = [second(number) for number in range(STREAM_PENDING_LIMIT)]
    names = [f"web-{number}:sda" for number in range(PENDING_LIMIT // STREAM_PENDING_LIMIT + 10)]
    for half in (names[::2], names[1::2]):
        async with replica.tracker.taking(read(half, each, FIELDS[1:])):
            pass

    assert replica.metrics.registry.get_sample_value("iops_pending_readings") == PENDING_LIMIT


async def test_a_stream_that_fell_out_of_memory_goes_on_from_the_table() -> None:
    replica = Replica(limit=2)
    names = [f"web-{number}:sda" for number in range(6)]
    for number in range(3):
        for name in names:
            await replica.take(second(2 * number), second(2 * number + 1), stream_id=name)

    for name in names:
        assert seconds(replica.stored(name)) == [(float(end), 1.0) for end in range(1, 6)]


async def test_more_samples_than_a_chunk_may_hold_are_several_chunks_and_the_last_has_the_counters() -> None:
    replica = Replica()

    arrivals = await replica.take(*(second(number) for number in range(2_501)))

    assert [len(arrival.window) for arrival in arrivals] == [1_000, 1_000, 500]
    assert [arrival.counters is None for arrival in arrivals] == [True, True, False]
    assert len(replica.stored()) == 2_500


async def test_a_table_that_cannot_be_read_is_told_and_the_next_try_succeeds() -> None:
    replica = Replica(wait_s=10)
    replica.table.is_away = True
    with pytest.raises(TableUnavailable):
        await replica.take(second(0))
    replica.table.is_away = False

    await replica.take(second(0), second(1))

    assert len(replica.stored()) == 1


async def test_unreadable_counters_are_as_none() -> None:
    replica = Replica()
    await replica.take(second(0), second(1))
    (row,) = replica.table.of_type("chunk")
    row["counters"] = {"B": b"\xc1"}

    other = Replica(replica.table)
    await other.take(second(2), second(3))

    assert seconds(other.stored()) == [(1.0, 1.0), (3.0, 1.0)]


async def test_a_request_waits_for_the_one_before_it_and_no_longer_than_it_may() -> None:
    replica = Replica(wait_s=0.2)
    await replica.take(second(0))
    async with replica.tracker.taking(read(DISK, [second(1)])) as arrivals:
        with pytest.raises(Unavailable):
            await replica.take(second(1))
        replica.store(arrivals)

    await replica.take(second(2))
    assert seconds(replica.stored()) == [(1.0, 1.0), (2.0, 1.0)]


async def test_requests_over_the_same_streams_do_not_wait_for_one_another_for_ever() -> None:
    replica = Replica(wait_s=5)
    names = [f"web-{number}:sda" for number in range(8)]

    async def send(order: list[str], number: int) -> None:
        async with replica.tracker.taking(read(order, [second(number)])) as arrivals:
            await asyncio.sleep(0)
            replica.store(arrivals)

    shuffle = random.Random(3)
    async with asyncio.TaskGroup() as senders:
        for number in range(20):
            senders.create_task(send(shuffle.sample(names, len(names)), number))

    for name in names:
        assert seconds(replica.stored(name)) == [(float(end), 1.0) for end in range(1, 20)]


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["ok", "fails", "restart"])), max_size=25))
def test_however_requests_come_intervals_touch_and_never_overlap(story: list[tuple[int, str]]) -> None:
    async def run() -> None:
        replica = Replica()
        for number, event in story:
            if event == "restart":
                replica = Replica(replica.table)
            try:
                await replica.take(second(number), is_away=event == "fails")
            except TableUnavailable:
                continue
        taken = seconds(replica.stored())
        assert all(before <= end - length for (before, _), (end, length) in pairwise(taken))
        assert all(rate == 100.0 for rate in replica.stored()["read_iops"])

    asyncio.run(run())


levels = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@settings(max_examples=examples(200), deadline=None)
@given(levels, levels, st.booleans())
def test_columns_make_the_samples_that_rows_make(
    steps_s: list[int],
    levels: list[int],
    is_half_way: bool,
) -> None:
    """Whatever the steps (0: the same instant again) and the levels (that fall: a reset)."""
    instants_s = list(accumulate(steps_s))
    readings = [
        counters_at(AT_MS + 1_000 * at_s, level, in_flight=level)
        for at_s, level in zip(instants_s, levels, strict=False)
    ]

    async def run() -> None:
        by_row, by_column = Replica(), Replica()
        for replica in (by_row, by_column):
            await replica.take(second(0))
            await replica.take(second(1), fields=FIELDS[:3] if is_half_way else FIELDS)
        async with by_row.tracker.taking(read(DISK, readings)) as arrivals:
            by_row.store(arrivals)
        async with by_column.tracker.taking(read_columns(readings)) as arrivals:
            by_column.store(arrivals)
        for replica in (by_row, by_column):
            await replica.take(second(100), second(101))
        assert rows(by_column.stored()) == rows(by_row.stored())

    asyncio.run(run())


def rows(window: Window) -> list[Any]:
    return [row_to_dict(window, index) for index in range(len(window))]
